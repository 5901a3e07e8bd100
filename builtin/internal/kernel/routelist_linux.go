package kernel

import (
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listRoutes lists one table, or all for AnyTable, in the family of Dst or in both. All of one family's table that is not there
// is fs.ErrNotExist. Other fields of like narrow the list
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
		// A table that never had a route is not there, of which only who asks for all of it needs to know.
		if missing(err) && like.Dst.Addr().IsValid() && !like.Dst.IsValid() {
			return nil, fs.ErrNotExist
		}
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
	r := Route{Table: int(header.Table), Protocol: int(header.Protocol), TOS: int(header.Tos)}
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
		case unix.RTA_SRC:
			r.From = netip.PrefixFrom(addr(value), int(header.Src_len))
		case unix.RTA_OIF:
			one.Dev = names.of(number(value))
		case unix.RTA_MULTIPATH:
			r.Hops = readHops(value, names)
		default:
			one.readVia(kind, value)
			r.readAttr(kind, value, names)
		}
	})
	r.Dst = netip.PrefixFrom(dst, int(header.Dst_len))
	if r.Hops == nil && (one.Dev != "" || one.Via.IsValid()) {
		r.Hops = []Hop{one}
	}
	if header.Table == unix.RT_TABLE_UNSPEC && r.Table == 0 {
		r.Table = AnyTable
	}
	if r.Table == mainTable {
		r.Table = 0
	}
	if header.Flags&unix.RTM_F_CLONED != 0 {
		a := r.answer()
		a.Cached, a.CacheFlags = true, flags(int(header.Flags), cacheFlags)
	}
	return r
}

var preferences = spelling{0: "medium", 1: "high", 3: "low"}

func (r *Route) readAttr(kind int, value []byte, names names) {
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
		r.other(r.readMetrics(value))
	case unix.RTA_FLOW:
		r.Realms = number(value)
	case rtaNextHop:
		r.NextHop = number(value)
	case unix.RTA_IIF:
		r.answer().In = names.of(number(value))
	case unix.RTA_UID:
		r.answer().UID = new(number(value))
	case unix.RTA_MARK:
		r.answer().Mark = number(value)
	case unix.RTA_CACHEINFO:
		r.readCache(value)
	case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_SRC:
	default:
		r.other(fmt.Sprintf("attribute %d", kind))
	}
}

// other notes something of which nothing more is known, unless it is nothing.
func (r *Route) other(what string) {
	if what != "" {
		r.answer().Other = what
	}
}

// readCache reads a struct rta_cacheinfo, of which ip shows what is not 0. Times are in hundredths of a second.
func (r *Route) readCache(b []byte) {
	at := func(i int) int {
		if len(b) < 4*i+4 {
			return 0
		}
		return number(b[4*i : 4*i+4])
	}
	const hertz = 100
	r.Expires = int(int32(at(2))) / hertz
	if at(3) != 0 {
		r.answer().Error = at(3)
	}
	if at(5) != 0 || at(6) != 0 || at(7) != 0 {
		r.other("ipid")
	}
}

// cacheFlags are ip's words, in its order.
var cacheFlags = []flag{
	{0x80000000, "local"}, {0x40000000, "reject"}, {0x20000000, "mc"}, {0x10000000, "brd"}, {0x08000000, "dst-nat"},
	{0x00800000, "src-nat"}, {0x00400000, "masq"}, {0x00020000, "dst-direct"}, {0x04000000, "src-direct"},
	{0x00040000, "redirected"}, {0x01000000, "redirect"}, {0x00200000, "fastroute"}, {0x00010000, "notify"},
}

var hopFlags = []flag{
	{unix.RTNH_F_DEAD, "dead"}, {unix.RTNH_F_PERVASIVE, "pervasive"}, {unix.RTNH_F_OFFLOAD, "offload"}, {unix.RTNH_F_TRAP, "trap"},
	{unix.RTNH_F_LINKDOWN, "linkdown"}, {unix.RTNH_F_UNRESOLVED, "unresolved"},
	{unix.RTM_F_OFFLOAD, "rt_offload"}, {unix.RTM_F_TRAP, "rt_trap"}, {unix.RTM_F_NOTIFY, "notify"}, {0x20000000, "rt_offload_failed"},
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
