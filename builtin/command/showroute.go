package command

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func showRoutes(l *line) action {
	f := parseRouteSelector(l)
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		routes, err := f.list(ctx, c, "Dump")
		if refused, ok := err.(*failure); ok && refused.status == 2 && s.json {
			refused.onStdout = "[" // which ip has printed by then
		}
		for _, r := range routes {
			if other := r.Answered().Other; other != "" {
				return unknown(other)
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
	if !r.Answered().Cached {
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
	answer := r.Answered()
	if answer.Mark != 0 {
		format := "mark %d "
		if answer.Mark >= 16 {
			format = "mark %#x "
		}
		s.say("mark", answer.Mark, format)
	}
	s.realms(r.Realms)
	if answer.UID != nil {
		s.say("uid", *answer.UID, "uid %d ")
	}
	if answer.Cached && r.Dst.Addr().Is4() {
		if s.json {
			s.list("cache", "", "", "", answer.CacheFlags)
		} else if s.text("%s    cache ", s.end()); len(answer.CacheFlags) > 0 {
			s.text("<%s> ", strings.Join(answer.CacheFlags, ","))
		}
	}
	if r.Expires != 0 {
		s.say("expires", r.Expires, "expires %dsec ")
	}
	if answer.Error != 0 {
		s.say("error", answer.Error, "error %d ")
	}
	if len(r.Metrics) > 0 || r.MTU != 0 || r.AdvMSS != 0 {
		s.array("metrics", "", func() { s.object("", func() { s.metrics(r) }) })
	}
	if answer.In != "" {
		s.say("iif", answer.In, "iif %s ")
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

// prefixText is a prefix as ip prints it: single addresses without their length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
