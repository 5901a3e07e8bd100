package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
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
	if verb == kernel.Add && p.rule.Type == "" && p.rule.Table == 0 {
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
	case p.twice("from"), p.twice("to"), p.twice("table", "lookup"), p.twice("fwmark"),
		p.twice("pref", "preference", "order", "priority", "prio"):
	case p.take("not"):
		r.Not = true
	case p.take("from"):
		r.From = p.selected()
	case p.take("to"):
		family := cmp.Or(p.family, 4) // which this prefix does not change
		if r.To = p.selected(); r.To.IsValid() && !fits(r.To.Addr(), family) {
			p.unknownWord(r.To.String())
		}
	case p.takeShort("priority", "preference") || p.take("order"):
		r.Priority = p.number(1, math.MaxUint32, "preference value is invalid\n")
	case p.take("fwmark"):
		p.mark()
	case p.takeShort("table") || p.take("lookup"):
		if r.Table = p.table(); r.Type != "" {
			p.unknownWord("table")
		}
	case p.take("suppress_prefixlength", "sup_pl"):
		n := p.number(0, 128, "suppress_prefixlength value is invalid\n")
		r.Suppress = &n
	case p.take("iif", "dev"):
		r.In = p.name()
	case p.take("oif"):
		r.Out = p.name()
	case r.Type == "" && r.Table == 0 && slices.Contains([]string{"blackhole", "unreachable", "prohibit"}, p.peek()):
		r.Type = p.next()
	default:
		p.unknown()
	}
}

// selected takes a prefix, invalid for all addresses.
func (p *ruleParser) selected() netip.Prefix {
	if p.take("all", "any", "default") {
		return netip.Prefix{}
	}
	word := p.peek()
	prefix := p.prefix(p.family)
	if p.learn(prefix.Addr()); prefix.Bits() == 0 {
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

func showRules(l *line) action {
	like := kernel.Rule{IPv6: l.family == 6}
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		rules, err := list(ctx, c, like)
		for _, r := range rules {
			if r.Other {
				return unknown(fmt.Sprint(r.Priority))
			}
			printRule(w, r)
		}
		return err
	})
}

func printRule(w io.Writer, r kernel.Rule) {
	fmt.Fprintf(w, "%d:\t", r.Priority)
	if r.Not {
		fmt.Fprint(w, "not ")
	}
	fmt.Fprintf(w, "from %s", ruleAddr(r.From))
	if r.To.IsValid() {
		fmt.Fprintf(w, " to %s", ruleAddr(r.To))
	}
	if r.Mark != 0 || r.Mask != 0 {
		fmt.Fprintf(w, " fwmark 0x%x", r.Mark)
	}
	if r.Mask != 0 {
		fmt.Fprintf(w, "/0x%x", r.Mask)
	}
	if r.In != "" {
		fmt.Fprintf(w, " iif %s", r.In)
	}
	if r.Out != "" {
		fmt.Fprintf(w, " oif %s", r.Out)
	}
	if r.Type != "" {
		fmt.Fprintf(w, " %s", r.Type)
	} else {
		fmt.Fprintf(w, " lookup %s", named(r.Table, map[int]string{253: "default", 254: "main", 255: "local"}))
	}
	if r.Suppress != nil {
		fmt.Fprintf(w, " suppress_prefixlength %d", *r.Suppress)
	}
	fmt.Fprintln(w)
}

// ruleAddr is a prefix as ip prints it: single addresses without their length.
func ruleAddr(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "all"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}
