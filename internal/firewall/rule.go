package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A chain is a base chain with policy accept.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    []rule
}

// A rule is a condition and what becomes of the packet. It prints as nft writes it.
type rule struct {
	mark                uint32 // bits of the packet's mark that are set; 0 for any mark
	source, destination match
	do                  verdict
	why                 string // a comment for those who list the rules
}

// A match is of addresses in or outside of a prefix. The zero match is of all addresses.
type match struct {
	prefix  netip.Prefix
	outside bool
}

func in(p netip.Prefix) match    { return match{prefix: p} }
func notIn(p netip.Prefix) match { return match{prefix: p, outside: true} }

// A verdict is to masquerade, to accept, or else to leave the packet as it is.
type verdict struct {
	masquerade, keepPorts bool
	accept                bool
}

var (
	leave  = verdict{}
	accept = verdict{accept: true}
)

// String is the rule as nft lists it, without the counter's values.
func (r rule) String() string {
	var b strings.Builder
	if r.mark != 0 {
		fmt.Fprintf(&b, "meta mark & 0x%08x == 0x%08x ", r.mark, r.mark)
	}
	b.WriteString(r.source.text("saddr"))
	b.WriteString(r.destination.text("daddr"))
	switch {
	case r.do.masquerade && r.do.keepPorts:
		b.WriteString("counter masquerade")
	case r.do.masquerade:
		b.WriteString("counter masquerade fully-random")
	case r.do.accept:
		b.WriteString("counter accept")
	default:
		b.WriteString("return")
	}
	fmt.Fprintf(&b, " comment %q", r.why)
	return b.String()
}

func (m match) text(field string) string {
	if !m.prefix.IsValid() {
		return ""
	}
	family, not := "ip", ""
	if m.prefix.Addr().Is6() {
		family = "ip6"
	}
	if m.outside {
		not = "!= "
	}
	addresses := m.prefix.String()
	if m.prefix.IsSingleIP() {
		addresses = m.prefix.Addr().String()
	}
	return fmt.Sprintf("%s %s %s%s ", family, field, not, addresses)
}

// comment is what why becomes in the kernel, which keeps it without looking at it.
func (r rule) comment() []byte { return userdata.AppendString(nil, userdata.TypeComment, r.why) }

// register is the one that all expressions work with.
const register = 1

// expressions are the rule as the kernel takes it, in the form in which the kernel gives it back.
func (r rule) expressions() []expr.Any {
	var all []expr.Any
	if r.mark != 0 {
		bits := binary.NativeEndian.AppendUint32(nil, r.mark)
		all = append(all,
			&expr.Meta{Key: expr.MetaKeyMARK, Register: register},
			&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: bits, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: bits},
		)
	}
	if p := firstValid(r.source.prefix, r.destination.prefix); p.IsValid() {
		all = append(all, isFamily(p.Addr())...)
	}
	all = append(all, r.source.expressions(0)...)
	all = append(all, r.destination.expressions(1)...)
	switch {
	case r.do.masquerade:
		return append(all, &expr.Counter{}, &expr.Masq{FullyRandom: !r.do.keepPorts})
	case r.do.accept:
		return append(all, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept})
	}
	return append(all, &expr.Verdict{Kind: expr.VerdictReturn})
}

func firstValid(a, b netip.Prefix) netip.Prefix {
	if a.IsValid() {
		return a
	}
	return b
}

func isFamily(a netip.Addr) []expr.Any {
	family := byte(unix.NFPROTO_IPV4)
	if a.Is6() {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{family}},
	}
}

// expressions compare the source address of the header, which is its number 0, or the destination, number 1.
func (m match) expressions(number uint32) []expr.Any {
	if !m.prefix.IsValid() {
		return nil
	}
	addr := m.prefix.Masked().Addr()
	length, offset := uint32(4), uint32(12)
	if addr.Is6() {
		length, offset = 16, 8
	}
	op := expr.CmpOpEq
	if m.outside {
		op = expr.CmpOpNeq
	}
	load := &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset + number*length, Len: length}
	compare := &expr.Cmp{Op: op, Register: register, Data: addr.AsSlice()}
	if m.prefix.IsSingleIP() {
		return []expr.Any{load, compare}
	}
	mask := net.CIDRMask(m.prefix.Bits(), addr.BitLen())
	return []expr.Any{load, &expr.Bitwise{
		SourceRegister: register, DestRegister: register, Len: length, Mask: mask, Xor: make([]byte, length),
	}, compare}
}

// is reports whether the kernel's rule is this one, whatever it has counted.
func (r rule) is(k *nftables.Rule) bool {
	want := r.expressions()
	if len(want) != len(k.Exprs) || !bytes.Equal(r.comment(), k.UserData) {
		return false
	}
	for i, e := range k.Exprs {
		if _, counts := e.(*expr.Counter); counts {
			e = &expr.Counter{}
		}
		if !reflect.DeepEqual(want[i], e) {
			return false
		}
	}
	return true
}
