package builtin

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A host is a node on a kernel, with what it knows of itself and keeps on disk.
type host struct {
	t        *testing.T
	kernel   kernel.Kernel
	families nativetest.Families
	number   int
	dir      string
	log      bytes.Buffer
	call     hooks.Call
	set      *Set
	backend  Backend
	data     hooks.Data
}

// newHost is node 1 on a Fake whose eth0 has the node's public addresses.
func newHost(t *testing.T, families nativetest.Families) *host {
	t.Helper()
	fake := kernel.NewFake()
	for _, op := range []kernel.Op{
		{Verb: kernel.Add, Object: kernel.Link{Name: "eth0", Kind: "dummy", Address: "02:00:00:00:00:e0", State: kernel.Up}},
		{Verb: kernel.Add, Object: kernel.Addr{Dev: "eth0", Prefix: netip.MustParsePrefix("192.0.2.1/24")}},
		{Verb: kernel.Add, Object: kernel.Addr{Dev: "eth0", Prefix: netip.MustParsePrefix("2001:db8::1/64")}},
	} {
		if err := fake.Do(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	return hostOn(t, fake, families, 1)
}

func hostOn(t *testing.T, k kernel.Kernel, families nativetest.Families, number int) *host {
	return &host{
		t: t, kernel: k, families: families, number: number, dir: t.TempDir(),
		call: hooks.Call{Reason: hooks.Start, Node: families.Node("", number).Node},
	}
}

// open begins another life of the daemon with the config: a type, and the other keys as JSON.
func (h *host) open(kind, keys string) {
	h.t.Helper()
	h.close()
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	scopes, err := kernel.NewScopes(h.kernel, filepath.Join(h.dir, "ledger"), log)
	if err != nil {
		h.t.Fatal(err)
	}
	h.set = &Set{kernel: h.kernel, scopes: scopes, log: log}
	raw := fmt.Sprintf(`{"Type": %q%s}`, kind, keys)
	h.backend, err = h.set.Backend(lease.Backend{Type: kind, Raw: []byte(raw)},
		BackendOptions{NodeID: fmt.Sprint("node ", h.number), Dir: h.dir, Logger: log})
	if err != nil {
		h.t.Fatal(err)
	}
}

// close ends a life of the daemon as a kill does. The kernel stays.
func (h *host) close() {
	if h.set != nil {
		h.set.scopes.Close()
	}
}

// start runs the startup hooks of another life.
func (h *host) start(kind, keys string) error {
	h.t.Helper()
	h.open(kind, keys)
	call := h.call
	call.Node.Lease.V4.Subnet, call.Node.Lease.V6.Subnet = netip.Prefix{}, netip.Prefix{} // not known yet
	var err error
	if h.data, err = h.backend.PreStartup(h.t.Context(), call); err != nil {
		return err
	}
	return h.backend.PostStartup(h.t.Context(), h.call)
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) add(peer lease.Lease) error { return h.backend.SubnetAdd(h.t.Context(), h.call, peer) }

func (h *host) remove(peer lease.Lease) error {
	return h.backend.SubnetRemove(h.t.Context(), h.call, peer)
}

func (h *host) state() string { return h.kernel.(*kernel.Fake).String() }

func (h *host) do(verb kernel.Verb, o kernel.Object) {
	h.t.Helper()
	h.must(h.kernel.Do(h.t.Context(), kernel.Op{Verb: verb, Object: o}))
}

func (h *host) link(name string) kernel.Link {
	h.t.Helper()
	list, err := h.kernel.List(h.t.Context(), kernel.Link{Name: name})
	h.must(err)
	if len(list) != 1 {
		h.t.Fatalf("there is no link %s", name)
	}
	return list[0].(kernel.Link)
}

// peerOf is node n as another node of the type tells of it, of another make if so numbered.
func peerOf(kind string, n, make int) lease.Lease {
	data := map[string]string{
		"vxlan":     fmt.Sprintf(`{"VNI":1,"VtepMAC":"02:00:00:00:%02x:%02x"}`, make, n),
		"wireguard": fmt.Sprintf(`{"PublicKey":"%s"}`, kernel.PublicKey{byte(make), byte(n)}),
	}[kind]
	return nativetest.Dual.Lease(kind, n, data, data)
}

// same fails the test unless both texts are one.
func same(t *testing.T, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestEachHookLeavesTheKernelAsItShould(t *testing.T) {
	for _, kind := range NativeTypes {
		for _, families := range []nativetest.Families{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Dual} {
			t.Run(kind+" "+families.String(), func(t *testing.T) {
				h := newHost(t, families)
				before := h.state()
				h.must(h.start(kind, ""))
				started := h.state()
				h.must(h.add(peerOf(kind, 7, 1)))
				one := h.state()
				h.must(h.add(peerOf(kind, 8, 1)))
				two := h.state()
				if one == started || two == one {
					t.Fatal("a peer leaves nothing")
				}
				h.must(h.add(peerOf(kind, 8, 1)))
				same(t, "added again", two, h.state())
				h.must(h.add(peerOf(kind, 8, 2)))
				if kind != "host-gw" && h.state() == two {
					t.Error("other data makes no difference")
				}
				h.must(h.add(peerOf(kind, 8, 1)))
				same(t, "changed and changed back", two, h.state())

				h.must(h.start(kind, ""))
				h.must(h.add(peerOf(kind, 7, 1)))
				h.must(h.add(peerOf(kind, 8, 1)))
				same(t, "restarted", two, h.state())

				h.must(h.remove(peerOf(kind, 8, 1)))
				same(t, "a peer removed", one, h.state())
				h.must(h.remove(peerOf(kind, 7, 1)))
				same(t, "both removed", started, h.state())
				h.must(h.remove(peerOf(kind, 7, 1)))
				h.must(h.backend.Shutdown(t.Context(), h.call))
				same(t, "shut down", before, h.state())
			})
		}
	}
}

func TestTheKernelIsAsFlannelLeavesItButForOurMarks(t *testing.T) {
	h := newHost(t, nativetest.Dual)
	before := h.state()
	h.must(h.start("vxlan", ""))
	h.must(h.add(peerOf("vxlan", 7, 0)))
	var made []string
	for line := range strings.Lines(h.state()) {
		if !strings.Contains(before, line) {
			made = append(made, line)
		}
	}
	same(t, "made", strings.NewReplacer("MAC4", string(h.link("flannel.1").Address), "MAC6", string(h.link("flannel-v6.1").Address)).Replace(
		`ip link add flannel-v6.1 mtu 1430 address MAC6 txqueuelen 1000 alias overlayd up type vxlan id 1 local 2001:db8::1 dev eth0 dstport 8472 nolearning udpcsum
ip link add flannel.1 mtu 1450 address MAC4 txqueuelen 1000 alias overlayd up type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning udpcsum
ip address add 10.50.1.0/32 dev flannel.1
ip address add fd50:0:0:1::/128 dev flannel-v6.1 nodad
ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:07 dev flannel.1 nud permanent
ip neighbour add fd50:0:0:7:: lladdr 02:00:00:00:00:07 dev flannel-v6.1 nud permanent
bridge fdb add 02:00:00:00:00:07 dev flannel-v6.1 dst 2001:db8::7 self permanent
bridge fdb add 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7 self permanent
ip route add 10.50.7.0/24 via 10.50.7.0 dev flannel.1 onlink metric 12808 proto 111
ip route add fd50:0:0:7::/64 via fd50:0:0:7:: dev flannel-v6.1 onlink metric 1024 proto 111
`), strings.Join(made, ""))
	if mtu := h.backend.MTU(); mtu != 1430 {
		t.Errorf("the MTU is %d, want that of the narrower link", mtu)
	}
}

// asFlannel makes a link as flannel does, which is not ours by name, alias or ledger.
func (h *host) asFlannel() {
	h.t.Helper()
	h.do(kernel.Add, kernel.Link{
		Name: "flannel.1", Kind: "vxlan", MTU: 1450, Address: "02:00:00:00:00:ff", State: kernel.Up, Lower: "eth0",
		VXLAN: &kernel.VXLAN{ID: 1, Port: 8472, Local: netip.MustParseAddr("192.0.2.1")},
	})
	h.do(kernel.Add, kernel.Addr{Dev: "flannel.1", Prefix: netip.MustParsePrefix("10.50.1.0/32")})
	h.do(kernel.Add, kernel.Neigh{IP: netip.MustParseAddr("10.50.7.0"), Dev: "flannel.1", Address: "02:00:00:00:00:07"})
	h.do(kernel.Add, kernel.Route{
		Dst:  netip.MustParsePrefix("10.50.7.0/24"),
		Hops: []kernel.Hop{{Via: netip.MustParseAddr("10.50.7.0"), Dev: "flannel.1", Onlink: true}},
	})
}

func TestAForeignLinkThatFitsIsTakenOver(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	before := h.state()
	h.asFlannel()
	foreign, index := h.state(), h.link("flannel.1").Index
	h.must(h.start("vxlan", ""))
	same(t, "taken over", strings.Replace(foreign, "txqueuelen 1000 up type vxlan", "txqueuelen 1000 alias overlayd up type vxlan", 1), h.state())
	if got := h.link("flannel.1").Index; got != index {
		t.Errorf("the link's number was %d, and is %d", index, got)
	}
	same(t, "told", `{"VNI":1,"VtepMAC":"02:00:00:00:00:ff"}`, string(h.data.V4))
	h.must(h.add(peerOf("vxlan", 7, 0)))
	h.must(h.remove(peerOf("vxlan", 7, 0)))
	h.must(h.backend.Shutdown(t.Context(), h.call))
	same(t, "shut down", before, h.state())
}

func TestALinkThatDiffersIsChangedWhereTheKernelCan(t *testing.T) {
	set := func(l kernel.Link) func(*host) {
		return func(h *host) { l.Name = "flannel.1"; h.do(kernel.Set, l) }
	}
	anew := func(change func(*kernel.Link)) func(*host) {
		return func(h *host) {
			l := h.link("flannel.1")
			v := *l.VXLAN
			l.VXLAN = &v
			change(&l)
			h.do(kernel.Del, l)
			h.do(kernel.Add, l)
		}
	}
	for _, tt := range []struct {
		name   string
		differ func(*host)
		stays  bool
		said   string
	}{
		{"nothing", func(*host) {}, true, ""},
		{"the MTU", set(kernel.Link{MTU: 1400}), true, `link=flannel.1 has="MTU 1400, not 1450"`},
		{"the alias", set(kernel.Link{NoAlias: true}), true, `link=flannel.1 has="alias , not overlayd"`},
		{"the state", set(kernel.Link{State: kernel.Down}), true, `link=flannel.1 has="it is down"`},
		{"the VNI", anew(func(l *kernel.Link) { l.VXLAN.ID = 2 }), false, `has="VNI 2, not 1"`},
		{"the port", anew(func(l *kernel.Link) { l.VXLAN.Port = 4789 }), false, `has="port 4789, not 8472"`},
		{"the local address", anew(func(l *kernel.Link) { l.VXLAN.Local = netip.MustParseAddr("192.0.2.9") }), true, `has="local address 192.0.2.9, not 192.0.2.1"`},
		{"a remote address", anew(func(l *kernel.Link) { l.VXLAN.Remote = netip.MustParseAddr("192.0.2.9") }), true, `has="remote address 192.0.2.9, not invalid IP"`},
		{"a group", anew(func(l *kernel.Link) { l.VXLAN.Remote = netip.MustParseAddr("239.0.0.1") }), false, `has="group 239.0.0.1, not none"`},
		{"the family of its underlay", anew(func(l *kernel.Link) { l.VXLAN.Local = netip.MustParseAddr("2001:db8::1") }), false, `has="an underlay of IPv6 true, not false"`},
		{"learning", anew(func(l *kernel.Link) { l.VXLAN.Learning = true }), true, `has="learning true, not false"`},
		{"GBP", anew(func(l *kernel.Link) { l.VXLAN.GBP = true }), false, `has="GBP true, not false"`},
		{"the checksums", anew(func(l *kernel.Link) { l.VXLAN.Checksum = new(false) }), false, `has="checksums false, not true"`},
		{"two of its tunnel", anew(func(l *kernel.Link) { l.VXLAN.Learning, l.VXLAN.Local = true, netip.MustParseAddr("192.0.2.9") }), true, `has="local address 192.0.2.9, not 192.0.2.1; learning true, not false"`},
		{"the underlying link", anew(func(l *kernel.Link) { l.Lower = "lo" }), true, `has="underlying link lo, not eth0"`},
		{"the kind", anew(func(l *kernel.Link) { l.Kind, l.VXLAN, l.Lower = "dummy", nil, "" }), false, `has="kind dummy, not vxlan"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, nativetest.OnlyV4)
			h.must(h.start("vxlan", ""))
			h.must(h.add(peerOf("vxlan", 7, 0)))
			want := h.state()
			tt.differ(h)
			index := h.link("flannel.1").Index
			h.log.Reset()
			h.must(h.start("vxlan", ""))
			h.must(h.add(peerOf("vxlan", 7, 0)))
			same(t, "mended", want, h.state())
			if stays := h.link("flannel.1").Index == index; stays != tt.stays {
				t.Errorf("it is the same link: %v", stays)
			}
			if got := h.log.String(); !strings.Contains(got, tt.said) || tt.said == "" && got != "" {
				t.Errorf("the log says %q, want %q", got, tt.said)
			}
		})
	}
}

func TestAnotherLeaseTakesTheAddressOfTheOldOneAway(t *testing.T) {
	for _, kind := range []string{"vxlan", "wireguard"} {
		t.Run(kind, func(t *testing.T) {
			h := newHost(t, nativetest.Dual)
			h.must(h.start(kind, ""))
			name := map[string]string{"vxlan": "flannel.1", "wireguard": "flannel-wg"}[kind]
			h.do(kernel.Add, kernel.Addr{Dev: name, Prefix: netip.MustParsePrefix("10.50.99.0/16")})   // inside the network
			h.do(kernel.Add, kernel.Addr{Dev: name, Prefix: netip.MustParsePrefix("198.51.100.1/32")}) // somebody's own affair
			moved := h.families.Lease(kind, 3, "", "")
			h.call.Node.Lease.V4.Subnet, h.call.Node.Lease.V6.Subnet = moved.V4.Subnet, moved.V6.Subnet
			h.must(h.start(kind, ""))
			list, err := h.kernel.List(t.Context(), kernel.Addr{Dev: name, Prefix: netip.MustParsePrefix("10.0.0.0/8")})
			h.must(err)
			same(t, "addresses", "ip address add 198.51.100.1/32 dev "+name+"\nip address add 10.50.3.0/32 dev "+name+"\n", nativetest.Text(list))
		})
	}
}

func TestBackendsAreReadWithoutASet(t *testing.T) {
	var none *Set
	for config, want := range map[[2]string]string{
		{"vxlan", `{"Type":"vxlan"}`}:          "",
		{"wireguard", `{"Type":"wireguard"}`}:  "",
		{"host-gw", `{"Type":"host-gw"}`}:      "",
		{"vxlan", `{"Type":"vxlan","vnii":1}`}: `1:17: unknown key "vnii": did you mean "VNI"?`,
		{"nonsense", `{"Type":"nonsense"}`}:    `type "nonsense" is not one of vxlan, host-gw, wireguard`,
	} {
		_, err := none.Backend(lease.Backend{Type: config[0], Raw: []byte(config[1])}, BackendOptions{Logger: slog.New(slog.DiscardHandler)})
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: got %v, want %q", config[1], err, want)
		}
	}
}

func TestOfTwoNodesThatLearnOfEachOtherOneGreetsAtOnce(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("wireguard", ""))
	b := h.backend.(*planned)
	h.must(h.add(peerOf("wireguard", 7, 1)))
	known := peerOf("wireguard", 7, 1).String()
	same := h.set.scopes.Owned(known)[0].(kernel.Peer)
	first, last, elsewhere := same, same, same
	first.PublicKey, elsewhere.PublicKey, elsewhere.Dev = kernel.PublicKey{}, kernel.PublicKey{}, "flannel-wg-v6"
	for i := range last.PublicKey {
		last.PublicKey[i] = 255 // which this node's own key, a random one, is never
	}
	for _, tt := range []struct {
		reason hooks.Reason
		scope  string
		peer   kernel.Peer
		want   bool
	}{
		{hooks.Join, "new", first, false},
		{hooks.Join, "new", last, true},
		{hooks.Start, "new", first, false},
		{hooks.Start, known, same, true}, // this node comes back
		{hooks.Start, known, elsewhere, false},
		{hooks.Change, known, first, true}, // the peer has another key
		{hooks.Change, known, elsewhere, false},
		{hooks.Change, "new", first, false},
		{hooks.Change, "new", last, true},
		{hooks.Repair, known, last, false},
	} {
		objects := b.greet(tt.reason, tt.scope, []kernel.Object{tt.peer})
		greets := func(o kernel.Object) bool { return o.(kernel.Peer).Keepalive != nil }
		if got := slices.ContainsFunc(objects[:len(objects)-1], greets); got != tt.want {
			t.Errorf("%s, scope %s, key %s: greets %t", tt.reason, tt.scope, tt.peer.PublicKey, got)
		}
	}
}
