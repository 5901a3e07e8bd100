package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A routeSelector says which routes are meant, and so which words need not be printed of each.
type routeSelector struct {
	like     kernel.Route
	dev      string
	protocol bool
}

func parseRouteSelector(l *line) (s routeSelector) {
	p := &routeParser{line: l, family: l.family}
	for l.more() {
		switch {
		case l.take("dev", "oif"):
			s.dev = l.name()
		case l.takeShort("table"):
			if l.take("all") {
				s.like.Table = kernel.AnyTable
			} else {
				s.like.Table = p.table()
			}
		case l.takeShort("protocol"):
			s.like.Protocol, s.protocol = p.protocol(), true
		case !p.hasDst:
			if !l.take("to") {
				l.take("exact")
			}
			p.hasDst, p.isAny = true, l.take("default")
			if !p.isAny {
				s.like.Dst = p.prefix(p.family)
			}
		default:
			l.unknown()
		}
	}
	switch s.like.Table {
	case 0, kernel.AnyTable, mainTable, localTable:
	default: // ip tells an empty table from one that is not there
		l.unknownWord(strconv.Itoa(s.like.Table))
	}
	if s.dev != "" {
		s.like.Hops = []kernel.Hop{{Dev: s.dev}}
	}
	family := l.family
	if family == 0 && s.like.Table != kernel.AnyTable {
		family = 4
	}
	switch {
	case p.isAny:
		s.like.Dst = defaultOf(family)
	case !p.hasDst:
		s.like.Dst = anyOf(family)
	case !fits(s.like.Dst.Addr(), family):
		l.unknownWord(s.like.Dst.String())
	}
	return s
}

// list returns the routes that are meant. Those with several hops have no one device.
func (s routeSelector) list(ctx context.Context, c *call) ([]kernel.Route, error) {
	_, err := namedLink(ctx, c, s.dev, &failure{text: fmt.Sprintf("Cannot find device %q", s.dev), status: 1})
	if err != nil {
		return nil, err
	}
	routes, err := list(ctx, c, s.like)
	return slices.DeleteFunc(routes, func(r kernel.Route) bool { return s.dev != "" && len(r.Hops) > 1 }), err
}

func showRoutes(l *line) action {
	s := parseRouteSelector(l)
	if l.oneLine || l.brief {
		l.unknownWord("-o")
	}
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		routes, err := s.list(ctx, c)
		for _, r := range routes {
			s.print(w, r)
		}
		return err
	})
}

func (s routeSelector) print(w io.Writer, r kernel.Route) {
	if r.Type != "" {
		fmt.Fprint(w, r.Type, " ")
	}
	fmt.Fprint(w, destination(r), " ")
	if len(r.Hops) == 1 {
		s.printHop(w, r.Hops[0], r)
	}
	if s.like.Table == kernel.AnyTable && r.Table != 0 {
		fmt.Fprintf(w, "table %s ", named(r.Table, map[int]string{253: "default", 255: "local"}))
	}
	if r.Protocol != 0 && !s.protocol {
		fmt.Fprintf(w, "proto %s ", named(r.Protocol, protocols()))
	}
	if r.Scope != "" {
		fmt.Fprintf(w, "scope %s ", r.Scope)
	}
	if r.Src.IsValid() {
		fmt.Fprintf(w, "src %s ", r.Src)
	}
	is6 := r.Dst.Addr().Is6()
	if r.Metric != 0 || is6 {
		fmt.Fprintf(w, "metric %d ", r.Metric)
	}
	if len(r.Hops) == 1 {
		printHopFlags(w, r.Hops[0])
	}
	printRouteEnd(w, r)
}

func printRouteEnd(w io.Writer, r kernel.Route) {
	if r.MTU != 0 {
		fmt.Fprintf(w, "mtu %d ", r.MTU)
	}
	if r.AdvMSS != 0 {
		fmt.Fprintf(w, "advmss %d ", r.AdvMSS)
	}
	if r.Pref != "" {
		fmt.Fprintf(w, "pref %s", r.Pref)
	}
	if len(r.Hops) > 1 {
		for _, h := range r.Hops {
			fmt.Fprint(w, "\n\tnexthop ")
			(routeSelector{}).printHop(w, h, r)
			fmt.Fprintf(w, "weight %d ", max(h.Weight, 1))
			printHopFlags(w, h)
		}
	}
	fmt.Fprintln(w)
}

// printHop prints where a hop leads; of the device only when not all routes that are listed have the same.
func (s routeSelector) printHop(w io.Writer, h kernel.Hop, r kernel.Route) {
	if h.Via.IsValid() {
		if h.Via.Is6() && r.Dst.Addr().Is4() {
			fmt.Fprintf(w, "via inet6 %s ", h.Via)
		} else {
			fmt.Fprintf(w, "via %s ", h.Via)
		}
	}
	if h.Dev != "" && s.dev == "" {
		fmt.Fprintf(w, "dev %s ", h.Dev)
	}
}

func printHopFlags(w io.Writer, h kernel.Hop) {
	var flags []string
	for _, flag := range h.Flags {
		if flag == "linkdown" && h.Onlink { // ip's order
			flags = append(flags, "onlink")
			h.Onlink = false
		}
		flags = append(flags, flag)
	}
	if h.Onlink {
		flags = append(flags, "onlink")
	}
	for _, flag := range flags {
		fmt.Fprint(w, flag, " ")
	}
}

// destination is a route's prefix as ip prints it: "default", and single addresses without their length.
func destination(r kernel.Route) string {
	switch {
	case r.Dst.Bits() == 0:
		return "default"
	case r.Dst.IsSingleIP():
		return r.Dst.Addr().String()
	}
	return r.Dst.String()
}

func named(n int, names map[int]string) string {
	if name, ok := names[n]; ok {
		return name
	}
	return strconv.Itoa(n)
}

// protocols are the names that iproute2 ships for routing protocols.
func protocols() map[int]string {
	return map[int]string{
		1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird",
		13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 99: "openr",
		186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
	}
}
