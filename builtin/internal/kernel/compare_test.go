package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// told is what Compare says, as text.
func told(t *testing.T, k Kernel, objects ...Object) (lines []string) {
	t.Helper()
	differences, err := k.Compare(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		line := fmt.Sprint(d.Index, " nothing")
		if d.Have != nil {
			line = fmt.Sprintf("%d %s", d.Index, Op{Add, d.Have})
		}
		if d.Over {
			line += " over it"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestCompareTellsWhatIsNotAsDescribed(t *testing.T) {
	ours := Spread(toPeer)
	ours.Protocol = Protocol
	theirs := route(ours, func(r *Route) { r.Metric, r.Protocol = 0, 0 })
	foreign := route(ours, func(r *Route) { r.Metric, r.Protocol = 7, 4 })
	beyond := route(ours, func(r *Route) { r.Metric, r.Protocol = ours.Metric+1, 0 })
	elsewhere := route(ours, func(r *Route) { r.Metric, r.Table = 0, 100 })
	static := behind(FDB{Address: "02:00:00:00:00:97", Dev: "vx", State: "static"}, "192.0.2.9")
	all := []Object{
		ours, toPeer6, direct, neigh, neigh6, remote, static, flood, own, vx,
		Route{Type: "blackhole", Dst: prefix("10.79.0.0/16")}, elsewhere,
		Route{Dst: prefix("10.80.0.0/16"), Hops: []Hop{{Via: ip("10.77.0.1"), Dev: "vx"}, {Via: ip("10.77.0.2"), Dev: "vx"}}},
	}
	for _, tt := range []struct {
		name string
		ops  []Op
		want []string
	}{
		{"all is there", nil, nil},
		{"things are gone", []Op{{Del, ours}, {Del, toPeer6}, {Del, neigh}, {Del, neigh6}, {Del, remote}, {Del, all[10]}, {Del, all[12]}},
			[]string{"0 nothing", "1 nothing", "3 nothing", "4 nothing", "5 nothing", "10 nothing", "12 nothing"}},
		{"things are others", []Op{
			{Replace, via(ours, "10.50.9.0")}, {Replace, via(toPeer6, "fd00:9::")}, {Replace, Neigh{IP: neigh.IP, Dev: "vx", Address: "02:00:00:00:00:98"}},
			{Replace, behind(remote, "192.0.2.8")},
		}, []string{
			"0 ip route add 10.50.7.0/24 via 10.50.9.0 dev vx onlink metric 12808 proto 111", "1 ip route add fd00:7::/64 via fd00:9:: dev vx onlink metric 1024",
			"3 ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:98 dev vx nud permanent",
			"5 bridge fdb add 02:00:00:00:00:99 dev vx dst 192.0.2.8 self permanent",
		}},
		{"there are more", []Op{{Append, behind(flood, "192.0.2.8")}, {Append, via(toPeer6, "fd00:9::")},
			{Add, route(theirs, func(r *Route) { r.TOS = 16 })}, {Add, Neigh{IP: ip("10.50.8.0"), Dev: "vx", Address: station}}, {Add, beyond}}, nil},
		{"a spread route is under others", []Op{{Add, theirs}, {Add, foreign}}, []string{
			"0 ip route add 10.50.7.0/24 via 10.50.7.0 dev vx onlink over it",
			"0 ip route add 10.50.7.0/24 via 10.50.7.0 dev vx onlink metric 7 proto 4 over it",
		}},
		{"it is gone, and there is another", []Op{{Del, ours}, {Add, theirs}}, []string{
			"0 nothing", "0 ip route add 10.50.7.0/24 via 10.50.7.0 dev vx onlink over it",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachKernel(t, func(t *testing.T, k Kernel) {
				do(t, k, Op{Add, vx}, Op{Set, vxUp})
				for _, o := range all {
					if _, link := o.(Link); !link {
						do(t, k, Op{Add, o})
					}
				}
				do(t, k, tt.ops...)
				if diff := cmp.Diff(tt.want, told(t, k, all...)); diff != "" {
					t.Errorf("differences (-want +got):\n%s", diff)
				}
				var each []string
				for i, o := range all { // which is asked for in another way
					for _, line := range told(t, k, o) {
						each = append(each, strings.Replace(line, "0", fmt.Sprint(i), 1))
					}
				}
				if diff := cmp.Diff(tt.want, each); diff != "" {
					t.Errorf("differences of each alone (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCompareOnALinkThatIsNotThere(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		want := []string{"0 nothing", "1 nothing", "2 nothing"}
		if diff := cmp.Diff(want, told(t, k, toPeer, neigh, remote)); diff != "" {
			t.Errorf("differences (-want +got):\n%s", diff)
		}
	})
}

func TestSpreadRoutesDifferInTheirMetrics(t *testing.T) {
	metrics := map[int]bool{}
	for _, network := range []struct {
		first string
		bits  int
	}{{"10.0.0.0", 24}, {"10.50.0.0", 30}} {
		clear(metrics)
		base := ip(network.first).As4()
		for i := range 1 << 14 {
			number := (uint32(base[0])<<24 | uint32(base[1])<<16) + uint32(i)<<(32-network.bits)
			subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)}), network.bits)
			m := Spread(Route{Dst: subnet}).Metric
			if m < 1 || m > 1<<16 {
				t.Fatalf("%s: metric %d", subnet, m)
			}
			metrics[m] = true
		}
		if len(metrics) != 1<<14 {
			t.Errorf("%v: %d metrics for %d subnets", network, len(metrics), 1<<14)
		}
	}
	for _, r := range []Route{toPeer6, {Dst: prefix("0.0.0.0/0")}} {
		if m := Spread(r).Metric; m != 0 {
			t.Errorf("%s: metric %d, want none", r.Dst, m)
		}
	}
}

// BenchmarkCompare is a look at all objects of vxlan peers that are as they should be, as a part of the processor time of the lists
// of the three tables that package netlink makes.
func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, handle := benchKernel(b)
			if err := k.Do(b.Context(), Op{Add, vx}, Op{Set, vxUp}); err != nil {
				b.Fatal(err)
			}
			var objects []Object
			var ops []Op
			for i, r := range many(n) {
				hardware := MAC(fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)))
				objects = append(objects, Neigh{IP: r.Hops[0].Via, Dev: "vx", Address: hardware}, FDB{Address: hardware, Dev: "vx", Dst: ip("192.0.2.7")}, r)
			}
			for _, o := range objects {
				ops = append(ops, Op{Add, o})
			}
			if errs := k.Batch(b.Context(), slices.Values(ops)); errs != nil {
				b.Fatal(errors.Join(errs...))
			}
			l, err := handle.LinkByName("vx")
			if err != nil {
				b.Fatal(err)
			}
			lists := func() {
				routes, err1 := handle.RouteList(l, netlink.FAMILY_V4)
				neighs, err2 := handle.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
				entries, err3 := handle.NeighList(l.Attrs().Index, unix.AF_BRIDGE)
				if err := errors.Join(err1, err2, err3); err != nil || len(routes) < n || len(neighs) < n || len(entries) < n {
					b.Fatal(len(routes), len(neighs), len(entries), err)
				}
			}
			compare := func() {
				if d, err := k.Compare(b.Context(), objects); err != nil || d != nil {
					b.Fatal(d, err)
				}
			}
			var ours, theirs []float64
			for b.Loop() {
				ours, theirs = append(ours, took(compare)), append(theirs, took(lists))
			}
			b.ReportMetric(median(ours)/median(theirs), "cpu-of-lists")
			b.ReportMetric(testing.AllocsPerRun(1, compare)/float64(n)*1000, "allocs/1000-peers")
			b.ReportMetric(median(ours)*1000, "cpu-ms")
		})
	}
}

// took is how much processor time this process took for f, in seconds, which other work on the machine changes less than it
// changes time itself.
func took(f func()) float64 {
	runtime.GC() // what others left is not f's
	began := used()
	f()
	return used() - began
}

func used() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
