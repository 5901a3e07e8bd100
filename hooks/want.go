package hooks

import (
	"context"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/lease"
)

// want takes in the complete list of peers, which is the converger's from then on.
func (c *converger) want(ctx context.Context, set []lease.Lease) {
	joined, first := Join, !c.listed
	if first {
		joined = Start
	}
	c.listed = true
	c.lists++
	order := make([]*peer, len(set))
	var strange []int // where in the list those are that were not known
	next, known := 0, 0
	for i := range set {
		if order[i] = c.find(keyOf(set[i]), &next); order[i] == nil {
			strange = append(strange, i)
			continue
		}
		if order[i].list != c.lists {
			known++
		}
		c.wantOne(order[i], &set[i], joined)
	}
	missing := c.missing(len(c.peers) - known)
	heirs := c.inherit(missing, strange, set)
	for _, i := range strange {
		p := heirs[i]
		if p == nil {
			p = c.add(keyOf(set[i]))
		}
		order[i] = p
		c.wantOne(p, &set[i], joined)
	}
	c.order = order
	for _, p := range missing {
		if p.list == c.lists || p.wanted == nil && !first {
			continue
		}
		p.want(nil, Leave)
		c.update(p)
		if p.gone && !first {
			c.clear(ctx, p)
		}
	}
	if first {
		c.clearStrangers(ctx)
		c.Observer.ObserveListed()
	}
}

// missing are the peers that the list does not have, which are so many, or fewer when some are gone meanwhile. Those that are leaving
// are among them.
func (c *converger) missing(most int) (missing []*peer) {
	if most == 0 {
		return nil
	}
	for _, p := range c.peers {
		if p.list != c.lists {
			missing = append(missing, p)
		}
	}
	return missing
}

// wantOne takes in what the list says of one peer.
func (c *converger) wantOne(p *peer, l *lease.Lease, joined Reason) {
	p.list = c.lists
	switch {
	case p.wanted == nil:
		p.want(l, joined)
	case p.wanted == l || p.wanted.Equal(*l):
		p.retain(l)
		return
	default:
		p.want(l, Change)
	}
	c.update(p)
}

// find is the peer with the key, nil when none has it. Lists are in one order, so that it is the next of the last list, unless one
// has come or gone.
func (c *converger) find(k key, next *int) *peer {
	for skip := range 2 {
		if i := *next + skip; i < len(c.order) && c.order[i].key == k && !c.order[i].gone {
			*next = i + 1
			return c.order[i]
		}
	}
	return c.peers[k]
}

// add makes a peer of which nothing is known yet.
func (c *converger) add(k key) *peer {
	p := &peer{key: k, swaps: c.swaps, queueIndex: -1}
	c.peers[k] = p
	return p
}

// inherit finds the peers that go on with some of their subnets, as all do when the network gets another address family, and
// returns them by their places in the list. Their packets of the other family are not to be harmed. Only a backend that can swap
// has such peers: to any other they are one that leaves and one that joins.
func (c *converger) inherit(missing []*peer, strange []int, set []lease.Lease) map[int]*peer {
	if !c.swaps || len(missing) == 0 || len(strange) == 0 {
		return nil
	}
	by := make(map[netip.Prefix]*peer, 2*len(missing))
	slices.SortFunc(missing, func(a, b *peer) int { return a.compare(b.key) })
	for _, p := range missing {
		for _, subnet := range []netip.Prefix{p.v4, p.v6} {
			if subnet.IsValid() && by[subnet] == nil {
				by[subnet] = p
			}
		}
	}
	heirs := make(map[int]*peer)
	for _, i := range strange {
		for half := range set[i].Paths() {
			p := by[half.Subnet]
			if p == nil || c.peers[p.key] != p || p.list == c.lists {
				continue
			}
			c.Observer.ObserveGone(p.lease())
			c.queue.leave(p) // whose order its key may change
			delete(c.peers, p.key)
			p.key, p.list = keyOf(set[i]), c.lists
			c.peers[p.key] = p
			heirs[i] = p
			break
		}
	}
	return heirs
}

// isSyncer reports whether the backend is a Syncer.
func isSyncer(b Backend) bool {
	_, is := b.(Syncer)
	return is
}
