package command

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseRoute(l *line, verb kernel.Verb) action {
	if !l.more() {
		l.unknownWord("")
	}
	p := &routeParser{line: l, family: l.family}
	for l.more() {
		p.word()
	}
	p.finish()
	if !p.hasDst { // of which ip tells its usage
		l.unknownWord("route")
	}
	a := change(verb, p.route)
	if p.nexthops {
		a.noDevice = func(f *failure) *failure {
			return &failure{text: f.text + "\nError: cannot parse nexthop", status: statusUsage}
		}
	}
	return a
}

// A routeParser reads one route.
type routeParser struct {
	*line
	route    kernel.Route
	hop      kernel.Hop // of the words outside of nexthop
	family   int        // 0 until an address tells it
	hasDst   bool
	isAny    bool // the destination is "default", of either family
	nexthops bool

	seenMetric map[string]bool
}

func (p *routeParser) word() {
	r := &p.route
	switch {
	case p.hopWord(&p.hop):
	case p.take("nexthop"):
		p.nexthop()
	case p.take("src"):
		r.Src = p.learn(p.address(p.family))
	case p.take("from"):
		word := p.peek()
		r.From = p.prefix(p.family)
		if p.learn(r.From.Addr()).Is4() || r.From.Bits() == 0 { // which the kernel refuses, or takes for nothing
			p.unknownWord(word)
		}
	case p.take("tos") || p.takeShort("dsfield"):
		r.TOS = parseTOS(p.line, "\"tos\" value is invalid\n")
	case p.take("expires"):
		r.Expires = p.number(1, math.MaxUint32, "\"expires\" value is invalid\n")
	case p.takeShort("metric", "priority") || p.take("preference"):
		r.Metric = p.number(0, math.MaxUint32, "\"metric\" value is invalid\n")
	case p.takeShort("table"):
		r.Table = p.table("\"table\" value is invalid\n")
	case p.takeShort("protocol"):
		r.Protocol = p.protocol("\"protocol\" value is invalid\n")
	case p.take("scope"):
		r.Scope = parseScopeOr(p.line, "invalid \"scope\" value\n")
	case p.take("nhid"):
		r.NextHop = p.number(1, math.MaxUint32, "\"id\" value is invalid\n")
	case p.takeShort("realms"):
		r.Realms = parseRealms(p.line)
	case p.peek() == "to":
		p.destination()
	case p.takeShort("pref"):
		if r.Pref = p.next(); !slices.Contains([]string{"low", "medium", "high"}, r.Pref) {
			p.unknownWord(r.Pref)
		}
	case p.metric():
	case p.elsewhere("as", "encap", "help", "ttl-propagate", "vrf"):
	default:
		p.destination()
	}
}

// hopWord takes what may stand before the first nexthop as well as in one.
func (p *routeParser) hopWord(h *kernel.Hop) bool {
	switch {
	case p.take("via"):
		if h.Via.IsValid() {
			p.wrong("via", "use nexthop syntax to specify multiple via\n")
		}
		h.Via = p.via()
	case p.take("dev", "oif"):
		h.Dev = p.name()
	case p.take("onlink"):
		h.Onlink = true
	default:
		return false
	}
	return true
}

func (p *routeParser) via() netip.Addr {
	switch {
	case p.take("inet6"):
		return p.learn(p.address(6))
	case p.take("inet"):
		return p.address(4)
	}
	return p.learn(p.address(p.family))
}

// learn takes the route's family from the first address that tells it.
func (p *routeParser) learn(a netip.Addr) netip.Addr {
	if p.family == 0 && a.IsValid() {
		p.family = familyOf(a)
	}
	return a
}

func (p *routeParser) nexthop() {
	p.nexthops = true
	if !p.more() {
		p.fail(statusUsage, "Error: unexpected end of line after \"nexthop\"")
	}
	var h kernel.Hop
	for p.more() && p.peek() != "nexthop" {
		switch {
		case h.Dev != "" && p.peek() == "dev" || p.peek() == "oif": // which ip knows outside of nexthop alone
			p.unknown()
		case p.take("weight"):
			h.Weight = p.number(1, 256, "\"weight\" is invalid\n")
		case p.hopWord(&h):
		default:
			p.unknown()
		}
	}
	p.route.Hops = append(p.route.Hops, h)
	if h.Dev != "" {
		p.early = h.Dev
	}
}

func (p *routeParser) destination() {
	if p.hasDst {
		p.unknown()
		return
	}
	p.take("to")
	p.kind()
	p.hasDst = true
	if p.take("default", "any", "all") {
		p.isAny = true
		return
	}
	word := p.peek()
	p.route.Dst = p.prefix(p.family)
	p.learn(p.route.Dst.Addr())
	if p.route.Dst.Bits() == 0 && !p.route.Dst.Addr().IsUnspecified() { // the kernel refuses it, but not as an object of ours
		p.unknownWord(word)
	}
}

// kind takes the type of the route, which may stand before its destination.
func (p *routeParser) kind() {
	switch kind := routeType(p.line); kind {
	case "", "unicast":
	default:
		p.route.Type = kind
	}
}

// routeType takes a type of routes, "" if the next word is none. Most can be cut short, even to "any".
func routeType(l *line) string {
	switch {
	case l.take("local"):
		return "local"
	case l.take("brd"):
		return "broadcast"
	case l.peek() == "nat" || l.elsewhere("xresolve"):
		l.unknown()
		return ""
	}
	for _, kind := range [...]string{
		"broadcast", "anycast", "multicast", "prohibit", "unreachable", "blackhole", "unicast", "throw",
	} {
		if l.takeShort(kind) {
			return kind
		}
	}
	return ""
}

// table takes a routing table, by number or name.
func (p *routeParser) table(why string) int {
	return parseNamed(p.line, tableNames, math.MaxUint32, why)
}

// protocol takes who made a route, by number or name.
func (p *routeParser) protocol(why string) int {
	return parseNamed(p.line, protoNames, math.MaxUint8, why)
}

// parseNamed takes a number or a name of one. 0 is what our objects cannot say.
func parseNamed(l *line, names naming, highest int, why string) int {
	word := l.next()
	n, ok := names.number(word)
	switch {
	case !ok && !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "+"):
		l.wrong(word, why)
	case !ok || n == 0 || n > highest:
		l.unknownWord(word)
	}
	return n
}

func (p *routeParser) finish() {
	r := &p.route
	if p.isAny || !p.hasDst && p.err == nil {
		r.Dst = defaultOf(p.family)
	}
	if r.NextHop != 0 && (leads(p.hop) || p.nexthops) { // which the kernel refuses
		p.unknownWord("nhid")
	}
	if leads(p.hop) {
		if p.nexthops { // ip's meaning of both together is its own
			p.unknownWord("nexthop")
		}
		r.Hops = []kernel.Hop{p.hop}
	}
	if p.nexthops && r.Dst.Addr().Is6() && !allLead(r.Hops) { // the kernel refuses it, but not as an object of ours
		p.unknownWord("nexthop")
	}
	if len(r.Hops) == 1 { // it shares the load with none
		if p.nexthops && r.Scope == "" && r.Type == "" && !r.Hops[0].Via.IsValid() && r.Dst.Addr().Is4() {
			r.Scope = "global" // which a lone device would not have
		}
		if r.Hops[0].Weight = 0; !leads(r.Hops[0]) {
			r.Hops = nil
		}
	}
	if r.Table == mainTable {
		r.Table = 0
	}
	if r.Protocol == bootProtocol {
		r.Protocol = 0
	}
}

// allLead reports whether all hops have a gateway.
func allLead(hops []kernel.Hop) bool {
	return !slices.ContainsFunc(hops, func(h kernel.Hop) bool { return !h.Via.IsValid() })
}

// leads reports whether a hop says anything of a way.
func leads(h kernel.Hop) bool { return h.Via.IsValid() || h.Dev != "" || h.Onlink }

// defaultOf is the destination of the default route, IPv4's when the family is not told.
func defaultOf(family int) netip.Prefix {
	if family == 6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// Numbers that the kernel layer leaves unsaid.
const (
	bootProtocol = 3
	mainTable    = 254
	localTable   = 255
)

func parseRouteFlush(l *line) action {
	if !l.more() {
		l.fail(1, "\"ip route flush\" requires arguments.")
	}
	s := parseRouteSelector(l)
	return action{run: func(ctx context.Context, c *call) error {
		routes, err := s.list(ctx, c, "Flush")
		if err != nil {
			return err
		}
		return flush(ctx, c, routes)
	}}
}
