package firewall

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// stateNew is the state of a packet that begins a flow, both to nft's ct state and to iptables' conntrack match
// (NF_CT_STATE_BIT, linux/netfilter/nf_conntrack_common.h).
const stateNew = 8

func conntrack(e *expr.Ct) []byte {
	if e.SourceRegister || e.Key != expr.CtKeySTATE {
		return nil
	}
	return binary.NativeEndian.AppendUint32(nil, stateNew)
}

// lookup reports whether the set has the value, and what a verdict map says of it.
func (p packet) lookup(table *nftables.Table, e *expr.Lookup, value []byte) (fit, *expr.Verdict) {
	set, err := p.conn.GetSetByName(table, e.SetName)
	isMap := e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT
	unknown := func() (fit, *expr.Verdict) {
		if isMap {
			return maybe, &expr.Verdict{Kind: expr.VerdictAccept} // among others
		}
		return maybe, nil
	}
	if err != nil || value == nil || set.Concatenation || e.IsDestRegSet && !isMap {
		return unknown()
	}
	elements, err := p.conn.GetSetElements(set)
	catchAll := slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return e.Key == nil })
	if err != nil || catchAll {
		return unknown()
	}
	element, found := elementOf(elements, set.Interval, value)
	if !isMap {
		return fitIf(found != e.Invert), nil
	}
	if !found {
		return no, nil
	}
	verdict, err := verdictIn(element.Val)
	if err != nil {
		return unknown()
	}
	return yes, verdict
}

// verdictIn reads the verdict of a map's element, as the library returns it (NFTA_VERDICT_*, linux/netfilter/nf_tables.h).
func verdictIn(data []byte) (*expr.Verdict, error) {
	attributes, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return nil, err
	}
	attributes.ByteOrder = binary.BigEndian
	verdict := new(expr.Verdict)
	for attributes.Next() {
		switch attributes.Type() {
		case unix.NFTA_VERDICT_CODE:
			verdict.Kind = expr.VerdictKind(attributes.Int32())
		case unix.NFTA_VERDICT_CHAIN:
			verdict.Chain = attributes.String()
		}
	}
	return verdict, attributes.Err()
}

// elementOf finds the element that holds the value. Those of a set of intervals are where each begins, and where it has ended.
func elementOf(elements []nftables.SetElement, intervals bool, value []byte) (nftables.SetElement, bool) {
	slices.SortFunc(elements, func(a, b nftables.SetElement) int { return bytes.Compare(a.Key, b.Key) })
	if !intervals {
		i := slices.IndexFunc(elements, func(e nftables.SetElement) bool { return bytes.Equal(e.Key, value) })
		if i < 0 {
			return nftables.SetElement{}, false
		}
		return elements[i], true
	}
	var last nftables.SetElement
	for _, e := range elements {
		if bytes.Compare(e.Key, value) <= 0 {
			last = e
		}
	}
	return last, last.Key != nil && !last.IntervalEnd
}

// match answers the matches of iptables that are common in rules for a port.
func (p packet) match(e *expr.Match) fit {
	switch info := e.Info.(type) {
	case *xt.Comment:
		return yes
	case *xt.Udp:
		if info.SrcPorts != [2]uint16{0, 0xffff} || info.InvFlags&xt.UdpInvSrcPorts != 0 {
			return maybe
		}
		inside := info.DstPorts[0] <= p.Port && p.Port <= info.DstPorts[1]
		return fitIf(inside != (info.InvFlags&xt.UdpInvDestPorts != 0))
	case *xt.Tcp:
		return no
	case *xt.ConntrackMtinfo3:
		if info.MatchFlags != 1 || info.InvertFlags != 0 { // XT_CONNTRACK_STATE alone
			return maybe
		}
		return fitIf(info.StateMask&stateNew != 0)
	}
	return maybe
}
