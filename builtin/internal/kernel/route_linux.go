package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// bootProtocol says that a person or a script made the route, and not a routing daemon.
const bootProtocol = unix.RTPROT_BOOT

// rtaNextHop is RTA_NH_ID.
const rtaNextHop = 30

var routeTypes = spelling{
	unix.RTN_UNSPEC: "", unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast",
	unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole",
	unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw",
}

func (n *numbers) route(verb Verb, r *Route) (message, error) {
	header, err := routeHeader(verb, r)
	if err != nil {
		return message{}, err
	}
	list, err := n.routeAttrs(r)
	if len(r.Hops) == 1 && r.Hops[0].Onlink {
		header.Flags |= unix.RTNH_F_ONLINK
	}
	b := n.header()
	copy(b, []byte{header.Family, header.Dst_len, header.Src_len, header.Tos, header.Table, header.Protocol, header.Scope, header.Type})
	binary.NativeEndian.PutUint32(b[8:], header.Flags)
	return request(verb, unix.RTM_NEWROUTE, unix.RTM_DELROUTE, b, list), err
}

// routeHeader fills in what ip would. A deletion leaves out what is not said, so that it matches any.
func routeHeader(verb Verb, r *Route) (header unix.RtMsg, err error) {
	header.Family = family(r.Dst.Addr())
	header.Dst_len = uint8(r.Dst.Bits())
	header.Tos = uint8(r.TOS)
	if r.From.IsValid() {
		header.Src_len = uint8(r.From.Bits())
	}
	if t := r.table(); t < 256 {
		header.Table = uint8(t)
	} else {
		header.Table = unix.RT_TABLE_COMPAT
	}
	kind := unix.RTN_UNSPEC
	if r.Type != "" {
		if kind, err = routeTypes.number(r.Type); err != nil {
			return header, err
		}
	}
	header.Type, header.Protocol = uint8(kind), uint8(r.Protocol)
	if verb != Del {
		if kind == unix.RTN_UNSPEC {
			header.Type = unix.RTN_UNICAST
		}
		if r.Protocol == 0 {
			header.Protocol = bootProtocol
		}
	}
	header.Scope = defaultScope(verb, r, int(header.Type))
	if r.Scope != "" {
		scope, err := scopes.number(r.Scope)
		if err != nil {
			return header, err
		}
		header.Scope = uint8(scope)
	}
	return header, nil
}

func defaultScope(verb Verb, r *Route, kind int) uint8 {
	switch {
	case r.Dst.Addr().Is6():
		return unix.RT_SCOPE_UNIVERSE
	case kind == unix.RTN_LOCAL:
		return unix.RT_SCOPE_HOST
	case kind == unix.RTN_BROADCAST || kind == unix.RTN_MULTICAST || kind == unix.RTN_ANYCAST:
		return unix.RT_SCOPE_LINK
	case verb == Del && kind <= unix.RTN_UNICAST:
		return unix.RT_SCOPE_NOWHERE
	case kind == unix.RTN_UNICAST && (len(r.Hops) == 0 || len(r.Hops) == 1 && !r.Hops[0].Via.IsValid()):
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// hop is the only hop, or none.
func (r Route) hop() Hop {
	if len(r.Hops) == 1 {
		return r.Hops[0]
	}
	return Hop{}
}

func (n *numbers) routeAttrs(r *Route) (attrs, error) {
	a := n.attrs()
	if r.Dst.Bits() > 0 {
		a.ip(unix.RTA_DST, r.Dst.Addr())
	}
	if r.table() > 255 {
		a.u32(unix.RTA_TABLE, r.table())
	}
	a.ip(unix.RTA_PREFSRC, r.Src)
	a.said32(unix.RTA_PRIORITY, r.Metric)
	metrics, err := r.metricAttrs()
	if err != nil {
		return nil, err
	}
	if metrics != nil {
		a.nest(unix.RTA_METRICS, metrics)
	}
	if r.From.Bits() > 0 {
		a.ip(unix.RTA_SRC, r.From.Addr())
	}
	a.said32(unix.RTA_FLOW, r.Realms)
	a.said32(rtaNextHop, r.NextHop)
	a.said32(unix.RTA_EXPIRES, r.Expires)
	if r.Pref != "" {
		pref, err := preferences.number(r.Pref)
		if err != nil {
			return nil, err
		}
		a.u8(unix.RTA_PREF, pref)
	}
	if len(r.Hops) == 1 {
		index, err := n.of(r.Hops[0].Dev)
		if err != nil {
			return nil, err
		}
		a.said32(unix.RTA_OIF, index)
		a.via(r.Hops[0], r.Dst.Addr())
		return a, nil
	}
	var hops []byte
	for _, h := range r.Hops {
		one, err := n.nexthop(h, r.Dst.Addr())
		if err != nil {
			return nil, err
		}
		hops = append(hops, one...)
	}
	if hops != nil {
		a.put(unix.RTA_MULTIPATH, hops)
	}
	return a, nil
}

// via puts the hop's gateway, which may be of another family than the destination.
func (a *attrs) via(h Hop, dst netip.Addr) {
	if h.Via.Is6() && dst.Is4() {
		a.put(unix.RTA_VIA, append(nl.Uint16Attr(unix.AF_INET6), h.Via.AsSlice()...))
		return
	}
	a.ip(unix.RTA_GATEWAY, h.Via)
}

// nexthop is one rtnexthop of a route with several.
func (n *numbers) nexthop(h Hop, dst netip.Addr) ([]byte, error) {
	index, err := n.of(h.Dev)
	if err != nil {
		return nil, err
	}
	var inner attrs
	inner.via(h, dst)
	b := nl.Uint16Attr(uint16(unix.SizeofRtNexthop + len(inner)))
	b = append(b, byte(bit(h.Onlink)*unix.RTNH_F_ONLINK), byte(max(h.Weight, 1)-1))
	b = append(b, nl.Uint32Attr(uint32(index))...)
	return append(b, inner...), nil
}
