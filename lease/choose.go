package lease

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// A chooser chooses subnets for one node. Neither family in use may be without a free one.
type chooser struct {
	Network
	id      string         // of the node
	earlier []netip.Prefix // what the node had, best first
	taken   []netip.Prefix
	rnd     *rand.Rand
}

// choose returns up to n leases on free subnets in the order in which to try them: what the node had earlier, the slot of
// its identity, and others by chance.
//
// Of two families the subnets of one index go together where they can. Nodes that take different IPv4 subnets then take
// different IPv6 subnets too, which a store can hardly tell before it has written them.
func (c chooser) choose(n int) []Lease {
	switch {
	case c.V6.Size() == 0:
		return onSubnets(c.pick(c.V4, n), make([]netip.Prefix, n))
	case c.V4.Size() == 0:
		return onSubnets(make([]netip.Prefix, n), c.pick(c.V6, n))
	}
	var v4, v6 []netip.Prefix
	if a, b := c.again(); a.IsValid() {
		v4, v6 = append(v4, a), append(v6, b)
	}
	both := min(c.V4.Size(), c.V6.Size())
	used := slices.Concat(c.V4.spans(c.taken), c.V6.spans(c.taken), c.V4.spans(v4))
	for _, i := range pick(n-len(v4), both, []uint64{slot(c.id, both)}, used, c.rnd) {
		v4, v6 = append(v4, c.V4.At(i)), append(v6, c.V6.At(i))
	}
	if len(v4) == 0 { // each family has some, but none of one index
		v4, v6 = c.pick(c.V4, n), c.pick(c.V6, n)
	}
	return onSubnets(v4, v6)
}

// pick chooses for one family.
func (c chooser) pick(p Pool, n int) []netip.Prefix {
	return p.Pick(n, append(slices.Clone(c.earlier), p.Slot(c.id)), c.taken, c.rnd)
}

// again is the first free subnet of either family that the node had, each with one that it had of the other, or with a
// partner. Both are invalid when none is free.
func (c chooser) again() (v4, v6 netip.Prefix) {
	v4, v6 = c.firstFree(c.V4), c.firstFree(c.V6)
	switch {
	case v4.IsValid() && !v6.IsValid():
		v6 = c.partner(c.V6, c.V4.index(v4.Addr()))
	case v6.IsValid() && !v4.IsValid():
		v4 = c.partner(c.V4, c.V6.index(v6.Addr()))
	}
	return v4, v6
}

// firstFree is the first free one of the pool's subnets that the node had, or invalid.
func (c chooser) firstFree(p Pool) netip.Prefix {
	for _, s := range c.earlier {
		if p.Contains(s) && !overlaps(s, c.taken) {
			return s
		}
	}
	return netip.Prefix{}
}

// partner is the pool's subnet of the index if it is free, else any free one.
func (c chooser) partner(p Pool, index uint64) netip.Prefix {
	var wish []netip.Prefix
	if index < p.Size() {
		wish = append(wish, p.At(index))
	}
	return p.Pick(1, wish, c.taken, c.rnd)[0]
}

// onSubnets is one lease for each subnet of both families.
func onSubnets(v4, v6 []netip.Prefix) []Lease {
	leases := make([]Lease, min(len(v4), len(v6)))
	for i := range leases {
		leases[i] = Lease{V4: Path{Subnet: v4[i]}, V6: Path{Subnet: v6[i]}}
	}
	return leases
}
