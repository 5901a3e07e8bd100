package hooks

import (
	"context"
	"strings"

	"github.com/overlayd/overlayd/lease"
)

// A Memory knows for which peers hooks have run, over the end of the process. Run calls its methods one at a time.
type Memory interface {
	// Peers returns the peers as they were added by an earlier process.
	Peers() []lease.Lease
	// Remember is called before SubnetAdd runs for the peers, whose leases nobody changes any more. It replaces what was
	// remembered of their subnets.
	Remember(peers ...*lease.Lease) error
	// Forget is called when nothing is in place for the peer any more.
	Forget(peer lease.Lease) error
}

// Effects are what hooks have made and what is known to be theirs, by scope: NodeScope, or a peer's subnets.
type Effects interface {
	// Scopes returns the names of the peers' scopes that own something.
	Scopes() []string
	// Clear deletes all that the scope owns.
	Clear(ctx context.Context, scope string) error
	// Move makes what the scope owns the other's.
	Move(from, to string) error
	// Watch calls damaged with the scopes that have lost something that their hooks made, or with NodeNews, until the context ends,
	// whose error it returns. It does not wait for what becomes of that.
	Watch(ctx context.Context, damaged func(scopes []string)) error
}

// forgetful is the Memory of those who have none.
type forgetful struct{}

func (forgetful) Peers() []lease.Lease           { return nil }
func (forgetful) Remember(...*lease.Lease) error { return nil }
func (forgetful) Forget(lease.Lease) error       { return nil }

// unknown are the Effects of those who do not know theirs.
type unknown struct{}

func (unknown) Scopes() []string                    { return nil }
func (unknown) Clear(context.Context, string) error { return nil }
func (unknown) Move(string, string) error           { return nil }
func (unknown) Watch(ctx context.Context, _ func([]string)) error {
	<-ctx.Done()
	return ctx.Err()
}

// recall takes up the peers that an earlier process has added. What is in place of them is to be seen: their hooks run
// again, which ones depends on the first complete list.
func (c *converger) recall() {
	for _, l := range c.Memory.Peers() {
		p := c.add(keyOf(l))
		p.applied, p.torn = &l, true
	}
}

// clearStrangers deletes what belongs to peers that are neither wanted nor remembered. What belongs to some of a peer's subnets
// is the peer's where it can be.
func (c *converger) clearStrangers(ctx context.Context) {
	known := make(map[string]bool, len(c.peers))
	scopes := make(map[string]string, 2*len(c.peers)) // of those who have a subnet
	for _, p := range c.peers {
		l := p.lease()
		scope := l.String()
		known[scope] = true
		if p.applied != nil {
			known[p.applied.String()] = true
		}
		for half := range l.Paths() {
			scopes[half.Subnet.String()] = scope
		}
	}
	for _, scope := range c.Effects.Scopes() {
		if known[scope] {
			continue
		}
		if heir := heirOf(scope, scopes); heir != "" && c.swaps {
			c.move(scope, heir)
		} else if err := c.Effects.Clear(ctx, scope); err != nil {
			c.Logger.Warn("what a forgotten peer left could not be removed", "subnet", scope, "err", err)
		} else {
			c.Logger.Info("what a forgotten peer left is removed", "subnet", scope)
		}
	}
}

// heirOf is the scope of who has one of the scope's subnets, "" for none.
func heirOf(scope string, scopes map[string]string) string {
	for subnet := range strings.SplitSeq(scope, ",") {
		if heir := scopes[subnet]; heir != "" {
			return heir
		}
	}
	return ""
}

// clear deletes what an earlier backend may have left of a peer that is forgotten.
func (c *converger) clear(ctx context.Context, p *peer) {
	scope := p.lease().String()
	if err := c.Effects.Clear(ctx, scope); err != nil {
		c.Logger.Warn("what a peer left could not be removed", "subnet", scope, "err", err)
	}
}

// moveEffects makes what is in place for one lease that of the other.
func (c *converger) moveEffects(from, to *lease.Lease) { c.move(from.String(), to.String()) }

func (c *converger) move(from, to string) {
	if err := c.Effects.Move(from, to); err != nil {
		c.Logger.Warn("what is in place for a peer with other subnets is not known to be its own", "had", from, "subnet", to, "err", err)
	}
}

// remember writes down that peers are about to be added.
func (c *converger) remember(runs []endedRun) {
	peers := leases(runs)
	if err := c.Memory.Remember(peers...); err != nil {
		c.Logger.Warn("peers would not be remembered after a crash", "first", peers[0].String(), "count", len(peers), "err", err)
	}
}

// settle writes down what is in place for the peer after a hook.
func (c *converger) settle(p *peer, run endedRun) {
	var err error
	switch {
	case run.isMove() && run.Err == nil:
		err = c.Memory.Forget(*run.before)
	case run.isMove():
		err = c.Memory.Forget(*run.lease)
	case p.applied == nil || p.givenUp && p.wanted == nil:
		err = c.Memory.Forget(*run.lease)
	case run.Hook == SubnetAdd && run.lease != p.applied: // it failed, and what was in place before is still
		err = c.Memory.Remember(p.applied)
	}
	if err != nil {
		c.Logger.Warn("memory of peer is out of date", "subnet", run.Scope, "err", err)
	}
}
