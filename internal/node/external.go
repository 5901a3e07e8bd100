package node

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/overlayd/overlayd/internal/nearest"
)

// A Request says what the external interface must be.
type Request struct {
	Interfaces           []string         // names and addresses, to be tried in order
	Patterns             []*regexp.Regexp // of addresses and names, to be tried after Interfaces
	Reach                *Reach           // to be tried last of the three; nil for none
	PublicIP, PublicIPv6 netip.Addr       // where other nodes reach this one; invalid for the interface's own
	V4, V6               bool             // the families wanted
	Overlay              []netip.Prefix   // the networks of the overlay, whose interfaces do not lead to other nodes

	instead *family // the one that leads to the interface and that it must have, where it lacks one that is wanted
}

// A Reach is how packets to an address leave the machine.
type Reach struct {
	To        netip.Addr
	Interface string     // the interface by which they leave
	From      netip.Addr // the address with which they leave; invalid if the route says nothing of it
	Err       error      // why they do not leave
}

// External is the interface that leads to the other nodes. The addresses of a family that is not wanted are invalid, unless the
// interface has none of one that is.
type External struct {
	Name               string
	Index              int
	MTU                int        // bytes
	V4, V6             netip.Addr // of the interface
	PublicV4, PublicV6 netip.Addr // where other nodes reach this one
	Spare              netip.Addr // where they do by the family that is not wanted; invalid if the two above say it, or there is none
	Why                string     // what chose it: "--iface eth0", "default route"
}

// A choice is an interface that may be the external one.
type choice struct {
	Interface
	preferred []netip.Addr // of its addresses
	why       string
}

// External chooses the external interface. If the request has Interfaces, Patterns or Reach, they are tried in this order and
// the first that leads to an interface with an address of each family wanted counts. If it has none of these, it is the interface
// that has a public address of the request; else, as behind NAT, that of the default route.
//
// A pattern is compared with addresses first, then with names, and must match one interface alone. Only who names an
// interface gets one that is the overlay's own; no pattern matches tunnels, loopback, and bridges without a device of the
// machine.
//
// The address is the one that led to the interface, or is public; else its best: global before link-local, lasting before
// dynamic and temporary, and none that is about to go. An error says what there is instead, and what to try.
//
// Where no interface has an address of each family wanted, one with an address of the other, or of one of the two, will do: what one
// family is wanted for goes over the other. A link-local address is none for that, since every link has one of IPv6; nor does it
// replace a public address that the request names.
func (f Facts) External(r Request) (External, error) {
	e, err := f.external(r)
	if _, lacks := errors.AsType[*lackError](err); !lacks {
		return e, err
	}
	for _, one := range r.alternatives() {
		if e, oneErr := f.external(one); oneErr == nil {
			return e, nil
		}
	}
	return e, err
}

// A lackError says that something has no address of a family, or that no route of the family is there.
type lackError struct{ text string }

func (e *lackError) Error() string { return e.text }

func lack(format string, args ...any) error { return &lackError{fmt.Sprintf(format, args...)} }

// external is External for what the request wants, and no less.
func (f Facts) external(r Request) (External, error) {
	var misses []error
	for _, try := range f.ways(r) {
		c, err := try()
		if err == nil {
			var e External
			if e, err = c.external(r); err == nil {
				return e, nil
			}
		}
		misses = append(misses, err)
	}
	return External{}, errors.Join(misses...)
}

// ways are the ways to find the interface, the first that leads somewhere counts.
func (f Facts) ways(r Request) (ways []func() (choice, error)) {
	for _, text := range r.Interfaces {
		ways = append(ways, func() (choice, error) { return f.asNamed(text) })
	}
	for _, pattern := range r.Patterns {
		ways = append(ways, func() (choice, error) { return f.matching(pattern, r) })
	}
	if r.Reach != nil {
		ways = append(ways, func() (choice, error) { return f.reaching(*r.Reach, r) })
	}
	if ways == nil {
		ways = append(ways, func() (choice, error) { return f.byAddressOrRoute(r) })
	}
	return ways
}

// external looks for the addresses of the interface.
func (c choice) external(r Request) (External, error) {
	e := External{Name: c.Name, Index: c.Index, MTU: c.MTU, Why: c.why}
	needed := r.halves()
	lacks := false // whether a family is wanted of which there is none
	var spare netip.Addr
	for _, half := range r.both() {
		own, err := c.address(half.family, append(c.preferred, half.public)...)
		if err == nil && own.IsLinkLocalUnicast() && (r.instead != nil || !half.wanted) {
			err = lack("interface %q has no %s address but link-local ones", c.Name, half.family)
		}
		switch {
		case err != nil && slices.Contains(needed, half):
			return External{}, err
		case half.wanted && err == nil:
			e.tell(own, cmp.Or(half.public, own))
		case half.wanted:
			lacks = true
		case err == nil:
			spare = own
		}
	}
	for _, half := range r.both() {
		switch {
		case !half.family.has(spare):
		case lacks:
			e.tell(spare, cmp.Or(half.public, spare))
		default:
			e.Spare = cmp.Or(half.public, spare)
		}
	}
	return e, nil
}

// tell takes in an address of the interface, and the one that other nodes are told in its place.
func (e *External) tell(own, public netip.Addr) {
	if own.Is4() {
		e.V4, e.PublicV4 = own, public
	} else {
		e.V6, e.PublicV6 = own, public
	}
}

// A half is what a request wants of one family.
type half struct {
	family family
	wanted bool
	public netip.Addr
	flag   string
}

func (r Request) both() []half {
	return []half{{ipv4, r.V4, r.PublicIP, "--public-ip"}, {ipv6, r.V6, r.PublicIPv6, "--public-ipv6"}}
}

// halves are the families that lead to the interface, and that it must have.
func (r Request) halves() []half {
	return slices.DeleteFunc(r.both(), func(h half) bool {
		if r.instead != nil {
			return h.family != *r.instead
		}
		return !h.wanted
	})
}

// alternatives are requests that do without a family which is wanted, unless its public address is given.
func (r Request) alternatives() (all []Request) {
	both := r.both()
	for i, h := range both {
		if other := both[1-i]; other.wanted && !other.public.IsValid() {
			one := r
			one.instead = &h.family
			all = append(all, one)
		}
	}
	return all
}

// asNamed finds the interface of the name or the address.
func (f Facts) asNamed(text string) (choice, error) {
	why := "--iface " + text
	addr, err := netip.ParseAddr(text)
	if err != nil {
		i, err := f.named(text)
		return choice{i, nil, why}, err
	}
	if i, ok := f.holder(addr); ok {
		return choice{i, []netip.Addr{addr}, why}, nil
	}
	return choice{}, fmt.Errorf("no interface has the address %s: have: %s", addr, list(f.Interfaces, Interface.describe))
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

// matching finds the one interface that the pattern matches.
func (f Facts) matching(pattern *regexp.Regexp, r Request) (choice, error) {
	var byAddress, byName []choice
	why := fmt.Sprintf("--iface-regex %s", pattern)
	for _, i := range f.Interfaces {
		if i.Virtual || i.isOwn(r.Overlay) {
			continue
		}
		if addrs := i.matched(pattern, r); addrs != nil {
			byAddress = append(byAddress, choice{i, addrs, why})
		}
		if pattern.MatchString(i.Name) {
			byName = append(byName, choice{i, nil, why})
		}
	}
	found := byAddress
	if found == nil {
		found = byName
	}
	if fit := fit(found, r); len(fit) > 0 {
		found = fit
	}
	switch len(found) {
	case 0:
		return choice{}, lack("no interface matches --iface-regex %s: have: %s", pattern, list(f.Interfaces, Interface.describe))
	case 1:
		return found[0], nil
	}
	return choice{}, fmt.Errorf("--iface-regex %s matches more than one interface: %s: make it match one, or name one with --iface",
		pattern, list(found, func(c choice) string { return c.describe() }))
}

// fit are those choices that have the addresses.
func fit(all []choice, r Request) (fit []choice) {
	for _, c := range all {
		if _, err := c.external(r); err == nil {
			fit = append(fit, c)
		}
	}
	return fit
}

// matched returns the first address of each wanted family that the pattern matches, nil unless there is one of each.
func (i Interface) matched(pattern *regexp.Regexp, r Request) (addrs []netip.Addr) {
	for _, half := range r.halves() {
		at := slices.IndexFunc(i.Addresses, func(a Address) bool {
			return half.family.has(a.Addr()) && !a.Unfit && pattern.MatchString(a.Addr().String())
		})
		if at < 0 {
			return nil
		}
		addrs = append(addrs, i.Addresses[at].Addr())
	}
	return addrs
}

// reaching finds the interface by which packets to an address leave.
func (f Facts) reaching(reach Reach, r Request) (choice, error) {
	if reach.Err != nil {
		return choice{}, fmt.Errorf("--iface-can-reach %s: %w", reach.To, reach.Err)
	}
	i, err := f.named(reach.Interface)
	switch {
	case err != nil:
		return choice{}, fmt.Errorf("--iface-can-reach %s: %w", reach.To, err)
	case i.isOwn(r.Overlay) || i.Loopback:
		return choice{}, fmt.Errorf("--iface-can-reach %s: packets there leave by %q, which leads to no other node: give an address outside of the overlay and of this machine",
			reach.To, i.Name)
	}
	return choice{i, []netip.Addr{reach.From}, fmt.Sprintf("--iface-can-reach %s", reach.To)}, nil
}

// byAddressOrRoute finds the interface that has a public address, else that of the default route.
func (f Facts) byAddressOrRoute(r Request) (choice, error) {
	for _, half := range r.halves() {
		if i, ok := f.holder(half.public); ok && !i.Loopback && !i.isOwn(r.Overlay) {
			return choice{i, nil, fmt.Sprintf("%s %s", half.flag, half.public)}, nil
		}
	}
	i, err := f.byDefaultRoute(r)
	return choice{i, nil, "default route"}, err
}

// byDefaultRoute wants one interface for both families, since a node has one: tunnels of both leave through it.
func (f Facts) byDefaultRoute(r Request) (Interface, error) {
	var found []Route
	for _, half := range r.halves() {
		if route, ok := f.defaultRoute(half.family, r.Overlay); ok {
			found = append(found, route)
		}
	}
	switch {
	case len(found) == 0:
		return Interface{}, lack("no default route: name the external interface with --iface (have: %s)", list(f.Interfaces, Interface.name))
	case len(found) == 2 && found[0].Interface != found[1].Interface:
		return Interface{}, fmt.Errorf("default routes of IPv4 by %q, of IPv6 by %q: name one external interface with --iface",
			found[0].Interface, found[1].Interface)
	}
	return f.named(found[0].Interface)
}

// defaultRoute is the family's best default route. One that leads into the overlay only counts when there is no other.
func (f Facts) defaultRoute(family family, overlay []netip.Prefix) (Route, bool) {
	var out, into []Route
	for _, route := range f.Defaults {
		if route.V6 != (family == ipv6) {
			continue
		}
		if i, err := f.named(route.Interface); err == nil && i.isOwn(overlay) {
			into = append(into, route)
		} else {
			out = append(out, route)
		}
	}
	if out == nil {
		out = into
	}
	if out == nil {
		return Route{}, false
	}
	return slices.MinFunc(out, func(a, b Route) int { return cmp.Compare(a.Metric, b.Metric) }), true
}
