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
	"strconv"
	"strings"

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

func showRoutes(l *line) action {
	f := parseRouteSelector(l)
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		routes, err := f.list(ctx, c, "Dump")
		if refused, ok := err.(*failure); ok && refused.status == 2 && s.json {
			refused.onStdout = "[" // which ip has printed by then
		}
		for _, r := range routes {
			if r.Other != "" {
				return unknown(r.Other)
			}
			s.object("", func() { s.route(r, f) })
		}
		return err
	})
}

// route prints a route, without the words that a selector makes the same for all.
func (s *sheet) route(r kernel.Route, f routeSelector) {
	unsaid := func(word string) bool { return f.hidden[word] }
	if (r.Type != "" || s.details) && !unsaid("type") {
		s.say("type", routeTypeOf(r, s.layout), "%s ")
	}
	s.say("dst", destination(r), "%s ")
	if r.From.IsValid() {
		s.say("from", prefixText(r.From), "from %s ")
	}
	if r.TOS != 0 && !unsaid("tos") {
		s.say("tos", tosName(r.TOS, s.layout), "tos %s ")
	}
	if len(r.Hops) == 1 {
		s.hop(r.Hops[0], r, f)
	}
	if table := cmp.Or(r.Table, mainTable); table > 0 && f.like.Table == kernel.AnyTable && (table != mainTable || s.details) {
		s.say("table", tableNames.of(table, s.layout), "table %s ")
	}
	if !r.Cached {
		if (r.Protocol != 0 || s.details) && !unsaid("proto") {
			s.say("protocol", protoNames.of(cmp.Or(r.Protocol, bootProtocol), s.layout), "proto %s ")
		}
		if (r.Scope != "" || s.details) && !unsaid("scope") {
			n, _ := scopeNames.number(cmp.Or(r.Scope, "global"))
			s.say("scope", scopeNames.of(n, s.layout), "scope %s ")
		}
	}
	if r.Src.IsValid() && !unsaid("src") {
		s.say("prefsrc", r.Src, "src %s ")
	}
	if (r.Metric != 0 || r.Dst.Addr().Is6()) && !unsaid("metric") {
		s.say("metric", r.Metric, "metric %d ")
	}
	var hop kernel.Hop
	if len(r.Hops) == 1 {
		hop = r.Hops[0]
	}
	s.hopFlags(hop)
	s.routeEnd(r)
}

func (s *sheet) routeEnd(r kernel.Route) {
	if r.Mark != 0 {
		format := "mark %d "
		if r.Mark >= 16 {
			format = "mark %#x "
		}
		s.say("mark", r.Mark, format)
	}
	s.realms(r.Realms)
	if r.UID != nil {
		s.say("uid", *r.UID, "uid %d ")
	}
	if r.Cached && r.Dst.Addr().Is4() {
		if s.json {
			s.list("cache", "", "", "", r.CacheFlags)
		} else if s.text("%s    cache ", s.end()); len(r.CacheFlags) > 0 {
			s.text("<%s> ", strings.Join(r.CacheFlags, ","))
		}
	}
	if r.Expires != 0 {
		s.say("expires", r.Expires, "expires %dsec ")
	}
	if r.Error != 0 {
		s.say("error", r.Error, "error %d ")
	}
	if len(r.Metrics) > 0 || r.MTU != 0 || r.AdvMSS != 0 {
		s.array("metrics", "", func() { s.object("", func() { s.metrics(r) }) })
	}
	if r.In != "" {
		s.say("iif", r.In, "iif %s ")
	}
	if r.Pref != "" {
		s.say("pref", r.Pref, "pref %s")
	}
	if len(r.Hops) > 1 {
		s.array("nexthops", "", func() {
			for _, h := range r.Hops {
				s.object("", func() {
					s.text("%s\tnexthop ", s.end())
					s.via(h, r, routeSelector{})
					s.say("dev", h.Dev, "dev %s ")
					s.say("weight", max(h.Weight, 1), "weight %d ")
					s.hopFlags(h)
				})
			}
		})
	}
	s.text("\n")
}

// realms prints the realms of a route, of which the one that packets come from stands in the upper half.
func (s *sheet) realms(realms int) {
	if realms == 0 {
		return
	}
	from, to := realms>>16, realmNames.of(realms&0xffff, s.layout)
	if !s.json {
		if from != 0 {
			s.text("realms %s/%s ", realmNames.of(from, s.layout), to)
		} else {
			s.text("realm %s ", to)
		}
		return
	}
	s.object("flow", func() {
		if from != 0 {
			s.key("from", realmNames.of(from, s.layout))
		}
		s.key("to", to)
	})
}

// hop prints where the only hop leads; of the device only when not all routes that are listed have the same.
func (s *sheet) hop(h kernel.Hop, r kernel.Route, f routeSelector) {
	s.via(h, r, f)
	if h.Dev != "" && !f.hidden["dev"] {
		s.say("dev", h.Dev, "dev %s ")
	}
}

func (s *sheet) via(h kernel.Hop, r kernel.Route, f routeSelector) {
	switch {
	case !h.Via.IsValid():
	case !h.Via.Is6() || !r.Dst.Addr().Is4():
		if !f.hidden["via"] {
			s.say("gateway", h.Via, "via %s ")
		}
	case s.json:
		s.object("via", func() {
			s.key("family", "inet6")
			s.key("host", h.Via)
		})
	default:
		s.text("via inet6 %s ", h.Via)
	}
}

func (s *sheet) hopFlags(h kernel.Hop) {
	var words []string
	for _, word := range []string{"dead", "onlink", "pervasive", "offload", "trap", "notify", "linkdown", "unresolved", "rt_offload", "rt_trap", "rt_offload_failed"} {
		if slices.Contains(h.Flags, word) || word == "onlink" && h.Onlink {
			words = append(words, word)
		}
	}
	if s.json {
		s.list("flags", "", "", "", words)
		return
	}
	for _, word := range words {
		s.text("%s ", word)
	}
}

// metrics prints the metrics of a route, in the order of their numbers.
func (s *sheet) metrics(r kernel.Route) {
	for _, m := range kernel.RouteMetrics(r) {
		if s.text("%s ", m.Word); m.Locked {
			s.text("lock ")
		}
		n, _ := strconv.Atoi(m.Value)
		switch m.Word {
		case "rtt", "rttvar", "rto_min":
			s.key(m.Word, n)
			if n >= 1000 {
				s.text("%ss ", strconv.FormatFloat(float64(n)/1000, 'g', 6, 64))
			} else {
				s.text("%dms ", n)
			}
		case "features":
			s.features(n)
		case "congctl":
			s.say("congestion", m.Value, "%s ")
		default:
			s.say(m.Word, n, "%d ")
		}
	}
}

// features prints what TCP may use on a route.
func (s *sheet) features(n int) {
	if n&1 != 0 {
		s.say("ecn", nil, "ecn ")
		n &^= 1
	}
	if n != 0 {
		s.say("features", hex(n), "%s ")
	}
}

// routeTypeOf is the word, or the number, of a route's type.
func routeTypeOf(r kernel.Route, as layout) string {
	kind := cmp.Or(r.Type, "unicast")
	if as.numbers {
		return kernel.RouteTypeNumber(kind)
	}
	return kind
}

func tosName(tos int, as layout) string {
	if name := tosNames.of(tos, as); name != strconv.Itoa(tos) {
		return name
	}
	return fmt.Sprintf("0x%02x", tos)
}

// destination is a route's prefix as ip prints it: "default", and single addresses without their length.
func destination(r kernel.Route) string {
	if r.Dst.Bits() == 0 {
		return "default"
	}
	return prefixText(r.Dst)
}

// prefixText is a prefix as ip prints it: single addresses without their length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
