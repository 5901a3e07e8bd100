package node

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/internal/nearest"
)

// A Request says what the external interface must be. Families that are not wanted are not looked at.
type Request struct {
	Interface            string     // a name or an address; "" leaves the choice to the rules of External
	PublicIP, PublicIPv6 netip.Addr // where other nodes reach this one; invalid for the interface's own
	V4, V6               bool       // the families wanted
}

// External is the interface that leads to the other nodes. The addresses of a family that is not wanted are invalid.
type External struct {
	Name               string
	Index              int
	MTU                int        // bytes
	V4, V6             netip.Addr // of the interface
	PublicV4, PublicV6 netip.Addr // where other nodes reach this one
}

// External chooses the external interface: the one that the request names by name or address; else the one that has a
// public address of the request; else, as behind NAT, that of the default route.
//
// Its address is the one that the request names, if the interface has it, and the best otherwise: global before
// link-local, lasting before dynamic and temporary, and none that is about to go. An error says what there is instead,
// and what to try.
func (f Facts) External(r Request) (External, error) {
	i, err := f.choose(r)
	if err != nil {
		return External{}, err
	}
	e := External{Name: i.Name, Index: i.Index, MTU: i.MTU}
	named, _ := netip.ParseAddr(r.Interface)
	for _, half := range r.halves() {
		own, err := i.address(half.family, named, half.public)
		if err != nil {
			return External{}, err
		}
		public := cmp.Or(half.public, own)
		if half.family == ipv4 {
			e.V4, e.PublicV4 = own, public
		} else {
			e.V6, e.PublicV6 = own, public
		}
	}
	return e, nil
}

// A half is what a request wants of one family.
type half struct {
	family family
	public netip.Addr
}

func (r Request) halves() []half {
	var halves []half
	if r.V4 {
		halves = append(halves, half{ipv4, r.PublicIP})
	}
	if r.V6 {
		halves = append(halves, half{ipv6, r.PublicIPv6})
	}
	return halves
}

func (f Facts) choose(r Request) (Interface, error) {
	if addr, err := netip.ParseAddr(r.Interface); err == nil {
		if i, ok := f.holder(addr); ok {
			return i, nil
		}
		return Interface{}, fmt.Errorf("no interface has the address %s: have: %s", addr, list(f.Interfaces, Interface.describe))
	}
	if r.Interface != "" {
		return f.named(r.Interface)
	}
	for _, half := range r.halves() {
		if i, ok := f.holder(half.public); ok {
			return i, nil
		}
	}
	return f.byDefaultRoute(r)
}

// holder finds the interface that has the address.
func (f Facts) holder(addr netip.Addr) (Interface, bool) {
	for _, i := range f.Interfaces {
		if i.has(addr) {
			return i, true
		}
	}
	return Interface{}, false
}

func (f Facts) named(name string) (Interface, error) {
	for _, i := range f.Interfaces {
		if i.Name == name {
			return i, nil
		}
	}
	var names []string
	for _, i := range f.Interfaces {
		names = append(names, i.Name)
	}
	var meant string
	if near := nearest.Of(name, names); near != "" {
		meant = fmt.Sprintf("did you mean %q? ", near)
	}
	return Interface{}, fmt.Errorf("no interface %q: %shave: %s", name, meant, list(f.Interfaces, Interface.name))
}

// byDefaultRoute wants one interface for both families, since a node has one: tunnels of both leave through it.
func (f Facts) byDefaultRoute(r Request) (Interface, error) {
	var found []Route
	for _, half := range r.halves() {
		if route, ok := f.defaultRoute(half.family); ok {
			found = append(found, route)
		}
	}
	switch {
	case len(found) == 0:
		return Interface{}, fmt.Errorf("no default route: name the external interface with --iface (have: %s)", list(f.Interfaces, Interface.name))
	case len(found) == 2 && found[0].Interface != found[1].Interface:
		return Interface{}, fmt.Errorf("default routes of IPv4 by %q, of IPv6 by %q: name one external interface with --iface",
			found[0].Interface, found[1].Interface)
	}
	return f.named(found[0].Interface)
}

func (f Facts) defaultRoute(family family) (Route, bool) {
	var routes []Route
	for _, route := range f.Defaults {
		if route.V6 == (family == ipv6) {
			routes = append(routes, route)
		}
	}
	if routes == nil {
		return Route{}, false
	}
	return slices.MinFunc(routes, func(a, b Route) int { return cmp.Compare(a.Metric, b.Metric) }), true
}

func (i Interface) has(addr netip.Addr) bool {
	return slices.ContainsFunc(i.Addresses, func(a Address) bool { return a.Addr() == addr })
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
		return netip.Addr{}, fmt.Errorf("interface %q has no %s address to use: give it one, or name another interface with --iface", i.Name, family)
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
