package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
)

// mine finds the record that is this node's: by identity, else by public address where the record has no identity. Of several,
// one that fits the network goes first.
func (m *Manager) mine(s Snapshot, want Lease) (mine Record, found bool) {
	best := 0
	for r := range s.Records.All() {
		rank := 0
		switch {
		case m.owns(r.Lease):
			rank = 2
		case r.NodeID == "" && m.sameAddress(r.Lease, want):
			rank = 1
		default:
			continue
		}
		if m.fits(r.Lease) {
			rank += 2
		}
		if rank > best {
			mine, best = *r, rank
		}
	}
	return mine, best > 0
}

func (m *Manager) owns(l Lease) bool { return l.NodeID != "" && l.NodeID == m.o.NodeID }

// sameAddress compares the public address that names the node of l in flannel's eyes: of IPv4, or of IPv6 where the network has no
// IPv4. A lease without an address of that family, which is none of flannel's, has its node's name in the other.
func (m *Manager) sameAddress(l, o Lease) bool {
	if l.V4.PublicIP.IsValid() && (m.network.V4.Size() > 0 || !l.V6.PublicIP.IsValid()) {
		return l.V4.meets(o.V4)
	}
	return l.V6.meets(o.V6)
}

// fits reports whether the lease has a subnet of each family of the network, and no other. A subnet stays good for its node when
// the network gives away others from then on, of other sizes or from another range.
func (m *Manager) fits(l Lease) bool {
	return m.network.V4.keeps(l.V4.Subnet) && m.network.V6.keeps(l.V6.Subnet)
}

// keeps reports whether a node can go on with a subnet that it has, or with none.
func (p Pool) keeps(s netip.Prefix) bool {
	return p.matches(s) ||
		s.IsValid() && p.Network.IsValid() && s == s.Masked() && p.Network.Contains(s.Addr()) && s.Bits() > p.Network.Bits()
}

func (p Pool) matches(s netip.Prefix) bool { return p.Contains(s) || p.Size() == 0 && !s.IsValid() }

// normal is what this node says in its lease, in the form in which a Store gives it back.
func (m *Manager) normal(l Lease) (Lease, error) {
	l = m.fit(l)
	l.NodeID = m.o.NodeID
	for _, p := range []*Path{&l.V4, &l.V6} {
		if p.Data == nil {
			continue
		}
		var text bytes.Buffer
		if err := json.Compact(&text, p.Data); err != nil {
			return l, fmt.Errorf("data for the other nodes: %w", err)
		}
		p.Data = given(text.Bytes())
	}
	return l, nil
}

// fit is the lease without the subnets of families that the network does not use. What was there for the sake of such a subnet goes with
// it, but for the only address of the node.
func (m *Manager) fit(l Lease) Lease {
	if m.network.V4.Size() == 0 {
		l.V4 = l.V4.withoutSubnet(l.V6)
	}
	if m.network.V6.Size() == 0 {
		l.V6 = l.V6.withoutSubnet(l.V4)
	}
	return l
}

func (p Path) withoutSubnet(other Path) Path {
	if !p.PublicIP.IsValid() || p.Subnet.IsValid() && other.PublicIP.IsValid() {
		return Path{}
	}
	p.Subnet = netip.Prefix{}
	return p
}

// on is what the lease says, on the subnets of l.
func (l Lease) on(says Lease) Lease {
	says.V4.Subnet, says.V6.Subnet = l.V4.Subnet, l.V6.Subnet
	return says
}
