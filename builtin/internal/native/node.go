// Package native is what the native backends have in common: what they know of this node and of its peers.
//
// A native backend is functions from that to kernel objects. Package builtin makes the kernel have these objects.
package native

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A Node is this node and the machine it is on.
type Node struct {
	hooks.Node
	Reason hooks.Reason                           // why the backend's hook runs
	Links  map[string]kernel.Link                 // those there were when the backend started, and its own since, by name
	Own    map[netip.Addr]bool                    // the machine's addresses then
	Lookup func(netip.Addr) (kernel.Route, error) // how packets leave the machine, see kernel.Kernel
}

// Uses reports whether the network uses the family.
func (n Node) Uses(f Family) bool { return n.Network(f).IsValid() }

// Families are those that the network uses, IPv4 first.
func (n Node) Families() (all []Family) {
	for _, f := range []Family{IPv4, IPv6} {
		if n.Uses(f) {
			all = append(all, f)
		}
	}
	return all
}

// Public is the node's own public address of the family.
func (n Node) Public(f Family) netip.Addr {
	if f == IPv4 {
		return n.Lease.V4.PublicIP
	}
	return n.Lease.V6.PublicIP
}

// Network is the whole overlay of the family, the zero Prefix when the network does not use it.
func (n Node) Network(f Family) netip.Prefix {
	for _, p := range n.Networks {
		if f.Has(p.Addr()) {
			return p
		}
	}
	return netip.Prefix{}
}

// Halves yields the peer's halves in the families that this node uses too, IPv4 first.
func (n Node) Halves(peer lease.Lease) iter.Seq[lease.Path] {
	return n.shared(peer).Paths()
}

// shared is the peer with those halves alone. It is apart from Halves so that this is inlined, and nothing allocated for its loop.
func (n Node) shared(peer lease.Lease) lease.Lease {
	if !n.Uses(IPv4) {
		peer.V4 = lease.Path{}
	}
	if !n.Uses(IPv6) {
		peer.V6 = lease.Path{}
	}
	return peer
}

// Reachable returns an error for a half whose node does not say where it is, or says that it is here.
func (n Node) Reachable(p lease.Path) error {
	switch {
	case !p.PublicIP.IsValid():
		return errors.New("its lease has no public " + FamilyOf(p).String() + " address")
	case p.PublicIP == n.Lease.V4.PublicIP || p.PublicIP == n.Lease.V6.PublicIP:
		return fmt.Errorf("its public address %s is this node's own", p.PublicIP)
	}
	return nil
}

// A Family is an address family.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf is the family of a lease's half.
func FamilyOf(p lease.Path) Family {
	if p.Subnet.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// Has reports whether the address is of the family.
func (f Family) Has(a netip.Addr) bool { return a.Is4() == (f == IPv4) }

// String is "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// Route leads packets to a peer's subnet. It has the mark of what native backends make, and a metric of its own.
func Route(to netip.Prefix, hop kernel.Hop) kernel.Object {
	return kernel.Spread(kernel.Route{Dst: to, Hops: []kernel.Hop{hop}, Protocol: kernel.Protocol})
}

// Base is the first address of a half's subnet, which is its node's own in the overlay, alone on its link.
func Base(p lease.Path) netip.Prefix {
	a := p.Subnet.Addr()
	return netip.PrefixFrom(a, a.BitLen())
}
