package lease

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
)

// Peers are the leases of the other nodes.
type Peers = Set[*Lease]

// Peers calls set with the leases of all other nodes: once what the store holds is known, and then each time that the set has
// changed by value. It returns set's error or the context's. Call it once a lease is acquired.
//
// What is no lease harms no other: it is set aside, logged and told to ManagerOptions.Unreadable. So are leases outside
// of the network, and leases that overlap this node's own, which would draw its traffic or its neighbours' away. Leases that
// overlap each other are both kept, since no node can know better than the store which of them is right. Subnets of
// families that the network does not use are left out; of leases that are alike without them, the last to be written counts. Of another node with one of this node's public addresses, the log
// warns.
func (m *Manager) Peers(ctx context.Context, set func(Peers) error) error {
	trouble := reporter{log: m.o.Logger, what: "watch leases"}
	var last division
	first := true
	return m.store.Watch(ctx, m.takeKnown(), func(s Snapshot) error {
		trouble.fine()
		own := m.ownRecord()
		if s.Revision < own.Revision {
			return nil // from before the own lease was written: what is newer is on its way
		}
		if r := s.Records.Get(&own); r == nil || r.Revision != own.Revision {
			m.stir()
		}
		now := m.divide(s, own.Lease, last)
		m.report(now, last)
		news := first || !sameLeases(now.peers, last.peers)
		first, last = false, now
		if !news {
			return nil
		}
		return set(now.peers)
	}, trouble.trouble)
}

// takeKnown is what Acquire has listed. It is good for one use: from then on it is out of date.
func (m *Manager) takeKnown() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known
	m.known = Snapshot{}
	return known
}

// A division tells apart what a store holds.
type division struct {
	of        Snapshot
	own, want Lease // this node's lease, as it is and as it should be

	peers     Peers
	misplaced Set[*Unreadable] // set aside, beside what is unreadable
	partial   Set[*Record]     // those of peers of which a half is left out
	twins     Set[*Record]     // leases of others with a public address of this node
}

// divide divides what the store holds. It looks only at what is not as it was last, unless this node's own lease is not.
func (m *Manager) divide(s Snapshot, own Lease, last division) division {
	now := last
	if want := m.wanted(); !own.Equal(last.own) || !want.Equal(last.want) {
		now = division{own: own, want: want}
	}
	var gone, partial, twins []*Record
	var left, peers []*Lease
	var righted, misplaced []*Unreadable
	for was, r := range s.Records.Since(now.of.Records) {
		if was != nil {
			gone, righted = append(gone, was), append(righted, &Unreadable{Key: was.Key()})
			if peer, _ := m.peer(was, &now.own); peer != nil {
				left = append(left, peer)
			}
		}
		if r == nil {
			continue
		}
		if now.isTwin(r) && !m.owns(r.Lease) {
			twins = append(twins, r)
		}
		peer, err := m.peer(r, &now.own)
		switch {
		case err != nil:
			misplaced = append(misplaced, &Unreadable{r.Key(), err, r.Revision})
		case peer != nil:
			peers = append(peers, peer)
			if peer != &r.Lease {
				partial = append(partial, r)
			}
		}
	}
	now.of = s
	now.misplaced = now.misplaced.Without(righted...).With(misplaced...)
	now.partial = now.partial.Without(gone...).With(partial...)
	now.twins = now.twins.Without(gone...).With(twins...)
	if last.partial.Len()+now.partial.Len() > 0 {
		peers = m.newest(now, append(peers, left...))
	}
	now.peers = now.peers.Without(left...).With(peers...)
	return now
}

// peer is the peer that the record is of, nil for this node itself and for one without a subnet of the network's families. The
// error says why it cannot be where it is.
func (m *Manager) peer(r *Record, own *Lease) (*Lease, error) {
	if own.sameKey(&r.Lease) || m.owns(r.Lease) {
		return nil, nil
	}
	peer := m.inUse(&r.Lease)
	if err := m.misplacement(peer, own); err != nil {
		return nil, err
	}
	if !peer.V4.Subnet.IsValid() && !peer.V6.Subnet.IsValid() {
		return nil, nil
	}
	return peer, nil
}

// inUse is the lease without the subnets of families that the network does not use, the very same if it has none.
func (m *Manager) inUse(l *Lease) *Lease {
	if fit := m.fit(*l); !fit.sameKey(l) {
		return &fit
	}
	return l
}

// newest are the peers with the subnets of these. Several leases may be one peer when halves are left out: the one counts that was
// written last.
func (m *Manager) newest(d division, of []*Lease) (peers []*Lease) {
	type subnets [2]netip.Prefix
	newest := make(map[subnets]*Record, len(of))
	take := func(r *Record) {
		peer, err := m.peer(r, &d.own)
		if peer == nil || err != nil {
			return
		}
		key := subnets{peer.V4.Subnet, peer.V6.Subnet}
		if other, asked := newest[key]; asked && (other == nil || other.Revision < r.Revision) {
			newest[key] = r
		}
	}
	for _, l := range of {
		newest[subnets{l.V4.Subnet, l.V6.Subnet}] = nil
	}
	for _, l := range of {
		if r := d.of.Records.Get(&Record{Lease: *l}); r != nil {
			take(r)
		}
	}
	for r := range d.partial.All() {
		take(r)
	}
	for _, r := range newest {
		if r != nil {
			peers = append(peers, m.inUse(&r.Lease))
		}
	}
	return peers
}

// misplacement says why the peer's lease cannot be where it is, if so.
func (m *Manager) misplacement(peer, own *Lease) error {
	for _, half := range [...]struct {
		peer, own *Path
		network   netip.Prefix
	}{{&peer.V4, &own.V4, m.network.V4.Network}, {&peer.V6, &own.V6, m.network.V6.Network}} {
		subnet := half.peer.Subnet
		switch {
		case !subnet.IsValid():
		case subnet.Bits() < half.network.Bits() || !half.network.Contains(subnet.Addr()):
			return fmt.Errorf("%s is not in %s", subnet, half.network)
		case subnet.Overlaps(half.own.Subnet):
			return fmt.Errorf("%s overlaps this node's %s", subnet, half.own.Subnet)
		}
	}
	return nil
}

// isTwin reports whether the record is another's and names a public address of this node.
func (d *division) isTwin(r *Record) bool {
	return (r.V4.meets(d.want.V4) || r.V6.meets(d.want.V6)) && !d.want.sameKey(&r.Lease)
}

// report tells what was not so in the last division.
func (m *Manager) report(now, last division) {
	news := false
	for _, sets := range [...][2]Set[*Unreadable]{{now.of.Unreadable, last.of.Unreadable}, {now.misplaced, last.misplaced}} {
		for was, is := range sets[0].Since(sets[1]) {
			if was != nil && is != nil && was.same(is) {
				continue
			}
			if news = true; is != nil {
				m.o.Logger.Warn("lease set aside", "key", fmt.Sprintf("%.100s", is.Key), "err", is.Err)
			}
		}
	}
	if news && m.o.Unreadable != nil {
		m.o.Unreadable(append(List(now.of.Unreadable), List(now.misplaced)...))
	}
	for was, is := range now.twins.Since(last.twins) {
		if was == nil {
			m.o.Logger.Warn("another node has this node's public address: right only if both are behind one translated address",
				"key", is.Key(), "public", is.publicIP(), "node", is.NodeID)
		}
	}
}

// sameLeases reports whether both sets say the same.
func sameLeases(a, b Peers) bool {
	for was, is := range a.Since(b) {
		if was == nil || is == nil || !was.Equal(*is) {
			return false
		}
	}
	return true
}

// meets reports whether both are reached through one address.
func (p Path) meets(o Path) bool { return p.PublicIP.IsValid() && p.PublicIP == o.PublicIP }

// publicIP is the first public address that the lease names, for people.
func (l Lease) publicIP() netip.Addr {
	return cmp.Or(l.V4.PublicIP, l.V6.PublicIP)
}
