package command

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseRule(l *line, verb kernel.Verb) action {
	if !l.more() {
		l.unknown()
	}
	p := &ruleParser{routeParser: &routeParser{line: l, family: l.family}}
	for l.more() {
		p.word()
	}
	if p.rule.VRF && p.rule.Table != 0 {
		l.fail(22, "table can not be specified for l3mdev rules")
	}
	if verb == kernel.Add && p.rule.Type == "" && p.rule.Table == 0 && !p.rule.VRF {
		p.rule.Table = mainTable
	}
	p.rule.IPv6 = p.family == 6
	return change(verb, p.rule)
}

// A ruleParser reads one rule.
type ruleParser struct {
	*routeParser
	rule kernel.Rule
}

func (p *ruleParser) word() {
	r := &p.rule
	switch {
	case p.twice("from"), p.twice("to"), p.twice("table", "lookup"), p.twice("fwmark"), p.twice("sport"), p.twice("dport"),
		p.twice("ipproto"), p.twice("uidrange"), p.twice("pref", "preference", "order", "priority", "prio"):
	case p.take("not"):
		r.Not = true
	case p.take("from"):
		r.From = p.selected()
	case p.take("to"):
		r.To = p.selected()
	case p.takeShort("preference", "order", "priority"):
		r.Priority = p.number(1, math.MaxUint32, "preference value is invalid\n")
	case p.take("tos") || p.takeShort("dsfield"):
		r.TOS = parseTOS(p.line, "TOS value is invalid\n")
	case p.take("fwmark"):
		p.mark()
	case p.takeShort("realms"):
		r.Realms = parseRealms(p.line)
	case p.takeShort("protocol"):
		r.Protocol = p.protocol("\"protocol\" value is invalid\n")
	case p.takeShort("tun_id"):
		r.Tunnel = p.number(1, math.MaxUint32, "\"tun_id\" value is invalid\n")
	case p.takeShort("table") || p.take("lookup"):
		if r.Table = p.table("invalid table ID\n"); r.Type != "" {
			p.unknownWord("table")
		}
	case p.takeShort("suppress_prefixlength") || p.take("sup_pl"):
		n := p.number(0, math.MaxInt32, "suppress_prefixlength value is invalid\n")
		r.Suppress = &n
	case p.take("iif", "dev"):
		r.In = p.name()
	case p.take("oif"):
		r.Out = p.name()
	case p.take("l3mdev"):
		r.VRF = true
	case p.take("uidrange"):
		r.Users = p.users()
	case p.take("ipproto"):
		r.Carries = p.carries()
	case p.take("sport"):
		r.FromPort = p.ports("invalid port range\n")
	case p.take("dport"):
		r.ToPort = p.ports("invalid dport range\n")
	default:
		p.action()
	}
}

// action takes what becomes of the packets when no table decides.
func (p *ruleParser) action() {
	r := &p.rule
	if p.take("type"); r.Type != "" || r.Table != 0 {
		p.unknown()
		return
	}
	switch {
	case p.takeShort("goto"):
		r.Type, r.Goto = "goto", p.number(1, math.MaxUint32, "invalid target\n")
	case p.takeShort("nop"):
		r.Type = "nop"
	case slices.Contains([]string{"blackhole", "unreachable", "prohibit"}, p.peek()):
		r.Type = p.next()
	default:
		p.unknown()
	}
}

// users takes a range of users.
func (p *ruleParser) users() *kernel.Range {
	word := p.next()
	first, last, _ := strings.Cut(word, "-")
	f, okFirst := decimal(first, math.MaxUint32)
	t, okLast := decimal(last, math.MaxUint32)
	if !okFirst || !okLast {
		if strings.Trim(first, "0123456789") != "" || first == "" {
			p.wrong(word, "invalid UID range\n")
		}
		p.unknownWord(word)
	}
	return &kernel.Range{First: f, Last: t}
}

// ports takes a port, or a range of them.
func (p *ruleParser) ports(why string) *kernel.Range {
	word := p.next()
	first, last, both := strings.Cut(word, "-")
	if !both {
		last = first
	}
	f, okFirst := decimal(first, math.MaxUint16)
	t, okLast := decimal(last, math.MaxUint16)
	if !okFirst || !okLast {
		if word == "" || word[0] < '0' || word[0] > '9' {
			p.wrong(word, why)
		}
		p.unknownWord(word)
	}
	return &kernel.Range{First: f, Last: t}
}

// carried are the protocols above IP that all machines name alike.
var carried = map[string]int{"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "sctp": 132}

// carries takes a protocol above IP.
func (p *ruleParser) carries() int {
	word := p.next()
	if n, ok := carried[word]; ok {
		return n
	}
	n, ok := number(word, 1, math.MaxUint8)
	if !ok {
		p.unknownWord(word)
	}
	return n
}

// selected takes a prefix, invalid for all addresses.
func (p *ruleParser) selected() netip.Prefix {
	if p.take("all", "any", "default") {
		return netip.Prefix{}
	}
	word := p.peek()
	prefix := p.prefix(p.family)
	if prefix.Bits() == 0 || !fits(prefix.Addr(), cmp.Or(p.family, 4)) { // the kernel refuses what is not of the rule's family
		p.unknownWord(word)
	}
	return prefix
}

// mark takes a mark with the mask that may stand behind it.
func (p *ruleParser) mark() {
	word := p.next()
	mark, mask, masked := strings.Cut(word, "/")
	n, ok := number(mark, 1, math.MaxUint32)
	m, okMask := 0, true
	if masked {
		m, okMask = number(mask, 1, math.MaxUint32)
	}
	if !ok || !okMask {
		p.unknownWord(word)
	}
	p.rule.Mark, p.rule.Mask = n, m
}

// A ruleFilter says which rules are meant: those that have what it says.
type ruleFilter struct {
	wants []func(kernel.Rule) bool
}

func (f *ruleFilter) only(wanted func(kernel.Rule) bool) { f.wants = append(f.wants, wanted) }

func (f ruleFilter) meant(r kernel.Rule) bool {
	return !slices.ContainsFunc(f.wants, func(wanted func(kernel.Rule) bool) bool { return !wanted(r) })
}

func parseRuleFilter(l *line) (f ruleFilter, maker func(kernel.Rule) bool) {
	p := &ruleParser{routeParser: &routeParser{line: l, family: cmp.Or(l.family, 4)}}
	maker = func(kernel.Rule) bool { return true }
	for l.more() {
		switch {
		case l.takeShort("preference", "order", "priority"):
			n := l.number(0, math.MaxUint32, "preference value is invalid\n")
			f.only(func(r kernel.Rule) bool { return r.Priority == n })
		case l.take("not"):
			f.only(func(r kernel.Rule) bool { return r.Not })
		case l.take("tos", "dsfield"):
			n := parseTOS(l, "TOS value is invalid\n")
			f.only(func(r kernel.Rule) bool { return r.TOS == n })
		case l.take("fwmark"):
			p.mark()
			mark, mask := p.rule.Mark, p.rule.Mask
			f.only(func(r kernel.Rule) bool { return r.Mark == mark && (mask == 0 || r.Mask == mask) })
		case l.take("iif", "dev"):
			name := l.name()
			f.only(func(r kernel.Rule) bool { return r.In == name })
		case l.take("oif"):
			name := l.name()
			f.only(func(r kernel.Rule) bool { return r.Out == name })
		case l.take("l3mdev"):
			f.only(func(r kernel.Rule) bool { return r.VRF })
		case l.elsewhere("uidrange", "tun_id", "ipproto", "sport", "dport", "help"):
		case l.takeShort("lookup", "table"):
			n := p.table("table id value is invalid\n")
			f.only(func(r kernel.Rule) bool { return r.Table == n })
		case l.takeShort("from", "src"):
			within := p.prefix(p.family)
			f.only(func(r kernel.Rule) bool { return covered(r.From, within) })
		case l.takeShort("protocol"):
			n := 0
			if !l.take("all") {
				n = p.protocol("invalid \"protocol\"\n")
				maker = func(r kernel.Rule) bool { return r.Protocol == n }
			}
		default:
			l.takeShort("dst", "to")
			within := p.prefix(p.family)
			f.only(func(r kernel.Rule) bool { return covered(r.To, within) })
		}
	}
	return f, maker
}

// covered reports whether all of a prefix, invalid for all addresses, is within another.
func covered(p, within netip.Prefix) bool {
	return p.IsValid() && p.Bits() >= within.Bits() && within.Masked().Contains(p.Addr()) || !p.IsValid() && within.Bits() == 0
}

// parseRuleFlush reads a deletion of rules. The kernel's own, with priority 0, stays.
func parseRuleFlush(l *line) action {
	like := kernel.Rule{IPv6: l.family == 6}
	f, maker := parseRuleFilter(l)
	return action{run: func(ctx context.Context, c *call) error {
		rules, err := list(ctx, c, like)
		if err != nil {
			return err
		}
		return flush(ctx, c, slices.DeleteFunc(rules, func(r kernel.Rule) bool { return r.Priority == 0 || !f.meant(r) || !maker(r) }))
	}}
}

func showRules(l *line) action {
	like := kernel.Rule{IPv6: l.family == 6}
	f, _ := parseRuleFilter(l)
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		rules, err := list(ctx, c, like)
		for _, r := range rules {
			if !f.meant(r) {
				continue
			}
			if r.Other {
				return unknown(fmt.Sprint(r.Priority))
			}
			s.object("", func() { s.rule(r) })
		}
		return err
	})
}

func (s *sheet) rule(r kernel.Rule) {
	s.say("priority", r.Priority, "%d:\t")
	if r.Not {
		s.say("not", nil, "not ")
	}
	s.ruleAddr("src", "from ", r.From, true)
	s.ruleAddr("dst", " to ", r.To, r.To.IsValid())
	if r.TOS != 0 {
		s.say("tos", tosName(r.TOS, s.layout), " tos %s")
	}
	if r.Mark != 0 || r.Mask != 0 {
		s.say("fwmark", fmt.Sprintf("%#x", r.Mark), " fwmark %s")
		if r.Mask != 0 {
			s.say("fwmask", fmt.Sprintf("%#x", r.Mask), "/%s")
		}
	}
	if r.In != "" {
		s.say("iif", r.In, " iif %s")
		s.flagNull(r.InDetached, "iif_detached", " [detached]")
	}
	if r.Out != "" {
		s.say("oif", r.Out, " oif %s")
		s.flagNull(r.OutDetached, "oif_detached", " [detached]")
	}
	s.flagNull(r.VRF, "l3mdev", " lookup [l3mdev-table]")
	s.ruleRange(r.Users, "uid", " uidrange %d", false)
	if r.Carries != 0 {
		s.say("ipproto", protocolName(r.Carries, s.layout), " ipproto %s")
	}
	s.ruleRange(r.FromPort, "sport", " sport %d", true)
	s.ruleRange(r.ToPort, "dport", " dport %d", true)
	if r.Tunnel != 0 {
		s.say("tun_id", r.Tunnel, " tun_id %d")
	}
	s.ruleTable(r)
	s.ruleRealms(r)
	s.ruleAction(r)
	if s.details || r.Protocol > 3 {
		s.say("protocol", protoNames.of(r.Protocol, s.layout), " proto %s")
	}
	s.text("\n")
}

// ruleRange prints a range, which may be one number where that has a word of its own.
func (s *sheet) ruleRange(r *kernel.Range, key, format string, single bool) {
	switch {
	case r == nil:
	case single && r.First == r.Last:
		s.say(key, r.First, format)
	default:
		s.say(key+"_start", r.First, format)
		s.say(key+"_end", r.Last, "-%d")
	}
}

func (s *sheet) ruleRealms(r kernel.Rule) {
	if r.Realms == 0 {
		return
	}
	if s.text(" realms "); r.Realms>>16 != 0 {
		s.say("flow_from", realmNames.of(r.Realms>>16, s.layout), "%s/")
	}
	s.say("flow_to", realmNames.of(r.Realms&0xffff, s.layout), "%s")
}

// protocolName is the name of a protocol above IP, as far as all machines name it alike.
func protocolName(n int, as layout) string {
	for name, number := range carried {
		if number == n && !as.numbers {
			return name
		}
	}
	return fmt.Sprintf("ipproto-%d", n)
}

func (s *sheet) flagNull(is bool, key, text string) {
	if is {
		s.say(key, nil, text)
	}
}

// ruleAddr prints the prefix of one end.
func (s *sheet) ruleAddr(key, word string, p netip.Prefix, said bool) {
	switch {
	case !said:
	case !p.IsValid():
		s.say(key, "all", word+"%s")
	default:
		s.say(key, p.Addr(), word+"%s")
		if !p.IsSingleIP() {
			s.say(key+"len", p.Bits(), "/%d")
		}
	}
}

// ruleTable prints where the rule has routes looked up.
func (s *sheet) ruleTable(r kernel.Rule) {
	if r.Table == 0 || r.Type != "" {
		return
	}
	s.say("table", tableNames.of(r.Table, s.layout), " lookup %s")
	if r.Suppress != nil {
		s.say("suppress_prefixlen", *r.Suppress, " suppress_prefixlength %d")
	}
}

func (s *sheet) ruleAction(r kernel.Rule) {
	switch {
	case r.Type == "goto":
		s.say("goto", r.Goto, " goto %d")
		s.flagNull(r.Unresolved, "unresolved", " [unresolved]")
	case r.Type == "nop":
		s.say("nop", nil, " nop")
	case r.Type != "":
		kind := r.Type
		if s.numbers {
			kind = kernel.RouteTypeNumber(kind)
		}
		s.say("action", kind, " %s")
	}
}
