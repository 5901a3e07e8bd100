package kernel

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Flags of linux/fib_rules.h: FIB_RULE_INVERT, and those of rules for links that are not there.
const ruleInvert, ruleDetached = 0x2, 0x8 | 0x10

var ruleActions = spelling{
	unix.FR_ACT_UNSPEC: "any", unix.FR_ACT_TO_TBL: "", unix.FR_ACT_GOTO: "goto", unix.FR_ACT_NOP: "nop",
	unix.FR_ACT_BLACKHOLE: "blackhole", unix.FR_ACT_UNREACHABLE: "unreachable", unix.FR_ACT_PROHIBIT: "prohibit",
}

func ruleRequest(verb Verb, r Rule) (message, error) {
	header := nl.NewRtDelMsg()
	header.Scope = 0
	header.Family = unix.AF_INET
	if r.IPv6 {
		header.Family = unix.AF_INET6
	}
	action, err := ruleActions.number(r.Type)
	if err != nil {
		return message{}, err
	}
	header.Type = uint8(action)
	if verb == Del && r.Type == "" {
		header.Type = unix.FR_ACT_UNSPEC
		if r.Table != 0 {
			header.Type = unix.FR_ACT_TO_TBL
		}
	}
	if r.Not {
		header.Flags = ruleInvert
	}
	var a attrs
	header.Src_len, header.Dst_len = a.prefix(unix.FRA_SRC, r.From), a.prefix(unix.FRA_DST, r.To)
	a.said32(unix.FRA_PRIORITY, r.Priority)
	if r.Mark != 0 || r.Mask != 0 {
		a.u32(unix.FRA_FWMARK, r.Mark)
	}
	a.said32(unix.FRA_FWMASK, r.Mask)
	a.name(unix.FRA_IIFNAME, r.In)
	a.name(unix.FRA_OIFNAME, r.Out)
	if r.Suppress != nil {
		a.u32(unix.FRA_SUPPRESS_PREFIXLEN, *r.Suppress)
	}
	table := r.Table
	if table == 0 && verb == Add && r.Type == "" {
		table = mainTable
	}
	if table < 256 {
		header.Table = uint8(table)
	} else {
		a.u32(unix.FRA_TABLE, table)
	}
	return request(verb, unix.RTM_NEWRULE, unix.RTM_DELRULE, header, a), nil
}

// prefix puts the address of a prefix that is said, and returns its length.
func (a *attrs) prefix(kind int, p netip.Prefix) uint8 {
	if !p.IsValid() {
		return 0
	}
	if p.Bits() > 0 {
		a.ip(kind, p.Addr())
	}
	return uint8(p.Bits())
}

// name puts a link's name that is said.
func (a *attrs) name(kind int, name string) {
	if name != "" {
		a.text(kind, name)
	}
}

// listRules lists the rules of one family in the order they are asked.
func (s *system) listRules(like Rule) ([]Object, error) {
	header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET}}
	if like.IPv6 {
		header.Family = unix.AF_INET6
	}
	var list []Object
	err := s.dump(unix.RTM_GETRULE, unix.NLM_F_DUMP, header, nil, func(m []byte) { list = append(list, readRule(m)) })
	return list, err
}

func readRule(m []byte) Rule {
	header := nl.DeserializeRtMsg(m)
	r := Rule{
		IPv6: header.Family == unix.AF_INET6, Not: header.Flags&ruleInvert != 0, Type: ruleActions.word(int(header.Type)),
		Table: int(header.Table), Other: header.Tos != 0 || header.Flags&ruleDetached != 0 || header.Type == unix.FR_ACT_GOTO || header.Type == unix.FR_ACT_NOP,
	}
	visit(m[unix.SizeofRtMsg:], func(kind int, value []byte) {
		switch kind {
		case unix.FRA_SRC:
			r.From = netip.PrefixFrom(addr(value), int(header.Src_len))
		case unix.FRA_DST:
			r.To = netip.PrefixFrom(addr(value), int(header.Dst_len))
		default:
			r.readAttr(kind, value)
		}
	})
	if r.Type != "" {
		r.Table = 0
	}
	return r
}

func (r *Rule) readAttr(kind int, value []byte) {
	switch kind {
	case unix.FRA_PRIORITY:
		r.Priority = number(value)
	case unix.FRA_FWMARK:
		r.Mark = number(value)
	case unix.FRA_FWMASK:
		if r.Mask = number(value); r.Mask == 1<<32-1 {
			r.Mask = 0
		}
	case unix.FRA_IIFNAME:
		r.In = unix.ByteSliceToString(value)
	case unix.FRA_OIFNAME:
		r.Out = unix.ByteSliceToString(value)
	case unix.FRA_TABLE:
		r.Table = number(value)
	case unix.FRA_SUPPRESS_PREFIXLEN:
		if n := number(value); n != 1<<32-1 {
			r.Suppress = &n
		}
	case unix.FRA_PROTOCOL:
	case unix.FRA_SUPPRESS_IFGROUP:
		r.Other = r.Other || number(value) != 1<<32-1
	default:
		r.Other = true
	}
}
