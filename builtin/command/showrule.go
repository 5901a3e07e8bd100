package command

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

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
