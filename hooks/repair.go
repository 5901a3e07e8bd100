package hooks

import (
	"errors"
	"time"
)

// errStale ends the convergence of peers: the node's own hooks have to run again.
var errStale = errors.New("the node's own hooks have to run again")

// A stale says when the node's own hooks have to run again, and why. The zero stale says never.
type stale struct {
	at     time.Time
	reason Reason
}

// due reports whether they have to now.
func (s stale) due() bool { return !s.at.IsZero() && !s.at.After(time.Now()) }

// calm is how long nothing may be lost for the next repair to come at once again. It is longer than any backoff.
const calm = 2 * time.Minute

// A pace slows down repairs of what somebody takes away again and again.
type pace struct {
	repairs int
	last    time.Time
}

// next says when the next repair may run: at once, but after several in a row not before a backoff has passed since the last.
// insisted is true once in such a row.
func (p *pace) next(backoff func(int) time.Duration) (at time.Time, insisted bool) {
	at = time.Now()
	if at.Sub(p.last) > calm {
		p.repairs = 0
	}
	if p.repairs > 0 {
		if earliest := p.last.Add(backoff(p.repairs)); earliest.After(at) {
			at = earliest
		}
	}
	p.repairs++
	p.last = at
	return at, p.repairs == 4
}

// damaged has the hooks of the scopes run again.
func (c *converger) damaged(scopes []string) {
	lost := make(map[string]bool, len(scopes))
	for _, name := range scopes {
		lost[name] = true
	}
	for scope := range lost {
		p := c.peers[keyOfScope(scope)]
		if p == nil {
			continue
		}
		if p.damaged(c.backoff) {
			c.insisted(scope)
		}
		c.update(p)
	}
	if lost[NodeNews] && !c.stale.due() {
		c.stale = stale{time.Now(), Repair}
	}
	if lost[NodeScope] && c.stale.at.IsZero() {
		at, insisted := c.pace.next(c.backoff)
		c.stale = stale{at, Repair}
		if insisted {
			c.insisted(NodeScope)
		}
	}
}

// moved has the node's own hooks run again if the machine is not as they found it. The others are told where it is at once.
func (c *converger) moved() {
	now := c.self.now()
	if c.node.sameMachine(now) {
		return
	}
	c.stale = stale{time.Now(), Change}
	if _, err := c.Leases.Republish(c.node.Lease.At(now.Lease)); err != nil {
		c.Logger.Warn("lease does not say where this machine is", "err", err)
	}
}

func (c *converger) insisted(scope string) {
	c.Logger.Warn("somebody takes away again and again what hooks make: repairs slow down to one a minute", "scope", scope)
}

// damaged makes the peer's SubnetAdd due, if it has succeeded once and is still wanted. A hook that is running mends the damage
// itself; one that failed, and waits, need not wait any longer, since something has changed. It reports whether to say that
// somebody insists.
func (p *peer) damaged(backoff func(int) time.Duration) (insisted bool) {
	switch {
	case p.busy || p.wanted == nil || p.applied == nil || !p.wanted.Equal(*p.applied):
	case !p.torn:
		p.torn, p.joined = true, Repair
		if p.pace == nil {
			p.pace = new(pace)
		}
		p.next, insisted = p.pace.next(backoff)
	case p.failures > 0:
		p.failures, p.next = 0, time.Time{}
	}
	return insisted
}

// addAll has the hooks of all peers run again, now that those of the node have.
func (c *converger) addAll(reason Reason) {
	c.stale = stale{}
	for _, p := range c.peers {
		if p.wanted != nil && p.applied != nil && !p.torn {
			p.torn, p.joined = true, reason
		}
		p.failures, p.next = 0, time.Time{}
		c.update(p)
	}
}
