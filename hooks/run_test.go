package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

func TestBackoffDoublesToAMinuteLessAFifthAtMost(t *testing.T) {
	r := runner{Options: Options{jitter: func(longest time.Duration) time.Duration { return rand.N(longest) }}}
	for failures, longest := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 8: time.Minute, 1_000_000: time.Minute,
	} {
		for range 100 {
			if got := r.backoff(failures); got > longest || got < longest*4/5 {
				t.Errorf("%d failures: %v, want %v to %v", failures, got, longest*4/5, longest)
			}
		}
	}
}

func TestSingleDataIsToldWithTheFirstFamilyInUse(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.50.0.0/16"), netip.MustParsePrefix("fd00::/48")
	data := json.RawMessage(`"own"`)
	for name, tt := range map[string]struct {
		networks []netip.Prefix
		want     Data
	}{
		"IPv4 alone":    {[]netip.Prefix{v4}, Data{V4: data}},
		"IPv6 alone":    {[]netip.Prefix{v6}, Data{V6: data}},
		"both families": {[]netip.Prefix{v6, v4}, Data{V4: data}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Node{Networks: tt.networks}.Single(data)); diff != "" {
				t.Errorf("tells (-want +got):\n%s", diff)
			}
		})
	}
}

// An unreliable backend keeps what its hooks made, and refuses a call that does not fit it.
type unreliable struct {
	Nop
	t    *testing.T
	fail func() bool

	mu     sync.Mutex
	made   map[string]string // data by subnet
	failed map[string]int    // how often in a row, by hook and subnet
}

var errUnreliable = errors.New("by chance")

// chance fails less often in a row than would make a SubnetRemove be given up.
func (u *unreliable) chance(ctx context.Context, hook Hook, peer lease.Lease) error {
	of := string(hook) + peer.String()
	u.mu.Lock()
	fail := u.fail() && u.failed[of] < removeTries-2
	if u.failed[of]++; !fail {
		delete(u.failed, of)
	}
	u.mu.Unlock()
	if sleep.For(ctx, 100*time.Millisecond) != nil || fail {
		return errUnreliable
	}
	return nil
}

func (u *unreliable) SubnetAdd(ctx context.Context, _ Call, peer lease.Lease) error {
	if err := u.chance(ctx, SubnetAdd, peer); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.made[peer.String()] = string(peer.V4.Data)
	return nil
}

func (u *unreliable) SubnetRemove(ctx context.Context, _ Call, peer lease.Lease) error {
	if err := u.chance(ctx, SubnetRemove, peer); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if made := u.made[peer.String()]; made != string(peer.V4.Data) {
		u.t.Errorf("SubnetRemove %v with %s, was added with %s", peer, peer.V4.Data, made)
	}
	delete(u.made, peer.String())
	return nil
}

// An unreliableSyncer is one that is a Syncer, of whose peers one that changes is not removed first.
type unreliableSyncer struct {
	*unreliable
	Effects
}

func (u unreliableSyncer) Sync(ctx context.Context, call Call, peers []*lease.Lease) (errs []error) {
	for _, p := range peers {
		errs = append(errs, u.SubnetAdd(ctx, call, *p))
	}
	return errs
}

func (u unreliableSyncer) Clear(_ context.Context, scope string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, made := u.made[scope]; made {
		u.t.Errorf("cleared %s, whose SubnetRemove is due", scope)
	}
	return nil
}

func (u unreliableSyncer) Move(from, to string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	data, made := u.made[from]
	if _, twice := u.made[to]; !made || twice {
		u.t.Errorf("moved %s to %s: there is %v", from, to, u.made)
	}
	delete(u.made, from)
	u.made[to] = data
	return nil
}

func TestWhateverHappensTheLastListIsReached(t *testing.T) {
	for seed := range uint64(100) {
		for _, syncer := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed %d syncer %t", seed, syncer), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { convergeByChance(t, rand.New(rand.NewPCG(seed, 0)), syncer) })
			})
		}
	}
}

func convergeByChance(t *testing.T, random *rand.Rand, syncer bool) {
	failures := rand.New(rand.NewPCG(random.Uint64(), 1)) // under the backend's lock
	u := &unreliable{t: t, fail: func() bool { return failures.IntN(3) == 0 }, made: map[string]string{}, failed: map[string]int{}}
	s := &script{t: t, sets: make(chan lease.Peers), behave: map[string]*behaviour{}, busy: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	options := Options{
		Leases: s, Backend: u, Reason: Start, Concurrency: 1 + random.IntN(3), Logger: slog.New(slog.DiscardHandler),
	}
	if syncer {
		backend := unreliableSyncer{u, unknown{}}
		options.Backend, options.Effects = backend, backend
	}
	done := make(chan error)
	go func() { done <- Run(ctx, options) }()
	peers := map[int]*lease.Lease{}
	var set lease.Peers
	for range 30 {
		for i := range 6 {
			if random.IntN(4) == 0 {
				continue // it stays as it is
			}
			if was := peers[i]; was != nil {
				set = set.Without(was)
				delete(peers, i)
			}
			if version := random.IntN(3); version > 0 {
				subnets := fmt.Sprintf("10.50.%d.0/24", i)
				if random.IntN(2) == 0 {
					subnets += fmt.Sprintf(",fd50:0:0:%d::/64", i)
				}
				peer := peerLease(fmt.Sprintf("%s=v%d", subnets, version))
				peers[i], set = &peer, set.With(&peer)
			}
		}
		if random.IntN(4) == 0 { // all is listed anew, and nothing shared with what was before
			set = lease.Peers{}
			for i, p := range peers {
				peer := *p
				peers[i], set = &peer, set.With(&peer)
			}
		}
		s.sets <- set
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
	u.mu.Lock()
	u.fail = func() bool { return false }
	u.mu.Unlock()
	time.Sleep(10 * time.Minute)
	want := map[string]string{}
	for _, p := range peers {
		want[p.String()] = string(p.V4.Data)
	}
	u.mu.Lock()
	if diff := cmp.Diff(want, maps.Clone(u.made)); diff != "" {
		t.Errorf("in place (-want +got):\n%s", diff)
	}
	u.mu.Unlock()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkTenThousandPeers measures what the loop itself needs from the first list until all peers are up.
func BenchmarkTenThousandPeers(b *testing.B) {
	peers := make([]*lease.Lease, 10_000)
	for i := range peers {
		peer := peerLease(fmt.Sprintf("10.%d.%d.0/24=aa", i/256, i%256))
		peers[i] = &peer
	}
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		up := 0
		c := newConverger(&runner{self: newSelf(Node{}), Options: Options{
			Backend: Nop{}, Concurrency: 1, Logger: slog.New(slog.DiscardHandler),
			Memory: forgetful{}, Effects: unknown{}, Observer: upCounter{add: func() {
				if up++; up == len(peers) {
					cancel()
				}
			}},
		}}, Node{})
		sets := make(chan lease.Peers, 1)
		sets <- lease.NewSet(peers...)
		_ = c.converge(ctx, sets, nil)
	}
}

// upCounter calls a function for each peer that is up.
type upCounter struct {
	unobserved
	add func()
}

func (u upCounter) ObservePeer(p PeerStatus) {
	if p.State == PeerUp {
		u.add()
	}
}
