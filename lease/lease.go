package lease

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"net/netip"
)

// A Path is one address family's half of a lease: which subnet is reached, and through which address of its node.
// The zero Path says that the lease does not use the family.
//
// A node need not have an address of each family that its subnets are of, nor a subnet of each that it has an address of: a
// node with an IPv4 subnet and an IPv6 address alone has the one in one half and the other in the other.
type Path struct {
	Subnet   netip.Prefix    // the node's part of the network, host bits zero; invalid for none of the family
	PublicIP netip.Addr      // where the node is reached; invalid when the node did not say
	Data     json.RawMessage // what the node's backend tells the others; nil when it tells nothing
}

// A Lease says which part of the network one node holds, and how the node is reached.
type Lease struct {
	V4, V6      Path
	BackendType string // as in the network config, "" for backends that publish nothing
	NodeID      string // identity of the node that wrote the lease; "" for nodes that run flannel
}

// Paths yields the halves with a subnet, IPv4 first.
func (l Lease) Paths() iter.Seq[Path] {
	return func(yield func(Path) bool) {
		for _, p := range [...]Path{l.V4, l.V6} {
			if p.Subnet.IsValid() && !yield(p) {
				return
			}
		}
	}
}

// At is the lease of a node that is reached at the public addresses of o.
func (l Lease) At(o Lease) Lease {
	l.V4.PublicIP, l.V6.PublicIP = o.V4.PublicIP, o.V6.PublicIP
	return l
}

// Toward is the half of the lease by whose address a node with the lease from reaches the node of this one, for a subnet of the half
// given: that of the subnet's own family if both nodes have an address of it, else the other if both have that, else the zero Path.
// So both nodes choose alike.
func (l *Lease) Toward(half *Path, from *Lease) Path {
	way4 := l.V4.PublicIP.IsValid() && from.V4.PublicIP.IsValid()
	way6 := l.V6.PublicIP.IsValid() && from.V6.PublicIP.IsValid()
	switch {
	case way4 && (half.Subnet.Addr().Is4() || !way6):
		return l.V4
	case way6:
		return l.V6
	}
	return Path{}
}

// Reached are the halves with a subnet, each with the address at which a node with the lease from reaches it: of the subnet's own family
// if there is one, else of the other. It is for people, who are told an address also where the two nodes have no family in common.
func (l Lease) Reached(from Lease) (paths []Path) {
	for p := range l.Paths() {
		named := p.PublicIP
		if !named.IsValid() {
			named = cmp.Or(l.V4.PublicIP, l.V6.PublicIP)
		}
		p.PublicIP = cmp.Or(l.Toward(&p, &from).PublicIP, named)
		paths = append(paths, p)
	}
	return paths
}

// LacksFamily reports whether the node has a subnet of a family of which it has no public address, and has one of the other.
func (l *Lease) LacksFamily() bool {
	at4, at6 := l.V4.PublicIP.IsValid(), l.V6.PublicIP.IsValid()
	return l.V4.Subnet.IsValid() && !at4 && at6 || l.V6.Subnet.IsValid() && !at6 && at4
}

// Equal reports whether both leases say the same, the data compared byte by byte.
func (l Lease) Equal(o Lease) bool {
	return l.V4.equal(o.V4) && l.V6.equal(o.V6) && l.BackendType == o.BackendType && l.NodeID == o.NodeID
}

func (p Path) equal(o Path) bool {
	return p.Subnet == o.Subnet && p.PublicIP == o.PublicIP && bytes.Equal(p.Data, o.Data)
}

// String is the subnets in use, joined by a comma: "10.50.7.0/24" or "10.50.7.0/24,fd00:7::/64".
func (l Lease) String() string {
	var room [2 * 44]byte // for the longest of both families
	text := room[:0]
	for p := range l.Paths() {
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = p.Subnet.AppendTo(text)
	}
	return string(text)
}
