// Package native is what the native backends have in common: what they know of this node and of its peers.
//
// A native backend is functions from that to kernel objects. Package builtin makes the kernel have these objects.
package native

import (
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
	Key    kernel.PublicKey                       // the node's for WireGuard, as its peers are told; zero without one
	Lookup func(netip.Addr) (kernel.Route, error) // how packets leave the machine, see kernel.Kernel
}

// Uses reports whether the network uses the family.
func (n *Node) Uses(f Family) bool { return n.Network(f).IsValid() }

// Families are those that the network uses, IPv4 first.
func (n *Node) Families() (all []Family) {
	for _, f := range []Family{IPv4, IPv6} {
		if n.Uses(f) {
			all = append(all, f)
		}
	}
	return all
}

// Public is the node's own public address of the family.
func (n *Node) Public(f Family) netip.Addr {
	if f == IPv4 {
		return n.Lease.V4.PublicIP
	}
	return n.Lease.V6.PublicIP
}

// Under is the family of the underlay that carries the family of the overlay, unless a peer has no address of it: the same, or the
// other where this node has a public address of that alone.
func (n *Node) Under(f Family) Family {
	if !n.Public(f).IsValid() && n.Public(f.other()).IsValid() {
		return f.other()
	}
	return f
}

// Unders are the families of the underlay by which the node reaches any peers, IPv4 first: those of which it tells an address, and
// those that Families need.
func (n *Node) Unders() (all []Family) {
	for _, f := range []Family{IPv4, IPv6} {
		if n.Public(f).IsValid() || n.Uses(f) && n.Under(f) == f {
			all = append(all, f)
		}
	}
	return all
}

// Subnet is the node's own of the family.
func (n *Node) Subnet(f Family) netip.Prefix {
	if f == IPv4 {
		return n.Lease.V4.Subnet
	}
	return n.Lease.V6.Subnet
}

// Network is the whole overlay of the family, the zero Prefix when the network does not use it.
func (n *Node) Network(f Family) netip.Prefix {
	for _, p := range n.Networks {
		if f.Has(p.Addr()) {
			return p
		}
	}
	return netip.Prefix{}
}

// Halves yields the peer's halves in the families that this node uses too, IPv4 first. They are the lease's own.
func (n *Node) Halves(peer *lease.Lease) iter.Seq[*lease.Path] {
	return func(yield func(*lease.Path) bool) {
		for _, half := range [...]*lease.Path{&peer.V4, &peer.V6} {
			if half.Subnet.IsValid() && n.Uses(FamilyOf(*half)) && !yield(half) {
				return
			}
		}
	}
}

// Way is the half of the peer's lease by whose public address this node reaches the subnet of the half given, see lease.Lease.Toward.
// It is an error where no family is common to both.
func (n *Node) Way(peer *lease.Lease, half *lease.Path) (lease.Path, error) {
	way := peer.Toward(half, &n.Lease)
	if !way.PublicIP.IsValid() {
		return way, n.apart(peer, FamilyOf(*half))
	}
	return way, nil
}

// WayOut is the Way to a peer that needs an address of its own. It is an error for one that says it is here.
func (n *Node) WayOut(peer *lease.Lease, half *lease.Path) (lease.Path, error) {
	way, err := n.Way(peer, half)
	if at := way.PublicIP; err == nil && (at == n.Lease.V4.PublicIP || at == n.Lease.V6.PublicIP) {
		err = fmt.Errorf("its public address %s is this node's own", at)
	}
	return way, err
}

// apart says why there is no way to a peer's subnet of the family.
func (n *Node) apart(peer *lease.Lease, f Family) error {
	for _, its := range []Family{f, f.other()} {
		at := (&Node{Node: hooks.Node{Lease: *peer}}).Public(its)
		if at.IsValid() && n.Public(its.other()).IsValid() {
			return fmt.Errorf("its public address %s is of %s, of which this node has none: the two have no address family in common", at, its)
		}
	}
	return fmt.Errorf("its lease has no public %s address", f)
}

// A Family is an address family.
type Family int

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) other() Family { return IPv4 + IPv6 - f }

// FamilyOf is the family of a lease's half, by its subnet.
func FamilyOf(p lease.Path) Family { return FamilyOfAddr(p.Subnet.Addr()) }

// FamilyOfAddr is the address's family.
func FamilyOfAddr(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Has reports whether the address is of the family.
func (f Family) Has(a netip.Addr) bool { return a.Is4() == (f == IPv4) }

// String is "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", int(f)) }

// Route leads packets to a peer's subnet, those of this node with the source address if it is valid. It has the mark of what native
// backends make, and a metric of its own.
func Route(to netip.Prefix, from netip.Addr, hop kernel.Hop) kernel.Object {
	return kernel.Spread(kernel.Route{Dst: to, Src: from, Hops: []kernel.Hop{hop}, Protocol: kernel.Protocol})
}

// Base is the first address of a half's subnet, which is its node's own in the overlay, alone on its link.
func Base(p lease.Path) netip.Prefix {
	a := p.Subnet.Addr()
	return netip.PrefixFrom(a, a.BitLen())
}
