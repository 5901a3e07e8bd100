package node

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (i Interface) has(addr netip.Addr) bool {
	return slices.ContainsFunc(i.Addresses, func(a Address) bool { return a.Addr() == addr })
}

// isOwn reports whether the interface is on the overlay's side of the machine, such as its tunnel or the bridge of its
// containers: it has an address inside the overlay, and is no device of the machine.
func (i Interface) isOwn(overlay []netip.Prefix) bool {
	return !i.Hardware && slices.ContainsFunc(i.Addresses, func(a Address) bool {
		return slices.ContainsFunc(overlay, func(n netip.Prefix) bool { return n.Contains(a.Addr()) && a.Bits() > n.Bits() })
	})
}

func (i Interface) name() string { return i.Name }

// describe is the name and the addresses: "eth0 (192.0.2.2, fd00::2)".
func (i Interface) describe() string {
	if len(i.Addresses) == 0 {
		return i.Name
	}
	return fmt.Sprintf("%s (%s)", i.Name, list(i.Addresses, func(a Address) string { return a.Addr().String() }))
}

// address is the first of the preferred addresses that the interface has, else its best one.
func (i Interface) address(family family, preferred ...netip.Addr) (netip.Addr, error) {
	for _, addr := range preferred {
		if family.has(addr) && i.has(addr) {
			return addr, nil
		}
	}
	fit := slices.DeleteFunc(slices.Clone(i.Addresses), func(a Address) bool { return a.Unfit || !family.has(a.Addr()) })
	if len(fit) == 0 {
		return netip.Addr{}, lack("interface %q has no %s address to use: give it one, or name another interface with --iface", i.Name, family)
	}
	return slices.MinFunc(fit, func(a, b Address) int { return cmp.Compare(a.rank(), b.rank()) }).Addr(), nil
}

// rank orders addresses by how fit they are to be told to others, best first.
func (a Address) rank() int {
	var rank int
	for bit, worse := range [...]bool{a.Temporary, a.Dynamic, a.Addr().IsLinkLocalUnicast(), a.Addr().IsLoopback()} {
		if worse {
			rank |= 1 << bit
		}
	}
	return rank
}

// listed is how many things an error lists: a container host can have hundreds of interfaces.
const listed = 8

func list[T any](all []T, text func(T) string) string {
	var texts []string
	for _, one := range all[:min(listed, len(all))] {
		texts = append(texts, text(one))
	}
	if more := len(all) - listed; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return cmp.Or(strings.Join(texts, ", "), "none")
}
