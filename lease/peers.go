package lease

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Peers calls set with the leases of all other nodes, sorted by key: once what the store holds is known, and then each
// time that the set has changed by value. It returns set's error or the context's. Call it once a lease is acquired.
//
// What is no lease harms no other: it is set aside, logged and told to ManagerOptions.Unreadable. So are leases outside
// of the network, and leases that overlap this node's own, which would draw its traffic or its neighbours' away. Leases that
// overlap each other are both kept, since no node can know better than the store which of them is right. Halves of
// families that the network does not use are left out. Of another node with one of this node's public addresses, the log
// warns.
func (m *Manager) Peers(ctx context.Context, set func([]Lease) error) error {
	trouble := reporter{log: m.o.Logger, what: "watch leases"}
	var last []Lease
	var lastAside []Unreadable
	var lastTwins []string
	first := true
	return m.store.Watch(ctx, m.takeKnown(), func(s Snapshot) error {
		trouble.fine()
		if s.Revision < m.ownRecord().Revision {
			return nil // from before the own lease was written: what is newer is on its way
		}
		m.compareOwn(s)
		lastTwins = m.reportTwins(s, lastTwins)
		peers, aside := m.divide(s)
		if !slices.EqualFunc(aside, lastAside, sameUnreadable) {
			m.reportAside(aside, lastAside)
			lastAside = aside
		}
		if !first && slices.EqualFunc(peers, last, Lease.Equal) {
			return nil
		}
		first, last = false, peers
		return set(peers)
	}, trouble.trouble)
}

// compareOwn tells Hold when the own record is not as it was last written.
func (m *Manager) compareOwn(s Snapshot) {
	own := m.ownRecord()
	for i := range s.Records {
		if r := &s.Records[i]; r.Revision == own.Revision && own.sameKey(&r.Lease) {
			return
		}
	}
	m.stir()
}

// takeKnown is what Acquire has listed. It is good for one use: from then on it is out of date.
func (m *Manager) takeKnown() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known
	m.known = Snapshot{}
	return known
}

// divide tells the records of others apart: peers, and what is set aside.
func (m *Manager) divide(s Snapshot) (peers []Lease, aside []Unreadable) {
	own := m.ownRecord().Lease
	aside = slices.Clone(s.Unreadable)
	v4, v6 := m.network.V4.Size() > 0, m.network.V6.Size() > 0
	peers = make([]Lease, 0, len(s.Records))
	for i := range s.Records {
		r := &s.Records[i]
		if own.sameKey(&r.Lease) || r.NodeID != "" && m.owns(r.Lease) {
			continue
		}
		n := len(peers)
		peers = append(peers, r.Lease) // copied once: each join has all of them gone through
		peer := &peers[n]
		if !v4 {
			peer.V4 = Path{}
		}
		if !v6 {
			peer.V6 = Path{}
		}
		err := m.misplaced(peer, &own)
		if err != nil {
			aside = append(aside, Unreadable{r.Key(), err, r.Revision})
		}
		if err != nil || !peer.V4.Subnet.IsValid() && !peer.V6.Subnet.IsValid() {
			peers = peers[:n]
		}
	}
	return peers, aside
}

func (m *Manager) misplaced(peer, own *Lease) error {
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

// reportAside logs what was not set aside before.
func (m *Manager) reportAside(aside, before []Unreadable) {
	for _, u := range aside {
		if !slices.ContainsFunc(before, func(o Unreadable) bool { return sameUnreadable(u, o) }) {
			m.o.Logger.Warn("lease set aside", "key", fmt.Sprintf("%.100s", u.Key), "err", u.Err)
		}
	}
	if m.o.Unreadable != nil {
		m.o.Unreadable(aside)
	}
}

func sameUnreadable(a, b Unreadable) bool { return a.Key == b.Key && a.Err.Error() == b.Err.Error() }

// reportTwins logs which other leases name a public address of this node, if they did not before, and returns them.
func (m *Manager) reportTwins(s Snapshot, before []string) (twins []string) {
	want := m.wanted()
	for i := range s.Records {
		r := &s.Records[i]
		if !r.V4.meets(want.V4) && !r.V6.meets(want.V6) || want.sameKey(&r.Lease) || m.owns(r.Lease) {
			continue
		}
		twins = append(twins, r.Key())
		if !slices.Contains(before, r.Key()) {
			m.o.Logger.Warn("another node has this node's public address: right only if both are behind one translated address",
				"key", r.Key(), "public", r.publicIP(), "node", r.NodeID)
		}
	}
	return twins
}

// meets reports whether both are reached through one address.
func (p Path) meets(o Path) bool { return p.PublicIP.IsValid() && p.PublicIP == o.PublicIP }

// publicIP is the first public address that the lease names, for people.
func (l Lease) publicIP() netip.Addr {
	for p := range l.Paths() {
		if p.PublicIP.IsValid() {
			return p.PublicIP
		}
	}
	return netip.Addr{}
}
