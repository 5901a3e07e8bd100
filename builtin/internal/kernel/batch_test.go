package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// many are routes to n subnets over the link vx, each with a metric of its own.
func many(n int) (routes []Route) {
	for i := range n {
		at := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		routes = append(routes, Route{Dst: netip.PrefixFrom(at, 24), Metric: i + 1, Hops: []Hop{{Via: at, Dev: "vx", Onlink: true}}})
	}
	return routes
}

func TestABatchCarriesOutAllThatDoNotFail(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		var ops []Op
		want := map[int]string{}
		for i, r := range many(1000) { // more than one datagram holds
			switch i % 100 {
			case 17:
				want[len(ops)] = "no such process"
				ops = append(ops, Op{Del, r})
			case 50:
				want[len(ops)] = `Cannot find device "nope"`
				ops = append(ops, Op{Add, Neigh{IP: r.Hops[0].Via, Dev: "nope", Address: station}})
			case 99:
				want[len(ops)+1] = "file exists"
				ops = append(ops, Op{Add, r}, Op{Add, r})
			default:
				ops = append(ops, Op{Add, r})
			}
		}
		// What is made in a batch can be used in it.
		other := Link{Name: "vy", Kind: "vxlan", State: Up, VXLAN: &VXLAN{ID: 2, Port: 8472}}
		want[len(ops)+3] = "file exists"
		ops = append(ops, Op{Add, other}, Op{Set, Link{Name: "vy", State: Up}}, Op{Add, Neigh{IP: neigh.IP, Dev: "vy", Address: station}}, Op{Add, other})
		got := map[int]string{}
		for i, err := range k.Batch(t.Context(), slices.Values(ops)) {
			var refused *OpError
			if err == nil {
				continue
			}
			if !errors.As(err, &refused) || refused.Op.String() != ops[i].String() {
				t.Errorf("%d: %v, want an error of %s", i, err, ops[i])
			}
			got[i] = reason(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		made := slices.DeleteFunc(list(t, k, Route{Hops: []Hop{{Dev: "vx"}}}), func(o Object) bool { return o.(Route).Dst.Addr().Is6() })
		if len(made) != 980 {
			t.Errorf("%d routes, want 980", len(made))
		}
		if errs := k.Batch(t.Context(), slices.Values([]Op{{Del, many(1)[0]}})); errs != nil {
			t.Errorf("without a failure: %v, want nil", errs)
		}
	})
}

func TestABatchOfWireGuardsPeers(t *testing.T) {
	want := ""
	for _, k := range []Kernel{NewFake(), openHere(t)} {
		do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
		second := Peer{Dev: "wg", PublicKey: PublicKey{8}, AllowedIPs: prefixes("10.50.8.0/24"), ReplaceIPs: true}
		again := second
		again.Endpoint = wgPeer.Endpoint
		elsewhere := Peer{Dev: "nope", PublicKey: PublicKey{9}}
		errs := k.Batch(t.Context(), slices.Values([]Op{{Set, wgPeer}, {Set, second}, {Set, again}, {Set, elsewhere}, {Set, elsewhere}, {Del, wgPeer}}))
		for i, err := range errs {
			if (err != nil) != (i == 3 || i == 4) {
				t.Errorf("%T: %d: %v", k, i, err)
			}
		}
		got := describe(list(t, k, Peer{Dev: "wg"}))
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(got, "192.0.2.7") {
			t.Errorf("peers (-fake +linux):\n%s\n%s", diff, got)
		}
	}
}

// A link that is made anew has another number.
func TestABatchKnowsALinkThatIsMadeAnew(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		ops := []Op{{Add, neigh}, {Del, Link{Name: vx.Name}}, {Add, vx}, {Set, vxUp}, {Add, neigh}}
		if errs := k.Batch(t.Context(), slices.Values(ops)); errs != nil {
			t.Error(errors.Join(errs...))
		}
		if got := list(t, k, neigh); len(got) != 1 {
			t.Errorf("neighbours %v", got)
		}
	})
}

func TestABatchEndsWithItsContext(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		for _, err := range k.Batch(ctx, slices.Values([]Op{{Add, toPeer}, {Add, neigh}})) {
			if !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
		}
	})
}

// On a machine that grants less, fewer requests are sent at once, and no answer is lost.
func TestABatchFitsIntoTheBuffersItHas(t *testing.T) {
	k := openIn(t)
	do(t, k, Op{Add, vx}, Op{Set, vxUp})
	var ops []Op
	for _, r := range many(1000) {
		ops = append(ops, Op{Del, r}) // each of which fails
	}
	c := k.(*system).changes
	for _, size := range []int{64 << 10, 1} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
			t.Fatal(err)
		}
		if err := c.measure(); err != nil {
			t.Fatal(err)
		}
		for i, err := range k.Batch(t.Context(), slices.Values(ops)) {
			if reason(err) != "no such process" {
				t.Fatalf("buffer of %d, %d at once: %d: %v", size, c.most, i, err)
			}
		}
	}
	c.most = 1000 // more than there is room for
	errs := k.Batch(t.Context(), slices.Values(ops))
	lost := 0
	for _, err := range errs {
		if err == nil {
			t.Fatal("a refusal that was lost counts as success")
		}
		if errors.Is(err, unix.ENOBUFS) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no answer was lost: the room is larger than this test believes")
	}
	if err := c.measure(); err != nil {
		t.Fatal(err)
	}
	do(t, k, Op{Add, toPeer}) // and the socket goes on
}

func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, _ := benchKernel(b)
			var ops []Op
			for i, r := range many(n) {
				hardware := MAC(fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)))
				ops = append(ops, Op{Add, Neigh{IP: r.Hops[0].Via, Dev: "vx", Address: hardware}},
					Op{Add, FDB{Address: hardware, Dev: "vx", Dst: ip("192.0.2.7")}}, Op{Add, r})
			}
			for b.Loop() {
				b.StopTimer()
				k.Do(b.Context(), Op{Del, vx}) // is not there at first
				if err := k.Do(b.Context(), Op{Add, vx}, Op{Set, vxUp}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if errs := k.Batch(b.Context(), slices.Values(ops)); errs != nil {
					b.Fatal(errors.Join(errs...))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/peer")
		})
	}
}
