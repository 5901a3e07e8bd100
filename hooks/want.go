package hooks

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/lease"
)

// want takes in the complete set of peers.
func (c *converger) want(ctx context.Context, set lease.Peers) {
	joined, first := Join, !c.listed
	if first {
		joined = Start
	}
	var strange, gone []*lease.Lease
	for was, is := range set.Since(c.set) {
		if is == nil {
			gone = append(gone, was)
		} else if p := c.peers[keyOf(*is)]; p != nil {
			c.wantOne(p, is, joined)
		} else {
			strange = append(strange, is)
		}
	}
	c.listed, c.set = true, set
	c.inherit(gone, strange)
	for _, l := range strange {
		p := c.peers[keyOf(*l)]
		if p == nil {
			p = c.add(keyOf(*l))
		}
		c.wantOne(p, l, joined)
	}
	for _, l := range gone {
		p := c.peers[keyOf(*l)]
		if p == nil {
			continue // it goes on with other subnets
		}
		p.want(nil, Leave)
		c.update(p)
		if p.gone {
			c.clear(ctx, p)
		}
	}
	if first {
		for p := range c.unwanted { // an earlier process knew them
			p.want(nil, Leave)
			c.update(p)
		}
		c.clearStrangers(ctx)
		c.Observer.ObserveListed()
	}
}

// wantOne takes in what the set says of one peer.
func (c *converger) wantOne(p *peer, l *lease.Lease, joined Reason) {
	switch {
	case p.wanted == nil:
		p.want(l, joined)
	case p.wanted.Equal(*l):
		p.retain(l)
		return
	default:
		p.want(l, Change)
	}
	c.update(p)
}

// add makes a peer of which nothing is known yet.
func (c *converger) add(k key) *peer {
	p := &peer{key: k, swaps: c.swaps, queueIndex: -1}
	c.peers[k], c.unwanted[p] = p, true
	return p
}

// inherit finds the peers that go on with some of their subnets, as all do when the network gets another address family, and
// makes each go by the new ones. Their packets of the other family are not to be harmed. Only a backend that can swap has such
// peers: to any other they are one that leaves and one that joins.
func (c *converger) inherit(gone, strange []*lease.Lease) {
	if !c.swaps || len(strange) == 0 || len(gone)+len(c.unwanted) == 0 {
		return
	}
	missing := slices.Collect(maps.Keys(c.unwanted))
	for _, l := range gone {
		missing = append(missing, c.peers[keyOf(*l)])
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
	heirs := make(map[*peer]bool)
	for _, l := range strange {
		for half := range l.Paths() {
			p := by[half.Subnet]
			if p == nil || heirs[p] {
				continue
			}
			heirs[p] = true
			c.Observer.ObserveGone(*p.lease())
			c.queue.leave(p) // whose order its key may change
			delete(c.peers, p.key)
			p.key = keyOf(*l)
			c.peers[p.key] = p
			break
		}
	}
}

// isSyncer reports whether the backend is a Syncer.
func isSyncer(b Backend) bool {
	_, is := b.(Syncer)
	return is
}
