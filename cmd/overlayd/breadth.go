package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

const (
	// broadenAfter is how long there has to be a peer that needs the other family's address. A node that boots may have its IPv6
	// address a moment before its IPv4 one, and all others are not to change for that.
	broadenAfter = 5 * time.Second
	// narrowAfter is how long there has to be none. Its node may be on its way back.
	narrowAfter = 10 * time.Minute
)

// A breadth is whether this node tells its public addresses of both families although the network is of one, and makes what it takes
// to be reached by either: for as long as a peer has none of that family. Without such peers the lease is as flannel would write it.
type breadth struct {
	turned chan struct{} // it has changed

	mu    sync.Mutex
	peers lease.Peers // seen last
	needy int         // how many of them have none
	both  bool
	turns *time.Timer // the change that is due, nil without
	due   int         // its number
}

func newBreadth() *breadth { return &breadth{turned: make(chan struct{}, 1)} }

// now reports whether both are told.
func (b *breadth) now() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.both
}

// begin has both told at once if one of the peers, of an earlier run, needs it.
func (b *breadth) begin(peers []lease.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.both = b.both || slices.ContainsFunc(peers, func(l lease.Lease) bool { return l.LacksFamily() })
}

// see takes in who the peers are.
func (b *breadth) see(peers lease.Peers) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for was, is := range peers.Since(b.peers) {
		if was != nil && was.LacksFamily() {
			b.needy--
		}
		if is != nil && is.LacksFamily() {
			b.needy++
		}
	}
	b.peers = peers
	needed := b.needy > 0
	switch {
	case needed == b.both:
		b.rest()
	case b.turns == nil:
		after := narrowAfter
		if needed {
			after = broadenAfter
		}
		due := b.due
		b.turns = time.AfterFunc(after, func() { b.turn(due, needed) })
	}
}

// turn is the change, unless it was called off.
func (b *breadth) turn(due int, both bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.due != due {
		return
	}
	b.rest()
	b.both = both
	select {
	case b.turned <- struct{}{}:
	default: // nobody has looked since the last time
	}
}

// rest calls off the change that is due.
func (b *breadth) rest() {
	if b.turns != nil {
		b.turns.Stop()
		b.turns = nil
		b.due++
	}
}

// end calls off the change that is due when the network's run ends.
func (b *breadth) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest()
}

// A company is leases of which the breadth sees the others'.
type company struct {
	hooks.Leases
	breadth *breadth
}

// Peers is part of hooks.Leases.
func (c company) Peers(ctx context.Context, set func(lease.Peers) error) error {
	return c.Leases.Peers(ctx, func(peers lease.Peers) error {
		c.breadth.see(peers)
		return set(peers)
	})
}
