package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/journal"
)

var quiet = slog.New(slog.DiscardHandler)

func scopesOn(t *testing.T, k Kernel, path string) *Scopes {
	t.Helper()
	s, err := newScopes(k, path, journal.Life{Boot: "this", Namespace: "here"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// owned is what each scope owns, as text.
func owned(s *Scopes) string {
	var b strings.Builder
	for _, name := range s.Names() {
		fmt.Fprintf(&b, "%s\n%s", name, describe(s.Owned(name)))
	}
	return b.String()
}

var (
	port    = 51820
	private = Secret{1, 2, 3}
	forward = Sysctl{Name: "net/ipv4/ip_forward", Value: "1"}
	off     = Down
	wgPeer  = Peer{Dev: "wg", PublicKey: PublicKey{7}, Endpoint: netipPort("192.0.2.7:51820"), AllowedIPs: prefixes("10.50.7.0/24"), ReplaceIPs: true}
)

// sequences are what the hooks of the examples do, and what others might.
var sequences = []struct {
	name   string
	before []Op // done by somebody else
	ops    []Op
}{
	{"vxlan, node", nil, []Op{
		{Add, Link{Name: "vx", Kind: "vxlan", VXLAN: vx.VXLAN}}, {Set, Link{Name: "vx", MTU: 1450}}, {Add, own}, {Set, vxUp},
	}},
	{"vxlan, node, once more", []Op{{Add, vx}, {Set, vxUp}, {Add, own}, {Add, own6}, {Add, toPeer}, {Add, neigh}, {Add, remote}, {Add, flood}, {Append, behind(flood, "192.0.2.9")}}, []Op{
		{Del, Link{Name: "vx"}}, {Add, Link{Name: "vx", Kind: "vxlan", VXLAN: vx.VXLAN}}, {Set, Link{Name: "vx", MTU: 1450}}, {Add, own}, {Set, vxUp},
	}},
	{"vxlan, peer", []Op{{Add, vx}, {Set, vxUp}}, []Op{{Add, toPeer}, {Replace, neigh}, {Add, remote}}},
	{"vxlan, peer whose neighbour was another", []Op{{Add, vx}, {Set, vxUp}, {Add, Neigh{IP: neigh.IP, Dev: "vx", Address: "02:00:00:00:00:98"}}}, []Op{
		{Add, toPeer}, {Replace, neigh}, {Add, remote},
	}},
	{"host-gw", []Op{{Add, vx}, {Set, vxUp}, {Add, Addr{Dev: "vx", Prefix: prefix("192.0.2.1/24")}}}, []Op{
		{Add, Route{Dst: toPeer.Dst, Hops: []Hop{{Via: ip("192.0.2.7")}}}}, {Del, Route{Dst: toPeer.Dst, Hops: []Hop{{Via: ip("192.0.2.7")}}}},
	}},
	{"deletions that leave things unsaid", []Op{
		{Add, vx}, {Set, vxUp}, {Add, route(toPeer, func(r *Route) { r.Metric = 7 })}, {Add, toPeer6}, {Add, flood}, {Append, behind(flood, "192.0.2.9")},
	}, []Op{{Del, Route{Dst: toPeer.Dst}}, {Del, Route{Dst: toPeer6.Dst}}, {Del, FDB{Address: flood.Address, Dev: "vx"}}}},
	{"wireguard, node", nil, []Op{
		{Add, Link{Name: "wg", Kind: "wireguard"}}, {Set, Device{Name: "wg", ListenPort: &port, PrivateKey: &private}},
		{Add, Addr{Dev: "wg", Prefix: own.Prefix}}, {Set, Link{Name: "wg", State: Up}}, {Add, Route{Dst: prefix("10.50.0.0/16"), Hops: []Hop{{Dev: "wg"}}}},
		{Set, wgPeer},
	}},
	{"wireguard, all again", []Op{
		{Add, Link{Name: "wg", Kind: "wireguard"}}, {Set, Device{Name: "wg", ListenPort: &port, PrivateKey: &private}},
		{Add, Addr{Dev: "wg", Prefix: own.Prefix}}, {Set, Link{Name: "wg", State: Up}}, {Add, Route{Dst: prefix("10.50.0.0/16"), Hops: []Hop{{Dev: "wg"}}}},
		{Set, wgPeer}, {Set, Peer{Dev: "wg", PublicKey: PublicKey{8}, AllowedIPs: prefixes("10.50.8.0/24")}},
	}, []Op{
		{Set, Peer{Dev: "wg", PublicKey: PublicKey{8}, AllowedIPs: prefixes("10.50.7.0/24", "10.50.9.0/24"), ReplaceIPs: true, Endpoint: wgPeer.Endpoint}},
		{Del, Peer{Dev: "wg", PublicKey: PublicKey{7}}},
		{Set, Device{Name: "wg", ListenPort: new(int), PrivateKey: &Secret{4}}},
		{Del, Link{Name: "wg"}},
		{Add, Link{Name: "wg", Kind: "wireguard", MTU: 1400}},
	}},
	{"sysctls", []Op{{Add, vx}, {Set, Sysctl{Name: "net/ipv4/conf/vx/rp_filter", Value: "2"}}}, []Op{
		{Set, forward}, {Set, Sysctl{Name: "net/ipv4/conf/vx/rp_filter", Value: "1"}}, {Set, Sysctl{Name: "net/ipv4/conf/vx/forwarding", Value: "1"}},
		{Set, Link{Name: "vx", Rename: "vy"}}, {Set, Sysctl{Name: "net/ipv4/conf/vy/forwarding", Value: "0"}}, {Del, Link{Name: "vy"}},
	}},
	{"VLANs", append(bridged[:3:3], Op{Replace, vlan(20, "pvid")}), []Op{
		{Replace, vlan(5, "")}, {Replace, vlan(6, "pvid untagged")}, {Replace, vlan(7, "pvid")}, {Replace, vlan(20, "untagged")}, {Del, vlan(5, "")},
		{Replace, bridgeVLAN(7, "")}, {Set, Link{Name: "p", Rename: "r"}}, {Set, Link{Name: "r", NoMaster: true}}, {Set, Link{Name: "r", Master: "br"}},
		{Del, Link{Name: "br"}}, {Set, Link{Name: "r", Rename: "p"}}, {Add, Link{Name: "br", Kind: "bridge"}}, {Set, Link{Name: "p", Master: "br"}},
	}},
	{"all kinds of changes", []Op{{Add, vx}, {Set, vxUp}, {Add, own}, {Add, toPeer}, {Add, toPeer6}, {Add, neigh}, {Add, remote}, {Add, Link{Name: "br", Kind: "bridge"}}}, []Op{
		{Replace, via(toPeer, "10.50.8.0")}, {Append, via(toPeer, "10.50.9.0")}, {Change, via(toPeer6, "fd00:9::")}, {Replace, behind(remote, "192.0.2.9")},
		{Set, Link{Name: "vx", MTU: 1400, Address: station, Alias: "x", TxQueue: 7, Master: "br"}}, {Set, Link{Name: "vx", NoMaster: true, State: off}},
		{Set, Link{Name: "vx", Rename: "vy"}}, {Set, Link{Name: "vy", State: Up}}, {Del, Addr{Dev: "vy", Prefix: own.Prefix}}, {Add, Addr{Dev: "vy", Prefix: own6.Prefix}},
	}},
}

func TestUndoneAfterAnyOperationNothingHasChanged(t *testing.T) {
	for _, tt := range sequences {
		t.Run(tt.name, func(t *testing.T) {
			for n := range len(tt.ops) + 1 {
				k := NewFake()
				do(t, k, tt.before...)
				scopes := scopesOn(t, k, "")
				before, ownedBefore := k.String(), owned(scopes)
				run := scopes.Begin("s")
				do(t, run, tt.ops[:n]...)
				if err := run.Undo(t.Context()); err != nil {
					t.Fatalf("after %d operations: %v", n, err)
				}
				if diff := cmp.Diff(before, k.String()); diff != "" {
					t.Errorf("after %d operations (-before +after):\n%s", n, diff)
				}
				if diff := cmp.Diff(ownedBefore, owned(scopes)); diff != "" {
					t.Errorf("ownership after %d operations (-before +after):\n%s", n, diff)
				}
				retry := scopes.Begin("s")
				do(t, retry, tt.ops...)
				retry.Keep()
			}
		})
	}
}

// A failing kernel refuses the nth operation that is carried out, counted from 0.
type failing struct {
	Kernel
	left int
}

func (f *failing) Do(ctx context.Context, ops ...Op) error {
	for _, op := range ops {
		f.left--
		if f.left == -1 {
			return &OpError{Op: op, Errno: syscall.ENOBUFS}
		}
		if err := f.Kernel.Do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (f *failing) Batch(ctx context.Context, ops iter.Seq[Op]) []error { return eachOf(ctx, f, ops) }

func TestAfterARefusalUndoAndRetrySucceed(t *testing.T) {
	for _, tt := range sequences {
		t.Run(tt.name, func(t *testing.T) {
			for n := range tt.ops {
				k := NewFake()
				do(t, k, tt.before...)
				f := &failing{k, n}
				scopes := scopesOn(t, f, "")
				before := k.String()
				run := scopes.Begin("s")
				if err := run.Do(t.Context(), tt.ops...); !errors.Is(err, syscall.ENOBUFS) {
					t.Fatalf("got %v, want the refusal", err)
				}
				if err := run.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before+owned(scopesOn(t, k, "")), k.String()+owned(scopes)); diff != "" {
					t.Errorf("refused operation %d (-before +after):\n%s", n, diff)
				}
				retry := scopes.Begin("s")
				do(t, retry, tt.ops...)
			}
		})
	}
}

func TestUndoOnLinux(t *testing.T) {
	for _, tt := range sequences {
		if strings.HasPrefix(tt.name, "wireguard") {
			continue // its devices belong to the whole process: TestWireGuardUndo
		}
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "VLANs") {
				requireVLANs(t)
			}
			for n := range len(tt.ops) + 1 {
				k := openIn(t)
				do(t, k, tt.before...)
				scopes := scopesOn(t, k, "")
				before := state(t, k)
				run := scopes.Begin("s")
				do(t, run, tt.ops[:n]...)
				if err := run.Undo(t.Context()); err != nil {
					t.Fatalf("after %d operations: %v", n, err)
				}
				if diff := cmp.Diff(before, state(t, k)); diff != "" {
					t.Errorf("after %d operations (-before +after):\n%s", n, diff)
				}
				retry := scopes.Begin("s")
				do(t, retry, tt.ops...)
			}
		})
	}
}

func TestAScopeMayRepeatItselfButNotOthers(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes := scopesOn(t, k, "")
		node, peer, other := scopes.Begin("node"), scopes.Begin("10.50.7.0/24"), scopes.Begin("10.50.8.0/24")
		do(t, node, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own})
		do(t, peer, Op{Add, toPeer}, Op{Add, remote})
		for range 2 {
			do(t, node, Op{Add, vx}, Op{Add, own})
			do(t, peer, Op{Add, toPeer}, Op{Add, remote})
		}
		for _, o := range []Object{vx, toPeer, remote} {
			if err := other.Do(t.Context(), Op{Add, o}); !errors.Is(err, fs.ErrExist) {
				t.Errorf("another scope adds %s: got %v, want fs.ErrExist", o.Key(), err)
			}
		}
		do(t, peer, Op{Add, behind(remote, "192.0.2.8")})
		if got := list(t, k, FDB{Dev: "vx", Address: station})[0].(FDB).Dst; got != ip("192.0.2.8") {
			t.Errorf("an entry that differs is behind %s, want it replaced", got)
		}
		do(t, k, Op{Del, toPeer})
		do(t, peer, Op{Del, toPeer})
		if err := peer.Do(t.Context(), Op{Del, toPeer}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("deleted twice: got %v, want fs.ErrNotExist", err)
		}
	})
}

func TestALinkThatDiffersIsMadeAnew(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes := scopesOn(t, k, "")
		run := scopes.Begin("node")
		do(t, run, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own})
		run.Keep()
		before := state(t, k)
		again := scopes.Begin("node")
		changed := vx
		changed.VXLAN = &VXLAN{ID: 2, Port: 8472}
		do(t, again, Op{Add, changed})
		if got := list(t, k, Link{Name: "vx"})[0].(Link).VXLAN.ID; got != 2 {
			t.Errorf("got VNI %d, want 2", got)
		}
		if err := again.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, state(t, k)); diff != "" {
			t.Errorf("undone (-before +after):\n%s", diff)
		}
		if got := len(scopes.Owned("node")); got != 2 {
			t.Errorf("owns %d objects after undo, want link and address", got)
		}
	})
}

func TestSweepDeletesWhatTheRunDidNotTouch(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		scopes := scopesOn(t, k, "")
		first := scopes.Begin("s")
		old := FDB{Address: "02:00:00:00:00:98", Dev: "vx", Dst: ip("192.0.2.7")}
		do(t, first, Op{Add, toPeer}, Op{Replace, neigh}, Op{Add, old})
		first.Keep()
		second := scopes.Begin("s")
		do(t, second, Op{Add, toPeer}, Op{Replace, neigh}, Op{Add, remote})
		if err := second.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := list(t, k, FDB{Dev: "vx"}); len(got) != 1 || got[0].(FDB).Address != station {
			t.Errorf("after sweep: %v, want only the new entry", got)
		}
		if got := len(scopes.Owned("s")); got != 3 {
			t.Errorf("owns %d objects, want 3", got)
		}
		do(t, k, Op{Del, neigh}) // what is gone already is no hindrance
		if err := scopes.Begin("s").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := state(t, k); strings.Count(got, "\n") != 1 || len(scopes.Names()) != 0 {
			t.Errorf("after clear: %swant only the link; scopes %v, want none", got, scopes.Names())
		}
	})
}

func TestADeletedLinkIsOwnedNoMoreButWhatOthersHadOnItIs(t *testing.T) {
	scopes := scopesOn(t, NewFake(), "")
	node, peer := scopes.Begin("node"), scopes.Begin("peer")
	do(t, node, Op{Add, vx}, Op{Set, vxUp}, Op{Set, Link{Name: "vx", MTU: 1450}})
	do(t, peer, Op{Add, toPeer}, Op{Add, remote}, Op{Add, Link{Name: "br", Kind: "bridge"}})
	peer.Keep()
	node.Keep()
	if mtu, err := scopes.LinkMTU(t.Context(), "node"); mtu != 1450 || err != nil {
		t.Errorf("LinkMTU: got %d, %v, want 1450", mtu, err)
	}
	before := owned(scopes)
	again := scopes.Begin("node")
	do(t, again, Op{Del, Link{Name: "vx"}})
	if got := len(scopes.Owned("node")); got != 0 {
		t.Errorf("node owns %d objects, want none", got)
	}
	if got := len(scopes.Owned("peer")); got != 3 {
		t.Errorf("peer owns %d objects, want them all: its hooks are to make them again, or delete them", got)
	}
	if err := again.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, owned(scopes)); diff != "" {
		t.Errorf("owned after undo (-before +after):\n%s", diff)
	}
}

func TestAppendingAgainSucceedsAndUndoLeavesWhatWasThere(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp}, Op{Add, toPeer}, Op{Add, flood}, Op{Append, behind(flood, "192.0.2.8")})
		scopes := scopesOn(t, k, "")
		first := scopes.Begin("s")
		do(t, first, Op{Append, via(toPeer, "10.50.9.0")}, Op{Append, behind(flood, "192.0.2.9")})
		first.Keep()
		before := state(t, k)
		again := scopes.Begin("s")
		do(t, again, Op{Append, via(toPeer, "10.50.9.0")}, Op{Append, behind(flood, "192.0.2.9")}, Op{Append, behind(flood, "192.0.2.8")})
		if err := again.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, state(t, k)); diff != "" {
			t.Errorf("undone (-before +after):\n%s", diff)
		}
		if err := scopes.Begin("s").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := state(t, k); strings.Contains(got, "192.0.2.9") || strings.Contains(got, "10.50.9.0") || !strings.Contains(got, "192.0.2.8") {
			t.Errorf("after clear, want only what others made:\n%s", got)
		}
	})
}

func TestWhatIsAdoptedIsOwnedAndUntouched(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own})
		before := state(t, k)
		scopes := scopesOn(t, k, "")
		run := scopes.Begin("node")
		if err := run.Adopt(vx); err != nil {
			t.Fatal(err)
		}
		if got := scopes.Owner(vxUp); got != "node" {
			t.Errorf("the owner is %q, want node", got)
		}
		if got := scopes.Owner(own); got != "" {
			t.Errorf("the owner of the address is %q, want none", got)
		}
		if err := run.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, state(t, k)); diff != "" || scopes.Owner(vx) != "" {
			t.Errorf("undone, it is %q's (-before +after):\n%s", scopes.Owner(vx), diff)
		}
		again := scopes.Begin("node")
		if err := errors.Join(again.Adopt(vx), again.Sweep(t.Context())); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, state(t, k)); diff != "" {
			t.Errorf("swept (-before +after):\n%s", diff)
		}
		if err := scopes.Begin("node").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := state(t, k); got != "" {
			t.Errorf("cleared, there is still\n%s", got)
		}
	})
}

func TestHoldingsSayWhatIsMissing(t *testing.T) {
	k := NewFake()
	scopes := scopesOn(t, k, "")
	fill(t, scopes)
	if err := k.Do(t.Context(), Op{Del, toPeer}); err != nil {
		t.Fatal(err)
	}
	holdings, err := scopes.Holdings(t.Context(), "10.50.7.0/24")
	if err != nil {
		t.Fatal(err)
	}
	owned := scopes.Owned("10.50.7.0/24")
	if len(holdings) != len(owned) {
		t.Fatalf("%d holdings of %d objects", len(holdings), len(owned))
	}
	for i, h := range holdings {
		if want := (Op{Add, h.Object}).String() == (Op{Add, toPeer}).String(); h.Missing != want || h.Object.Key() != owned[i].Key() {
			t.Errorf("%s: missing %v, want %v", Op{Add, h.Object}, h.Missing, want)
		}
	}
}
