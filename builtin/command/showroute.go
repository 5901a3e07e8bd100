package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A routeSelector says which routes are meant, and so which words need not be printed of each.
type routeSelector struct {
	like   kernel.Route
	dev    string
	wants  []func(kernel.Route) bool
	hidden map[string]bool // words that are the same for all
}

// only limits the routes to those that are wanted, for which the word need not be printed.
func (s *routeSelector) only(word string, wanted func(kernel.Route) bool) {
	s.wants = append(s.wants, wanted)
	s.hidden[word] = true
}

func parseRouteSelector(l *line) routeSelector {
	s := routeSelector{hidden: map[string]bool{}}
	p := &routeParser{line: l, family: l.family}
	for l.more() {
		s.word(p)
	}
	if !slices.Contains([]int{0, kernel.AnyTable, mainTable, localTable}, s.like.Table) { // ip tells an empty table from one that is not there
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
	case !s.like.Dst.IsValid():
		s.like.Dst = anyOf(family)
	case !fits(s.like.Dst.Addr(), family):
		l.unknownWord(s.like.Dst.String())
	}
	return s
}

func (s *routeSelector) word(p *routeParser) {
	switch {
	case p.take("dev", "oif"):
		s.dev, s.hidden["dev"] = p.name(), true
	case p.takeShort("table"):
		if p.take("all") {
			s.like.Table = kernel.AnyTable
		} else {
			s.like.Table = p.table()
		}
	case p.elsewhere("vrf", "cached", "cloned", "tos", "dsfield", "iif", "mark", "realms", "from", "help"):
	case p.takeShort("protocol"):
		s.like.Protocol, s.hidden["proto"] = p.protocol(), true
	case p.takeShort("scope"):
		scope := parseScope(p.line)
		s.only("scope", func(r kernel.Route) bool { return cmp.Or(r.Scope, "global") == scope })
	case p.takeShort("type"):
		kind := routeType(p.line)
		if kind == "" {
			p.unknown()
		}
		s.only("type", func(r kernel.Route) bool { return cmp.Or(r.Type, "unicast") == kind })
	case p.takeShort("metric", "priority") || p.take("preference"):
		metric := p.number(0, math.MaxUint32, "\"metric\" value is invalid\n")
		s.only("metric", func(r kernel.Route) bool { return r.Metric == metric })
	case p.take("src"):
		src := p.single()
		s.only("src", func(r kernel.Route) bool { return r.Src == src })
	case p.take("via"):
		gateway := p.single()
		s.only("via", func(r kernel.Route) bool { return len(r.Hops) == 1 && r.Hops[0].Via == gateway })
	default:
		s.destination(p)
	}
}

// single takes a prefix that is a single address.
func (p *routeParser) single() netip.Addr {
	word := p.peek()
	prefix := p.prefix(p.family)
	if !prefix.IsSingleIP() {
		p.unknownWord(word)
	}
	return prefix.Addr()
}

func (s *routeSelector) destination(p *routeParser) {
	if p.hasDst {
		p.unknown()
		return
	}
	p.hasDst = true
	if p.take("to"); p.peek() == "match" {
		p.unknown()
		return
	}
	root := p.take("root")
	if !root {
		p.take("exact")
	}
	if p.peek() == "any" || p.peek() == "all" { // which is not always the default route
		p.unknown()
	}
	if p.take("default") {
		p.isAny = !root
		return
	}
	prefix := p.prefix(p.family)
	if !root {
		s.like.Dst = prefix
		return
	}
	s.wants = append(s.wants, func(r kernel.Route) bool {
		return r.Dst.Bits() >= prefix.Bits() && prefix.Masked().Contains(r.Dst.Addr())
	})
}

// list returns the routes that are meant. Those with several hops have no one device.
func (s routeSelector) list(ctx context.Context, c *call) ([]kernel.Route, error) {
	_, err := namedLink(ctx, c, s.dev, &failure{text: fmt.Sprintf("Cannot find device %q", s.dev), status: 1})
	if err != nil {
		return nil, err
	}
	routes, err := list(ctx, c, s.like)
	return slices.DeleteFunc(routes, func(r kernel.Route) bool {
		return s.dev != "" && len(r.Hops) > 1 || slices.ContainsFunc(s.wants, func(wanted func(kernel.Route) bool) bool { return !wanted(r) })
	}), err
}

func showRoutes(l *line) action {
	s := parseRouteSelector(l)
	if l.oneLine || l.brief {
		l.unknownWord("-o")
	}
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		routes, err := s.list(ctx, c)
		for _, r := range routes {
			if r.Other {
				return unknown(destination(r))
			}
			s.print(w, r)
		}
		return err
	})
}

func (s routeSelector) print(w io.Writer, r kernel.Route) {
	if r.Type != "" && !s.hidden["type"] {
		fmt.Fprint(w, r.Type, " ")
	}
	fmt.Fprint(w, destination(r), " ")
	if len(r.Hops) == 1 {
		s.printHop(w, r.Hops[0], r)
	}
	if s.like.Table == kernel.AnyTable && r.Table != 0 {
		fmt.Fprintf(w, "table %s ", named(r.Table, map[int]string{253: "default", 255: "local"}))
	}
	if r.Protocol != 0 && !s.hidden["proto"] {
		fmt.Fprintf(w, "proto %s ", named(r.Protocol, protocols()))
	}
	if r.Scope != "" && !s.hidden["scope"] {
		fmt.Fprintf(w, "scope %s ", r.Scope)
	}
	if r.Src.IsValid() && !s.hidden["src"] {
		fmt.Fprintf(w, "src %s ", r.Src)
	}
	is6 := r.Dst.Addr().Is6()
	if (r.Metric != 0 || is6) && !s.hidden["metric"] {
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
	if h.Via.IsValid() && !s.hidden["via"] {
		if h.Via.Is6() && r.Dst.Addr().Is4() {
			fmt.Fprintf(w, "via inet6 %s ", h.Via)
		} else {
			fmt.Fprintf(w, "via %s ", h.Via)
		}
	}
	if h.Dev != "" && !s.hidden["dev"] {
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
