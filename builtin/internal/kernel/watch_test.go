package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// watched fills two scopes and returns what Watch tells, from the moment at which all was found in order.
func watched(t *testing.T, k Kernel, interval time.Duration) (*Scopes, <-chan []string) {
	t.Helper()
	scopes := scopesOn(t, k, filepath.Join(t.TempDir(), "ledger"))
	node, peer := scopes.Begin("node"), scopes.Begin("10.50.7.0/24")
	do(t, node, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own}, Op{Set, forward})
	do(t, peer, Op{Add, toPeer}, Op{Add, toPeer6}, Op{Replace, neigh}, Op{Add, remote})
	node.Keep()
	peer.Keep()
	told := make(chan []string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- scopes.Watch(ctx, interval, func(names []string) { told <- names }) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
		t.Fatalf("damaged before anything happened: %v, %v", names, err)
	}
	return scopes, told
}

func TestDamageIsToldSoonAndOnce(t *testing.T) {
	const peer = "10.50.7.0/24"
	for _, tt := range []struct {
		name string
		ops  []Op // of somebody else
		want []string
	}{
		{"a route is deleted", []Op{{Del, toPeer}}, []string{peer}},
		{"an IPv6 route is deleted", []Op{{Del, toPeer6}}, []string{peer}},
		{"a route is replaced by another", []Op{{Replace, Route{Dst: toPeer.Dst, Metric: toPeer.Metric, Hops: []Hop{{Dev: "vx"}}}}}, []string{peer}},
		{"a neighbour is deleted", []Op{{Del, neigh}}, []string{peer}},
		{"a neighbour is changed", []Op{{Replace, Neigh{IP: neigh.IP, Dev: neigh.Dev, Address: "02:00:00:00:00:42"}}}, []string{peer}},
		{"an FDB entry is deleted", []Op{{Del, remote}}, []string{peer}},
		{"an FDB entry leads elsewhere", []Op{{Replace, behind(remote, "192.0.2.99")}}, []string{peer}},
		{"the only address of a link, with which go its routes, is deleted", []Op{{Del, own}}, []string{peer, "node"}},
		{"a setting is changed", []Op{{Set, Sysctl{Name: forward.Name, Value: "0"}}}, []string{"node"}},
		{"a link gets another MTU", []Op{{Set, Link{Name: "vx", MTU: 1300}}}, nil}, // nobody said which
		{"a link is deleted", []Op{{Del, Link{Name: "vx"}}}, []string{peer, "node"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachKernel(t, func(t *testing.T, k Kernel) {
				_, told := watched(t, k, time.Hour)
				began := time.Now()
				do(t, k, tt.ops...)
				wait := 150 * time.Millisecond
				if len(tt.want) > 0 {
					wait = 10 * time.Second
				}
				var got []string
				for len(got) < max(len(tt.want), 1) {
					select {
					case names := <-told:
						got = append(got, names...)
						slices.Sort(got)
						got = slices.Compact(got) // several losses of one scope may be told one by one
						continue
					case <-time.After(wait):
					}
					break
				}
				t.Logf("told after %v", time.Since(began))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("damaged (-want +got):\n%s", diff)
				}
				if len(tt.want) > 1 {
					return
				}
				select {
				case names := <-told:
					t.Errorf("told once more: %v", names)
				case <-time.After(50 * time.Millisecond):
				}
			})
		})
	}
}

func TestALinkThatGoesDownIsDamageAndSoAreItsRoutes(t *testing.T) {
	k := openIn(t) // a Fake's routes stay
	_, told := watched(t, k, time.Hour)
	do(t, k, Op{Set, Link{Name: "vx", State: Down}})
	want := []string{"10.50.7.0/24", "node"}
	got := <-told
	for slices.Sort(got); len(got) < len(want); slices.Sort(got) {
		got = slices.Compact(append(got, <-told...)) // one by one, on a busy machine
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("damaged (-want +got):\n%s", diff)
	}
}

func TestWhatIsLostIsPutBackBeforeAnyHookHasRun(t *testing.T) {
	mtu := Link{Name: "vx", MTU: 1400}
	for _, tt := range []struct {
		name string
		ops  []Op // of somebody else
	}{
		{"a route", []Op{{Del, toPeer}}},
		{"a route in whose place is another", []Op{{Replace, Route{Dst: toPeer.Dst, Hops: []Hop{{Dev: "vx"}}}}}},
		{"all on a link", []Op{{Del, toPeer}, {Del, toPeer6}, {Del, neigh}, {Del, remote}, {Del, own}}},
		{"a neighbour that is changed", []Op{{Replace, Neigh{IP: neigh.IP, Dev: neigh.Dev, Address: "02:00:00:00:00:42"}}}},
		{"an FDB entry that leads elsewhere", []Op{{Replace, behind(remote, "192.0.2.99")}}},
		{"one of several remotes", []Op{{Del, behind(flood, "192.0.2.9")}}},
		{"a rule", []Op{{Del, universe.rules[0]}}},
		{"a setting", []Op{{Set, Sysctl{Name: forward.Name, Value: "0"}}}},
		{"a link's state", []Op{{Set, Link{Name: "vx", State: Down}}}},
		{"a link's MTU", []Op{{Set, Link{Name: "vx", MTU: 1300}}}},
		{"a link's address", []Op{{Set, Link{Name: "vx", Address: "02:00:00:00:00:77"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachKernel(t, func(t *testing.T, k Kernel) {
				scopes, told := watched(t, k, time.Hour)
				more := scopes.Begin("more")
				do(t, more, Op{Set, mtu}, Op{Add, flood}, Op{Append, behind(flood, "192.0.2.9")}, Op{Add, universe.rules[0]})
				more.Keep()
				node := scopes.Begin("node")
				do(t, node, Op{Set, mtu})
				node.Keep()
				before := sortedLines(state(t, k) + describe(list(t, k, Rule{})))
				do(t, k, tt.ops...)
				<-told
				now := func() string { return sortedLines(state(t, k) + describe(list(t, k, Rule{}))) }
				defer func() {
					if diff := cmp.Diff(before, now()); diff != "" {
						t.Errorf("not as before (-want +got):\n%s", diff)
					}
				}()
				await(t, "all is as before", func() bool { return now() == before })
			})
		})
	}
}

// The kernel forgets all neighbours of a link whose address is set, also when it is set back.
func TestALinkThatGetsItsAddressBackKeepsNeighboursPutBackBefore(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes := scopesOn(t, k, "")
		node, peer := scopes.Begin("node"), scopes.Begin("10.50.7.0/24")
		do(t, node, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own})
		do(t, peer, Op{Replace, neigh})
		node.Keep()
		peer.Keep()
		before := state(t, k)
		for _, op := range []Op{{Del, neigh}, {Set, Link{Name: "vx", Address: "02:00:00:00:00:77"}}} {
			do(t, k, op)
			if names, err := scopes.Audit(t.Context()); len(names) != 1 || err != nil {
				t.Fatalf("%s: damaged: %v, %v", op, names, err)
			}
			if diff := cmp.Diff(before, state(t, k)); diff != "" {
				t.Errorf("%s: put back (-want +got):\n%s", op, diff)
			}
		}
	})
}

func sortedLines(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// A silent kernel tells nothing, as Linux does of WireGuard.
type silent struct{ Kernel }

func (silent) Watch(ctx context.Context, _ func(Notice)) error { <-ctx.Done(); return ctx.Err() }

func TestWhatTheKernelDoesNotTellIsFoundByTheAudit(t *testing.T) {
	k := silent{NewFake()}
	scopes, told := watched(t, k, 20*time.Millisecond)
	run := scopes.Begin("10.50.8.0/24")
	do(t, run, Op{Add, Link{Name: "wg", Kind: "wireguard"}}, Op{Set, wgPeer})
	run.Keep()
	for _, tt := range []struct {
		name string
		op   Op
	}{
		{"a peer's prefixes", Op{Set, Peer{Dev: "wg", PublicKey: wgPeer.PublicKey, AllowedIPs: prefixes("10.50.9.0/24"), ReplaceIPs: true}}},
		{"a peer", Op{Del, wgPeer}},
	} {
		do(t, k, tt.op)
		if diff := cmp.Diff([]string{"10.50.8.0/24"}, <-told); diff != "" {
			t.Errorf("%s: damaged (-want +got):\n%s", tt.name, diff)
		}
		mend := scopes.Begin("10.50.8.0/24")
		do(t, mend, Op{Set, wgPeer})
		mend.Keep()
	}
}

func TestOwnChangesAreNoDamage(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes, told := watched(t, k, time.Millisecond)
		for i := range 50 {
			run := scopes.Begin("10.50.7.0/24")
			do(t, run, Op{Del, toPeer}, Op{Del, neigh}, Op{Add, toPeer}, Op{Replace, behind(remote, fmt.Sprintf("192.0.2.%d", i+10))}, Op{Add, neigh})
			if i%2 == 0 {
				run.Keep()
			} else if err := run.Undo(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case names := <-told:
			t.Errorf("told of %v", names)
		case <-time.After(100 * time.Millisecond):
		}
	})
}

func TestWhatWasMendedAndIsLostAgainIsToldAgain(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes, told := watched(t, k, time.Hour)
		for range 3 {
			do(t, k, Op{Del, toPeer})
			if diff := cmp.Diff([]string{"10.50.7.0/24"}, <-told); diff != "" {
				t.Errorf("damaged (-want +got):\n%s", diff)
			}
			run := scopes.Begin("10.50.7.0/24")
			do(t, run, Op{Add, toPeer})
			run.Keep()
		}
	})
}

func TestDamageDuringARunIsToldAfterIt(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		scopes, told := watched(t, k, time.Hour)
		run := scopes.Begin("10.50.7.0/24")
		do(t, k, Op{Del, toPeer})
		select {
		case names := <-told:
			t.Errorf("told of %v, whose run is open", names)
		case <-time.After(100 * time.Millisecond):
		}
		run.Keep()
		if diff := cmp.Diff([]string{"10.50.7.0/24"}, <-told); diff != "" {
			t.Errorf("damaged (-want +got):\n%s", diff)
		}
	})
}

// A storm is one batch: few calls tell of all of it.
func TestTenThousandFlushedRoutesAreToldAtOnce(t *testing.T) {
	k := openIn(t)
	do(t, k, Op{Add, vx}, Op{Set, vxUp})
	scopes := scopesOn(t, k, filepath.Join(t.TempDir(), "ledger"))
	const peers = 10_000
	var routes []Op
	for i := range peers {
		r := Route{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i/250), byte(i % 250), 0}), 24), Hops: []Hop{{Dev: "vx"}}}
		run := scopes.Begin(r.Dst.String())
		do(t, run, Op{Add, r})
		run.Keep()
		routes = append(routes, Op{Del, r})
	}
	told := make(chan []string, peers)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- scopes.Watch(ctx, time.Hour, func(names []string) { told <- names }) }()
	defer func() { cancel(); <-done }()
	began := time.Now()
	if _, err := scopes.Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("an audit of %d objects takes %v", peers, time.Since(began))
	do(t, k, routes...)
	flushed := time.Now()
	calls, all := 0, 0
	for all < peers {
		calls++
		all += len(<-told)
	}
	t.Logf("%d scopes told by %d calls, the last %v after the flush", all, calls, time.Since(flushed))
	if all != peers {
		t.Errorf("%d scopes were told of, want %d", all, peers)
	}
	await(t, "all are put back", func() bool { return len(list(t, k, Route{Hops: []Hop{{Dev: "vx"}}})) >= peers })
	t.Logf("all are put back %v after the flush", time.Since(flushed))
}

// A run that ends while the kernel is looked at may have deleted, or taken over, what the look then misses.
func TestNothingIsPutBackThatWasDeletedMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scope string
		op    Op
	}{
		{"deleted by its scope", "10.50.7.0/24", Op{Del, remote}},
		{"taken over by another scope", "other", Op{Replace, behind(remote, "192.0.2.9")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &meddled{Kernel: NewFake()}
			scopes := scopesOn(t, k, "")
			run := scopes.Begin("10.50.7.0/24")
			do(t, run, Op{Add, vx}, Op{Add, remote})
			run.Keep()
			k.before = func() {
				k.before = nil
				run := scopes.Begin(tt.scope)
				do(t, run, tt.op)
				run.Keep()
			}
			if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
				t.Errorf("damaged are %v, %v, want none", names, err)
			}
			want := map[Verb]int{Del: 0, Replace: 1}[tt.op.Verb]
			if got := list(t, k, FDB{Dev: "vx"}); len(got) != want || want == 1 && got[0].(FDB).Dst != ip("192.0.2.9") {
				t.Errorf("there is %v", got)
			}
		})
	}
}

// A run that ends while the kernel is looked at may have mended what the look has found, whether it was open before or not.
func TestDamageThatARunHasMendedMeanwhileIsNotTold(t *testing.T) {
	for _, open := range []bool{true, false} {
		k := &meddled{Kernel: NewFake()}
		scopes := scopesOn(t, k, "")
		run := scopes.Begin("10.50.7.0/24")
		do(t, run, Op{Add, vx}, Op{Add, remote})
		run.Keep()
		do(t, k, Op{Del, remote})
		if open {
			run = scopes.Begin("10.50.7.0/24")
		}
		k.after = func() {
			if !open {
				run = scopes.Begin("10.50.7.0/24")
			}
			do(t, run, Op{Add, remote})
			run.Keep()
		}
		if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
			t.Errorf("open before: %t: damaged are %v, %v, want none", open, names, err)
		}
		k.after = nil
		do(t, k, Op{Del, remote})
		if names, err := scopes.Audit(t.Context()); len(names) != 1 || err != nil {
			t.Errorf("open before: %t: damaged are %v, %v, want what is lost once more", open, names, err)
		}
	}
}

// A meddled kernel lets something happen before it compares, or after.
type meddled struct {
	Kernel
	before, after func()
}

func (m *meddled) Compare(ctx context.Context, objects []Object) ([]Difference, error) {
	if m.before != nil {
		m.before()
	}
	differences, err := m.Kernel.Compare(ctx, objects)
	if m.after != nil {
		m.after()
	}
	return differences, err
}

func TestNoLinkIsRememberedThatHasGone(t *testing.T) {
	up := map[string]bool{}
	for i := range 1000 {
		veth := Link{Name: fmt.Sprint("veth", i), State: Up}
		if !(Notice{Object: veth}).brings(up) || (Notice{Object: veth}).brings(up) {
			t.Fatal("a link comes up once")
		}
		if (Notice{Object: veth, Gone: true}).brings(up) {
			t.Fatal("a link that goes brings nothing")
		}
	}
	if len(up) > 0 {
		t.Errorf("%d links are remembered", len(up))
	}
}
