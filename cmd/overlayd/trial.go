package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
)

// trialTries is how often in a row hooks may fail for a peer before the config counts as one that does not do. The first failures may
// be the peer's, which changes with it.
const trialTries = 3

// A trial finds out whether hooks succeed under a config that came by a staged roll-out, from what its State is told of them. It
// ends with the first verdict that is against the config; one for it ends only the trial of a node that is no canary.
type trial struct {
	*control.State
	canary  bool
	before  map[string]bool // peers for which hooks failed under the config before, by subnets
	running context.Context // in which hooks run: what its end interrupts has not failed
	failed  chan error      // the verdict against
	passed  chan struct{}   // the first verdict for

	mu      sync.Mutex
	over    bool // no verdict is due any more
	good    bool // there was one for the config
	bad     bool // there was one against it
	listed  bool
	waiting map[string]bool // peers that hooks have yet to succeed for, by subnets
}

var _ hooks.Observer = (*trial)(nil)

// newTrial returns the trial of the plan, nil where there is nothing to go back to.
func newTrial(ctx context.Context, s *control.State, p *plan) *trial {
	if p.instead == nil {
		return nil
	}
	return &trial{
		State: s, canary: p.canary, before: p.failing, running: ctx,
		failed: make(chan error, 1), passed: make(chan struct{}, 1), waiting: make(map[string]bool),
	}
}

// failingPeers are those for which hooks fail, by subnets.
func failingPeers(s control.Status) map[string]bool {
	failing := make(map[string]bool)
	for _, p := range s.Peers {
		if p.Failures > 0 {
			failing[control.Lease(p.Paths).String()] = true
		}
	}
	return failing
}

// ObserveHook is part of hooks.Observer.
func (t *trial) ObserveHook(r hooks.HookRun) {
	t.State.ObserveHook(r)
	if r.Err != nil && (r.Hook == hooks.PreStartup || r.Hook == hooks.PostStartup) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.fail(r.Err)
	}
}

// ObservePeer is part of hooks.Observer.
func (t *trial) ObservePeer(p hooks.PeerStatus) {
	t.State.ObservePeer(p)
	subnets := p.Lease.String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.before[subnets] {
		return
	}
	switch p.State {
	case hooks.PeerPending, hooks.PeerRetrying, hooks.PeerSetAside:
		t.waiting[subnets] = true
	default:
		delete(t.waiting, subnets)
	}
	if p.Attempts >= trialTries {
		t.fail(fmt.Errorf("%d times in a row: %w", p.Attempts, p.Err))
	}
	t.settle()
}

// ObserveGone is part of hooks.Observer.
func (t *trial) ObserveGone(peer lease.Lease) {
	t.State.ObserveGone(peer)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, peer.String())
	t.settle()
}

// ObserveListed is part of hooks.Observer.
func (t *trial) ObserveListed() {
	t.State.ObserveListed()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listed = true
	t.settle()
}

// fail gives the verdict against the config.
func (t *trial) fail(why error) {
	if !t.over && t.running.Err() == nil {
		t.over, t.bad = true, true
		t.failed <- why
	}
}

// settle gives the verdict for the config, if it is due.
func (t *trial) settle() {
	if !t.over && !t.good && t.listed && len(t.waiting) == 0 {
		t.good, t.over = true, !t.canary
		t.passed <- struct{}{}
	}
}

// end ends the trial, since the config is to be used whatever becomes of it. A nil one has ended.
func (t *trial) end() {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.over = true
	}
}

// hasFailed reports whether the verdict was against the config. That of nil never is.
func (t *trial) hasFailed() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bad
}

// hasPassed reports whether a verdict was for the config.
func (t *trial) hasPassed() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.good
}

// verdicts are where the trial's come, which nil has none of.
func (t *trial) verdicts() (failed <-chan error, passed <-chan struct{}) {
	if t == nil {
		return nil, nil
	}
	return t.failed, t.passed
}
