package kernel

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listRoutes lists one table, or all for AnyTable, in the family of Dst or in both. Other fields of like narrow the list
// when they are set: Dst to exactly this prefix, and the device of its only hop, Protocol and Metric.
func (s *system) listRoutes(like Route) ([]Object, error) {
	index, err := s.index(like.hop().Dev)
	if err != nil {
		return nil, nil
	}
	var a attrs
	if like.Table != AnyTable {
		a.u32(unix.RTA_TABLE, like.table())
	}
	a.said32(unix.RTA_OIF, index)
	var list []Object
	names := s.names()
	for _, f := range families(like.Dst.Addr()) {
		header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: f, Protocol: uint8(like.Protocol)}}
		err := s.dump(unix.RTM_GETROUTE, unix.NLM_F_DUMP, header, a, func(m []byte) {
			if r := readRoute(m, names); r.fits(like) {
				list = append(list, r)
			}
		})
		// A table that never had a route is not there.
		if err != nil && !missing(err) {
			return nil, err
		}
	}
	return list, nil
}

func (r Route) fits(like Route) bool {
	return (!like.Dst.IsValid() || like.Dst == r.Dst) && (like.Metric == 0 || like.Metric == r.Metric)
}

func readRoute(m []byte, names names) Route {
	header := nl.DeserializeRtMsg(m)
	r := Route{Table: int(header.Table), Protocol: int(header.Protocol), Other: header.Tos != 0 || header.Src_len != 0}
	if header.Type != unix.RTN_UNICAST {
		r.Type = routeTypes.word(int(header.Type))
	}
	if header.Scope != unix.RT_SCOPE_UNIVERSE {
		r.Scope = scopes.word(int(header.Scope))
	}
	if r.Protocol == bootProtocol {
		r.Protocol = 0
	}
	dst := netip.IPv4Unspecified()
	if header.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	one := Hop{Onlink: header.Flags&unix.RTNH_F_ONLINK != 0, Flags: flags(int(header.Flags), hopFlags)}
	visit(m[unix.SizeofRtMsg:], func(kind int, value []byte) {
		switch kind {
		case unix.RTA_DST:
			dst = addr(value)
		case unix.RTA_OIF:
			one.Dev = names.of(number(value))
		case unix.RTA_MULTIPATH:
			r.Hops = readHops(value, names)
		default:
			one.readVia(kind, value)
			r.readAttr(kind, value)
		}
	})
	r.Dst = netip.PrefixFrom(dst, int(header.Dst_len))
	if r.Hops == nil && (one.Dev != "" || one.Via.IsValid()) {
		r.Hops = []Hop{one}
	}
	if r.Table == mainTable {
		r.Table = 0
	}
	return r
}

var preferences = spelling{0: "medium", 1: "high", 3: "low"}

func (r *Route) readAttr(kind int, value []byte) {
	switch kind {
	case unix.RTA_TABLE:
		r.Table = number(value)
	case unix.RTA_PRIORITY:
		r.Metric = number(value)
	case unix.RTA_PREFSRC:
		r.Src = addr(value)
	case unix.RTA_PREF:
		r.Pref = preferences.word(number(value))
	case unix.RTA_METRICS:
		visit(value, func(kind int, value []byte) {
			switch kind {
			case unix.RTAX_MTU:
				r.MTU = number(value)
			case unix.RTAX_ADVMSS:
				r.AdvMSS = number(value)
			default:
				r.Other = true
			}
		})
	case unix.RTA_CACHEINFO:
		r.Other = r.Other || len(value) >= 12 && number(value[8:12]) != 0 // it expires
	case unix.RTA_GATEWAY, unix.RTA_VIA:
	default:
		r.Other = true
	}
}

var hopFlags = []flag{
	{unix.RTNH_F_DEAD, "dead"}, {unix.RTNH_F_PERVASIVE, "pervasive"}, {unix.RTNH_F_OFFLOAD, "offload"},
	{unix.RTNH_F_LINKDOWN, "linkdown"}, {unix.RTNH_F_UNRESOLVED, "unresolved"},
}

func (h *Hop) readVia(kind int, value []byte) {
	switch kind {
	case unix.RTA_GATEWAY:
		h.Via = addr(value)
	case unix.RTA_VIA:
		h.Via = addr(value[2:])
	}
}

func readHops(b []byte, names names) (hops []Hop) {
	for len(b) >= unix.SizeofRtNexthop {
		size := number(b[:2])
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		bits := int(b[2])
		h := Hop{
			Dev: names.of(number(b[4:8])), Weight: int(b[3]) + 1,
			Onlink: bits&unix.RTNH_F_ONLINK != 0, Flags: flags(bits, hopFlags),
		}
		visit(b[unix.SizeofRtNexthop:size], h.readVia)
		hops = append(hops, h)
		b = b[min((size+3)&^3, len(b)):]
	}
	return hops
}
