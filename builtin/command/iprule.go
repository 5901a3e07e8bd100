package command

import (
	"cmp"
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
