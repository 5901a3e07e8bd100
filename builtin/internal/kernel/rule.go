package kernel

import (
	"fmt"
	"net/netip"
	"strconv"
)

// A Rule chooses a routing table, or refuses, for the packets that it fits. What is not said fits all.
type Rule struct {
	IPv6     bool         `json:",omitzero"` // the family, which From and To have as well
	Priority int          `json:",omitzero"` // 0 lets the kernel choose one before the others
	Not      bool         `json:",omitzero"` // for the packets that do not fit
	From     netip.Prefix `json:",omitzero"`
	To       netip.Prefix `json:",omitzero"`
	In       string       `json:",omitzero"` // the link that packets come from
	Out      string       `json:",omitzero"` // the link that a socket is bound to
	Mark     int          `json:",omitzero"`
	Mask     int          `json:",omitzero"` // of Mark; 0 is all of its bits
	TOS      int          `json:",omitzero"`
	Users    *Range       `json:",omitzero"` // who sends
	Carries  int          `json:",omitzero"` // the protocol above IP, by its number
	FromPort *Range       `json:",omitzero"`
	ToPort   *Range       `json:",omitzero"`
	Tunnel   int          `json:",omitzero"` // the number of the tunnel that packets came by
	Type     string       `json:",omitzero"` // look a route up when "", or blackhole, unreachable, prohibit, goto, nop
	Goto     int          `json:",omitzero"` // the priority to go on at, for type goto
	VRF      bool         `json:",omitzero"` // look routes up in the table of the packets' VRF
	Realms   int          `json:",omitzero"` // from in the upper 16 bits, to in the lower
	Protocol int          `json:",omitzero"` // who made it
	Table    int          `json:",omitzero"` // where to look; 0 is main, 254, and any when deleted
	Suppress *int         `json:",omitzero"` // pass over routes to prefixes that are no longer than this

	// Known after List.
	InDetached, OutDetached bool `json:"-"` // the link is not there
	Unresolved              bool `json:"-"` // there is no rule to go to
	Other                   bool `json:"-"` // the kernel says more of it than these fields can
}

// A Range is what lies between two numbers, both of them inside.
type Range struct{ First, Last int }

// String is the range as ip rule prints it.
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Key is "rule" with all that it says, since there may be any number of rules.
func (r Rule) Key() string { return r.command(Add) }

func (r Rule) command(verb Verb) string {
	w := command("ip")
	w.when(r.IPv6, "-6")
	w.add("rule", verb.String())
	w.number("pref", r.Priority)
	w.when(r.Not, "not")
	w.when(r.From.IsValid(), "from", r.From.String())
	w.when(r.To.IsValid(), "to", r.To.String())
	w.when(r.Mark != 0 || r.Mask != 0, "fwmark", r.mark())
	w.when(r.TOS != 0, "tos", fmt.Sprintf("%#x", r.TOS))
	w.text("iif", r.In)
	w.text("oif", r.Out)
	if r.Users != nil {
		w.add("uidrange", fmt.Sprintf("%d-%d", r.Users.First, r.Users.Last))
	}
	w.number("ipproto", r.Carries)
	if r.FromPort != nil {
		w.add("sport", r.FromPort.String())
	}
	if r.ToPort != nil {
		w.add("dport", r.ToPort.String())
	}
	w.number("tun_id", r.Tunnel)
	w.when(r.VRF, "l3mdev")
	w.when(r.Realms != 0, "realms", fmt.Sprintf("%d/%d", r.Realms>>16, r.Realms&0xffff))
	w.number("protocol", r.Protocol)
	switch {
	case r.Type == "goto":
		w.add("goto", strconv.Itoa(r.Goto))
	case r.Type != "":
		w.add(r.Type)
	default:
		w.number("table", r.Table)
	}
	if r.Suppress != nil {
		w.add("suppress_prefixlength", strconv.Itoa(*r.Suppress))
	}
	return w.String()
}

func (r Rule) mark() string {
	if r.Mask == 0 {
		return fmt.Sprintf("0x%x", r.Mark)
	}
	return fmt.Sprintf("0x%x/0x%x", r.Mark, r.Mask)
}

// covers reports whether a deletion of r, which may leave things unsaid, can mean the other.
func (r Rule) covers(have Rule) bool {
	return r.IPv6 == have.IPv6 && r.Not == have.Not &&
		unsaidOr(r.Priority, have.Priority) && unsaidOr(r.From, have.From) && unsaidOr(r.To, have.To) &&
		unsaidOr(r.In, have.In) && unsaidOr(r.Out, have.Out) && unsaidOr(r.Mark, have.Mark) && unsaidOr(r.Mask, have.Mask) &&
		unsaidOr(r.TOS, have.TOS) && unsaidOr(r.Carries, have.Carries) && unsaidOr(r.Tunnel, have.Tunnel) && unsaidOr(r.Goto, have.Goto) &&
		unsaidOr(r.VRF, have.VRF) && unsaidOr(r.Protocol, have.Protocol) &&
		r.Users.covers(have.Users) && r.FromPort.covers(have.FromPort) && r.ToPort.covers(have.ToPort) &&
		unsaidOr(r.Type, have.Type) && unsaidOr(r.Table, have.Table) &&
		(r.Suppress == nil || have.Suppress != nil && *r.Suppress == *have.Suppress)
}

func (r *Range) covers(have *Range) bool { return r == nil || have != nil && *r == *have }

func unsaidOr[T comparable](want, got T) bool { return want == *new(T) || want == got }
