package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"slices"

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
		} else if p.peek() == "cache" {
			p.unknown()
		} else {
			s.like.Table = p.table("table id value is invalid\n")
		}
	case p.elsewhere("vrf", "cached", "cloned", "iif", "mark", "realms", "from", "help"):
	case p.take("tos") || p.takeShort("dsfield"):
		tos := parseTOS(p.line, "TOS value is invalid\n")
		s.only("tos", func(r kernel.Route) bool { return r.TOS == tos })
	case p.takeShort("protocol"):
		if !p.take("all") {
			s.like.Protocol, s.hidden["proto"] = p.protocol("invalid \"protocol\"\n"), true
		}
	case p.takeShort("scope"):
		if p.take("all") {
			break
		}
		scope := parseScopeOr(p.line, "invalid \"scope\"\n")
		s.only("scope", func(r kernel.Route) bool { return cmp.Or(r.Scope, "global") == scope })
	case p.takeShort("type"):
		kind := routeType(p.line)
		if kind == "" {
			p.unknown()
		}
		s.only("type", func(r kernel.Route) bool { return cmp.Or(r.Type, "unicast") == kind })
		s.hidden["type"] = false
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
	p.take("to")
	root, match := p.takeShort("root"), false
	if !root {
		if match = p.takeShort("match"); !match {
			p.takeShort("exact")
		}
	}
	if p.peek() == "any" || p.peek() == "all" { // which is not always the default route
		p.unknown()
	}
	if p.take("default") {
		if p.isAny = !root; match {
			p.unknownWord("default")
		}
		return
	}
	prefix := p.prefix(p.family)
	switch {
	case root:
		s.wants = append(s.wants, func(r kernel.Route) bool {
			return r.Dst.Bits() >= prefix.Bits() && prefix.Masked().Contains(r.Dst.Addr())
		})
	case match:
		s.wants = append(s.wants, func(r kernel.Route) bool {
			return r.Dst.Bits() <= prefix.Bits() && r.Dst.Masked().Contains(prefix.Addr())
		})
	default:
		s.like.Dst = prefix
	}
}

// list returns the routes that are meant. Those with several hops have no one device.
func (s routeSelector) list(ctx context.Context, c *call, how string) ([]kernel.Route, error) {
	_, err := namedLink(ctx, c, s.dev, &failure{text: fmt.Sprintf("Cannot find device %q", s.dev), status: 1})
	if err != nil {
		return nil, err
	}
	if err := s.tableThere(ctx, c, how); err != nil {
		return nil, err
	}
	routes, err := list(ctx, c, s.like)
	return slices.DeleteFunc(routes, func(r kernel.Route) bool {
		return s.dev != "" && len(r.Hops) > 1 || slices.ContainsFunc(s.wants, func(wanted func(kernel.Route) bool) bool { return !wanted(r) })
	}), err
}

// tableThere fails as the kernel does when it never had a route in the table. How is what ip was doing.
func (s routeSelector) tableThere(ctx context.Context, c *call, how string) error {
	if slices.Contains([]int{0, kernel.AnyTable, mainTable, localTable}, s.like.Table) {
		return nil
	}
	family := familyOf(s.like.Dst.Addr())
	_, err := list(ctx, c, kernel.Route{Table: s.like.Table, Dst: anyOf(family)})
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{text: fmt.Sprintf("Error: ipv%d: FIB table does not exist.\n%s terminated", family, how), status: 2, cause: err}
	}
	return err
}

// destination is a route's prefix as ip prints it: "default", and single addresses without their length.
func destination(r kernel.Route) string {
	if r.Dst.Bits() == 0 {
		return "default"
	}
	return prefixText(r.Dst)
}
