package hooks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// A syncer is a script that is a Syncer.
type syncer struct{ *script }

func (s syncer) Sync(ctx context.Context, c Call, peers []*lease.Lease) (errs []error) {
	s.printf("Sync %d %s", len(peers), c.Reason)
	for _, p := range peers {
		errs = append(errs, s.SubnetAdd(ctx, c, *p))
	}
	if errors.Join(errs...) == nil {
		return nil
	}
	return errs
}

// A memory is a script's Memory.
type memory struct{ *script }

func (m memory) Peers() []lease.Lease { return slices.Collect(maps.Values(m.memory)) }
func (m memory) Remember(peers ...*lease.Lease) error {
	for _, l := range peers {
		m.memory[l.String()] = *l
	}
	return nil
}
func (m memory) Forget(l lease.Lease) error { delete(m.memory, l.String()); return nil }
func (s *script) Scopes() []string          { return s.left }
func (s *script) Clear(_ context.Context, scope string) error {
	s.printf("clear %s", scope)
	return nil
}

func (s *script) Move(from, to string) error {
	s.printf("move %s to %s", from, to)
	return nil
}

func (s *script) Watch(ctx context.Context, damaged func([]string)) error {
	s.damage = damaged
	<-ctx.Done()
	return ctx.Err()
}

func (s *script) ObserveNode(n NodeStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.turned = n, time.Now()
}

func (s *script) ObservePeer(p PeerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p.Lease.String()] = p
}

func (s *script) ObserveGone(peer lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, peer.String())
}

func (s *script) ObserveHook(HookRun) {}
func (s *script) ObserveListed()      {}

// ObserveTurn holds that hooks, even such as hang, do not keep the loop from turning.
func (s *script) ObserveTurn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pause := time.Since(s.turned); s.node.Phase == NodeUp && pause > TurnInterval {
		s.t.Errorf("%s without a turn, want %s at most", pause, TurnInterval)
	}
	s.turned = time.Now()
}
