package kernel

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const station = MAC("02:00:00:00:00:99")

var (
	vx      = Link{Name: "vx", Kind: "vxlan", Address: "02:00:00:00:00:11", VXLAN: &VXLAN{ID: 1, Port: 8472}}
	vxUp    = Link{Name: "vx", State: Up}
	toPeer  = Route{Dst: prefix("10.50.7.0/24"), Hops: []Hop{{Via: ip("10.50.7.0"), Dev: "vx", Onlink: true}}}
	toPeer6 = Route{Dst: prefix("fd00:7::/64"), Hops: []Hop{{Via: ip("fd00:7::"), Dev: "vx", Onlink: true}}}
	direct  = Route{Dst: prefix("10.77.0.0/16"), Hops: []Hop{{Dev: "vx"}}}
	neigh   = Neigh{IP: ip("10.50.7.0"), Dev: "vx", Address: station}
	neigh6  = Neigh{IP: ip("fd00:7::"), Dev: "vx", Address: station}
	remote  = FDB{Address: station, Dev: "vx", Dst: ip("192.0.2.7")}
	flood   = FDB{Address: "00:00:00:00:00:00", Dev: "vx", Dst: ip("192.0.2.7")}
	own     = Addr{Dev: "vx", Prefix: prefix("10.50.1.0/32")}
	own6    = Addr{Dev: "vx", Prefix: prefix("fd00:1::/64")}
)

func route(r Route, change func(*Route)) Route {
	change(&r)
	return r
}

// via is the route over another gateway.
func via(r Route, gateway string) Route {
	r.Hops = []Hop{{Via: ip(gateway), Dev: "vx", Onlink: true}}
	return r
}

func behind(f FDB, vtep string) FDB {
	f.Dst = ip(vtep)
	return f
}

// A step is an operation and the kernel's answer, "" for success.
type step struct {
	op   Op
	want string
}

var conformance = []struct {
	name  string
	steps []step
}{
	{"links are made once, changed and deleted", []step{
		{Op{Add, vx}, ""},
		{Op{Add, vx}, "file exists"},
		{Op{Add, Link{Name: "vx2", Kind: "vxlan", VXLAN: &VXLAN{ID: 1, Port: 8472}}}, "file exists: A VXLAN device with the specified VNI already exists"},
		{Op{Add, Link{Name: "x", Kind: "nonsense"}}, "operation not supported: Unknown device type"},
		{Op{Add, Link{Name: "sixteen-letters-", Kind: "bridge"}}, "numerical result out of range: Attribute failed policy validation"},
		{Op{Add, Link{Name: "vx6", Kind: "vxlan", VXLAN: &VXLAN{ID: 1, Port: 8472, Local: ip("2001:db8::1")}}}, ""},
		{Op{Add, Link{Name: "vx7", Kind: "vxlan", VXLAN: &VXLAN{ID: 1, Port: 8472, Local: ip("::")}}}, "file exists: A VXLAN device with the specified VNI already exists"},
		{Op{Del, Link{Name: "vx6"}}, ""},
		{Op{Set, Link{Name: "vx", MTU: 1450, Alias: "to the others"}}, ""},
		{Op{Set, Link{Name: "vx", Lower: "lo", VXLAN: &VXLAN{ID: 1, Local: ip("192.0.2.1"), Learning: true}}}, ""},
		{Op{Set, Link{Name: "vx", VXLAN: &VXLAN{ID: 1, Local: ip("192.0.2.2"), Remote: ip("192.0.2.9")}}}, ""},
		{Op{Set, Link{Name: "vx", VXLAN: &VXLAN{ID: 1, Local: ip("0.0.0.0"), Remote: ip("0.0.0.0")}}}, ""},
		{Op{Set, Link{Name: "vx", MTU: 1400, VXLAN: &VXLAN{ID: 1}}}, "operation not supported: Cannot change mtu"},
		{Op{Set, Link{Name: "vx", MTU: 100000}}, "invalid argument: mtu greater than device maximum"},
		{Op{Set, Link{Name: "vx", MTU: 10}}, "invalid argument: mtu less than device minimum"},
		{Op{Set, Link{Name: "vx", Address: "zz"}}, `"zz" is invalid lladdr`},
		{Op{Set, Link{Name: "vx", Master: "nope"}}, `Cannot find device "nope"`},
		{Op{Set, Link{Name: "nope", MTU: 1450}}, `Cannot find device "nope"`},
		{Op{Set, Link{Name: "vx", Rename: "vy"}}, ""},
		{Op{Del, Link{Name: "vx"}}, `Cannot find device "vx"`},
		{Op{Del, Link{Name: "vy"}}, ""},
		{Op{Del, Link{Name: "lo"}}, "operation not supported"},
	}},
	{"a veth has two ends, and a bridge has ports", []step{
		{Op{Add, Link{Name: "a", Kind: "veth", Peer: "b"}}, ""},
		{Op{Add, Link{Name: "br", Kind: "bridge"}}, ""},
		{Op{Set, Link{Name: "a", Master: "br", State: Up}}, ""},
		{Op{Add, Link{Name: "c", Kind: "veth", Peer: "d", MTU: 1400, State: Up}}, ""},
		{Op{Set, Link{Name: "a", NoMaster: true}}, ""},
		{Op{Del, Link{Name: "d"}}, ""},
	}},
	{"addresses of both families", []step{
		{Op{Add, vx}, ""},
		{Op{Add, own}, ""},
		{Op{Add, own}, "file exists: ipv4: Address already assigned"},
		{Op{Replace, own}, ""},
		{Op{Add, Addr{Dev: "vx", Prefix: prefix("fd00:2::/128"), NoDAD: true}}, ""},
		{Op{Add, own6}, ""},
		{Op{Add, own6}, "file exists: ipv6: address already assigned"},
		{Op{Add, Addr{Dev: "vx", Prefix: prefix("fd00:1::/128")}}, "file exists: ipv6: address already assigned"},
		{Op{Add, Addr{Dev: "nope", Prefix: own.Prefix}}, `Cannot find device "nope"`},
		{Op{Add, Addr{Dev: "vx", Prefix: prefix("10.50.2.1/32"), Peer: prefix("10.50.2.2/32")}}, ""},
		{Op{Add, Addr{Dev: "vx", Prefix: prefix("10.50.3.1/24"), Broadcast: ip("10.50.3.255"), Label: "vx:three", Scope: "link", NoPrefix: true}}, ""},
		{Op{Del, Addr{Dev: "vx", Prefix: prefix("10.50.9.9/32")}}, "cannot assign requested address: ipv4: Address not found"},
		{Op{Del, Addr{Dev: "vx", Prefix: prefix("fd00::9/128")}}, "cannot assign requested address: ipv6: address not found"},
		{Op{Del, own}, ""},
	}},
	{"routes need a link that is up", []step{
		{Op{Add, vx}, ""},
		{Op{Add, toPeer}, "network is down: Nexthop device is not up"},
		{Op{Add, direct}, "network is down: Device for nexthop is not up"},
		{Op{Add, toPeer6}, "network is down: Nexthop device is not up"},
		{Op{Set, vxUp}, ""},
		{Op{Add, toPeer}, ""},
		{Op{Add, direct}, ""},
		{Op{Add, toPeer6}, ""},
		{Op{Set, Link{Name: "vx", State: Down}}, ""},
		{Op{Del, toPeer}, "no such process"},
		{Op{Del, toPeer6}, "no such process"},
	}},
	{"an IPv6 gateway that is said to be on a link must not be behind another", []step{
		{Op{Add, vx}, ""},
		{Op{Set, vxUp}, ""},
		{Op{Add, Link{Name: "vy", Kind: "bridge"}}, ""},
		{Op{Set, Link{Name: "vy", State: Up}}, ""},
		{Op{Add, Route{Dst: prefix("fd00:7::/64"), Hops: []Hop{{Dev: "vy"}}}}, ""},
		{Op{Replace, toPeer6}, "invalid argument: Nexthop has invalid gateway or device mismatch"},
		{Op{Add, Route{Dst: prefix("fd00:7::/128"), Hops: []Hop{{Dev: "vx"}}}}, ""},
		{Op{Replace, toPeer6}, ""},
		{Op{Del, Route{Dst: prefix("fd00:7::/128"), Hops: []Hop{{Dev: "vx"}}}}, ""},
		{Op{Replace, toPeer6}, ""},
	}},
	{"routes are alone at their prefix, table and metric", []step{
		{Op{Add, vx}, ""},
		{Op{Set, vxUp}, ""},
		{Op{Add, toPeer}, ""},
		{Op{Add, toPeer}, "file exists"},
		{Op{Add, via(toPeer, "10.50.8.0")}, "file exists"},
		{Op{Append, toPeer}, "file exists"},
		{Op{Append, via(toPeer, "10.50.8.0")}, ""},
		{Op{Del, via(toPeer, "10.50.8.0")}, ""},
		{Op{Del, via(toPeer, "10.50.8.0")}, "no such process"},
		{Op{Replace, via(toPeer, "10.50.9.0")}, ""},
		{Op{Change, direct}, "no such file or directory"},
		{Op{Replace, direct}, ""},
		{Op{Add, route(toPeer, func(r *Route) { r.Metric = 7 })}, ""},
		{Op{Add, route(toPeer, func(r *Route) { r.Table = 100 })}, ""},
		{Op{Add, route(toPeer, func(r *Route) { r.Table, r.Protocol = 1000, 4 })}, ""},
		{Op{Add, toPeer6}, ""},
		{Op{Add, toPeer6}, "file exists"},
		{Op{Replace, route(toPeer6, func(r *Route) { r.MTU = 1400 })}, ""},
		{Op{Del, route(toPeer, func(r *Route) { r.Table = 99 })}, "no such process: FIB table does not exist"},
	}},
	{"routes lead somewhere", []step{
		{Op{Add, vx}, ""},
		{Op{Set, vxUp}, ""},
		{Op{Add, own}, ""},
		{Op{Add, Route{Dst: direct.Dst, Hops: []Hop{{Via: ip("10.99.0.1")}}}}, "network is unreachable: Nexthop has invalid gateway"},
		{Op{Add, Route{Dst: direct.Dst, Hops: []Hop{{Via: ip("10.99.0.1"), Dev: "vx"}}}}, "network is unreachable: Nexthop has invalid gateway"},
		{Op{Add, Route{Dst: prefix("fd00:8::/64"), Hops: []Hop{{Via: ip("fd00:99::1")}}}}, "no route to host"},
		{Op{Add, Route{Dst: prefix("fd00:8::/64"), Hops: []Hop{{Via: ip("fd00:99::1"), Dev: "vx"}}}}, "no route to host"},
		{Op{Add, via(direct, "10.50.1.0")}, "invalid argument: Nexthop has invalid gateway"},
		{Op{Add, Route{Dst: direct.Dst, Hops: []Hop{{Via: ip("10.50.9.0"), Onlink: true}}}}, "no such device: Nexthop device required for onlink"},
		{Op{Add, Route{Dst: direct.Dst}}, "no such device"},
		{Op{Add, Route{Dst: direct.Dst, Hops: []Hop{{Dev: "nope"}}}}, `Cannot find device "nope"`},
		{Op{Add, Route{Dst: prefix("10.77.0.1/16"), Hops: direct.Hops}}, "invalid argument: Invalid prefix for given prefix length"},
		{Op{Add, route(direct, func(r *Route) { r.Src = ip("10.1.1.1") })}, "invalid argument: Invalid prefsrc address"},
		{Op{Add, route(direct, func(r *Route) { r.Src = ip("10.50.1.0") })}, ""},
		{Op{Add, Route{Dst: prefix("10.78.0.0/16"), Hops: []Hop{{Via: ip("10.77.0.1")}}}}, ""},
		{Op{Add, Route{Dst: prefix("0.0.0.0/0"), Hops: []Hop{{Via: ip("10.77.0.1")}}}}, ""},
		{Op{Add, Route{Type: "blackhole", Dst: prefix("10.79.0.0/16")}}, ""},
		{Op{Add, Route{Type: "unreachable", Dst: prefix("fd00:79::/64")}}, ""},
		{Op{Add, Route{Dst: prefix("10.80.0.0/16"), Hops: []Hop{{Via: ip("10.77.0.1"), Dev: "vx"}, {Via: ip("10.77.0.2"), Dev: "vx", Weight: 3}}}}, ""},
		{Op{Del, Route{Dst: prefix("10.79.0.0/16")}}, ""},
		{Op{Del, own}, ""},
	}},
	{"neighbours of both families", []step{
		{Op{Add, vx}, ""},
		{Op{Set, vxUp}, ""},
		{Op{Add, neigh}, ""},
		{Op{Add, neigh}, "file exists"},
		{Op{Add, neigh6}, ""},
		{Op{Replace, Neigh{IP: neigh6.IP, Dev: "vx", Address: "02:00:00:00:00:98"}}, ""},
		{Op{Del, neigh}, ""},
		{Op{Del, neigh}, "no such file or directory"},
		{Op{Change, neigh}, "no such file or directory"},
		{Op{Add, Neigh{IP: neigh.IP, Dev: "vx", Address: "zz"}}, `"zz" is invalid lladdr`},
		{Op{Add, Neigh{IP: neigh.IP, Dev: "nope", Address: station}}, `Cannot find device "nope"`},
	}},
	{"a station is behind one remote, flooding goes to many", []step{
		{Op{Add, vx}, ""},
		{Op{Add, remote}, ""},
		{Op{Add, remote}, "file exists"},
		{Op{Add, behind(remote, "192.0.2.8")}, "file exists"},
		{Op{Append, behind(remote, "192.0.2.8")}, ""},
		{Op{Replace, behind(remote, "192.0.2.8")}, ""},
		{Op{Del, remote}, ""},
		{Op{Del, FDB{Address: "02:00:00:00:00:96", Dev: "vx"}}, "no such file or directory"},
		{Op{Add, flood}, ""},
		{Op{Append, behind(flood, "192.0.2.8")}, ""},
		{Op{Append, behind(flood, "192.0.2.9")}, ""},
		{Op{Replace, behind(flood, "192.0.2.9")}, "operation not supported: Cannot replace non-unicast fdb entries"},
		{Op{Del, behind(flood, "192.0.2.8")}, ""},
		{Op{Add, FDB{Address: "02:00:00:00:00:97", Dev: "vx", Dst: ip("192.0.2.7"), State: "static"}}, ""},
		{Op{Add, FDB{Address: station, Dev: "nope"}}, `Cannot find device "nope"`},
	}},
}

// terse reports whether a kernel may refuse the operation without an explanation. Linux explains this since 6.8.
func terse(op Op) bool {
	_, addr := op.Object.(Addr)
	return addr
}

func TestFakeAndLinuxAnswerAlike(t *testing.T) {
	for _, tt := range conformance {
		t.Run(tt.name, func(t *testing.T) {
			answerAlike(t, tt.steps)
		})
	}
}

func answerAlike(t *testing.T, steps []step) {
	t.Helper()
	states := map[string]string{}
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, s := range steps {
			if got := reason(k.Do(t.Context(), s.op)); got != s.want && !(terse(s.op) && strings.HasPrefix(s.want, got+": ")) {
				t.Errorf("%s\n got %q\nwant %q", s.op, got, s.want)
			}
		}
		states[t.Name()[len(t.Name())-4:]] = state(t, k)
	})
	if diff := cmp.Diff(states["inux"], states["fake"]); diff != "" {
		t.Errorf("state (-linux +fake):\n%s", diff)
	}
}

func TestErrorsAreStandardSentinels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp}, Op{Add, toPeer}, Op{Add, own}, Op{Add, neigh}, Op{Add, remote})
		for _, o := range []Object{vx, toPeer, own, neigh, remote} {
			if err := k.Do(t.Context(), Op{Add, o}); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%v: want fs.ErrExist", err)
			}
		}
		do(t, k, Op{Del, toPeer}, Op{Del, neigh}, Op{Del, remote}, Op{Del, own})
		for _, o := range []Object{Link{Name: "nope"}, toPeer, own, neigh, remote} {
			if err := k.Do(t.Context(), Op{Del, o}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v: want fs.ErrNotExist", err)
			}
		}
	})
}

func TestListIsNarrowedByWhatIsSaid(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own}, Op{Add, own6}, Op{Add, toPeer}, Op{Add, direct}, Op{Add, neigh},
			Op{Add, route(toPeer, func(r *Route) { r.Table = 100 })}, Op{Add, neigh6}, Op{Add, remote}, Op{Add, flood})
		for _, tt := range []struct {
			name string
			like Object
			want int
		}{
			{"a link", Link{Name: "vx"}, 1},
			{"links of a kind", Link{Kind: "vxlan"}, 1},
			{"no link", Link{Name: "nope"}, 0},
			{"IPv4 addresses of a link", Addr{Dev: "vx", Prefix: own.Prefix}, 1},
			{"addresses of no link", Addr{Dev: "nope"}, 0},
			{"a route in the main table", Route{Dst: toPeer.Dst}, 1},
			{"a route in any table", Route{Dst: toPeer.Dst, Table: AnyTable}, 2},
			{"a table", Route{Table: 100}, 1},
			{"a table that never was", Route{Table: 101}, 0},
			{"a neighbour", Neigh{Dev: "vx", IP: neigh6.IP}, 1},
			{"no neighbour", Neigh{Dev: "vx", IP: ip("10.50.99.0")}, 0},
			{"neighbours of a link", Neigh{Dev: "vx"}, 2},
			{"an FDB entry", FDB{Dev: "vx", Address: station}, 1},
			{"FDB entries of a link", FDB{Dev: "vx"}, 2},
			{"no WireGuard devices", Device{}, 0},
		} {
			got := list(t, k, tt.like)
			if len(got) != tt.want {
				t.Errorf("%s: got %v, want %d", tt.name, got, tt.want)
			}
		}
	})
}

func TestLookupTellsHowPacketsLeave(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp}, Op{Add, Addr{Dev: "vx", Prefix: prefix("10.1.0.1/24")}},
			Op{Add, Addr{Dev: "vx", Prefix: prefix("fd01::1/64"), NoDAD: true}},
			Op{Add, Route{Dst: prefix("10.2.0.0/16"), Hops: []Hop{{Via: ip("10.1.0.9")}}}},
			Op{Add, Route{Dst: prefix("fd02::/32"), Hops: []Hop{{Via: ip("fd01::9"), Dev: "vx"}}}})
		for to, want := range map[string]string{
			"10.1.0.1": "local dev lo",
			"10.1.0.7": "dev vx",
			"10.2.0.7": "via 10.1.0.9 dev vx",
			"fd01::1":  "local dev lo",
			"fd01::7":  "dev vx",
			"fd02::7":  "via fd01::9 dev vx",
		} {
			// The kernel makes the local route of an IPv6 address a moment later.
			await(t, "to "+to+" "+want, func() bool {
				got, err := k.Lookup(t.Context(), Query{To: ip(to)})
				w := command()
				w.when(got.Type != "", got.Type)
				got.hop().words(w, got.Dst.Addr())
				return err == nil && w.String() == want
			})
		}
		for _, to := range []string{"10.3.0.1", "fd03::1"} {
			if r, err := k.Lookup(t.Context(), Query{To: ip(to)}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("to %s: %v, %v, want fs.ErrNotExist", to, r, err)
			}
		}
	})
}

func TestALinksEncapIsToldAlone(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx})
		for name, want := range map[string][]Object{
			"vx": {Link{Name: "vx", Encap: "ether"}}, "lo": {Link{Name: "lo", Encap: "loopback"}}, "none": nil, "a name that is too long": nil,
		} {
			if diff := cmp.Diff(want, list(t, k, Link{Name: name, Encap: AnyEncap})); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}
