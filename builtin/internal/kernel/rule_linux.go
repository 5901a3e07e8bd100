package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Flags of linux/fib_rules.h.
const (
	ruleInvert      = 0x2
	ruleUnresolved  = 0x4
	ruleInDetached  = 0x8
	ruleOutDetached = 0x10
)

// Attributes of linux/fib_rules.h that the libraries do not name alike.
const (
	ruleL3mdev, ruleUsers, ruleProtocol, ruleCarries, ruleFromPort, ruleToPort = 19, 20, 21, 22, 23, 24
	ruleTunnel                                                                 = 12
)

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
	header.Tos = uint8(r.TOS)
	r.selectors(&a)
	table := r.Table
	if table == 0 && verb == Add && r.Type == "" && !r.VRF {
		table = mainTable
	}
	if table < 256 {
		header.Table = uint8(table)
	} else {
		a.u32(unix.FRA_TABLE, table)
	}
	return request(verb, unix.RTM_NEWRULE, unix.RTM_DELRULE, header.Serialize(), a), nil
}

// selectors puts what else packets are chosen by, and what becomes of them.
func (r Rule) selectors(a *attrs) {
	if r.Users != nil {
		a.put(ruleUsers, append(nl.Uint32Attr(uint32(r.Users.First)), nl.Uint32Attr(uint32(r.Users.Last))...))
	}
	if r.Carries != 0 {
		a.u8(ruleCarries, r.Carries)
	}
	for kind, ports := range map[int]*Range{ruleFromPort: r.FromPort, ruleToPort: r.ToPort} {
		if ports != nil {
			a.put(kind, append(nl.Uint16Attr(uint16(ports.First)), nl.Uint16Attr(uint16(ports.Last))...))
		}
	}
	if r.Tunnel != 0 {
		a.put(ruleTunnel, binary.BigEndian.AppendUint64(nil, uint64(r.Tunnel)))
	}
	if r.VRF {
		a.u8(ruleL3mdev, 1)
	}
	a.said32(unix.FRA_FLOW, r.Realms)
	if r.Protocol != 0 {
		a.u8(ruleProtocol, r.Protocol)
	}
	if r.Type == "goto" {
		a.u32(unix.FRA_GOTO, r.Goto)
	}
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
		Table: int(header.Table), TOS: int(header.Tos), Unresolved: header.Flags&ruleUnresolved != 0,
		InDetached: header.Flags&ruleInDetached != 0, OutDetached: header.Flags&ruleOutDetached != 0,
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
	case ruleProtocol:
		r.Protocol = number(value)
	case ruleUsers:
		r.Users = &Range{number(value[:4]), number(value[4:])}
	case ruleCarries:
		r.Carries = number(value)
	case ruleFromPort:
		r.FromPort = &Range{number(value[:2]), number(value[2:])}
	case ruleToPort:
		r.ToPort = &Range{number(value[:2]), number(value[2:])}
	case ruleTunnel:
		r.Tunnel = int(binary.BigEndian.Uint64(value))
	case ruleL3mdev:
		r.VRF = number(value) != 0
	case unix.FRA_FLOW:
		r.Realms = number(value)
	case unix.FRA_GOTO:
		r.Goto = number(value)
	case unix.FRA_SUPPRESS_IFGROUP:
		r.Other = r.Other || number(value) != 1<<32-1
	case 18: // padding
	default:
		r.Other = true
	}
}
