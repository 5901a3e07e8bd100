package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A seat is what an object's Key says of a route, a neighbour or an FDB entry of a link's own table, as numbers.
type seat struct {
	table  question
	to     address // a route's destination, a neighbour's address, or an FDB entry's link-layer address
	number uint32  // a route's metric, or an FDB entry's VNI
	vlan   uint16
	bits   uint8 // of a route's prefix
}

// A question is the table that a seat is in, which the kernel lists as a whole.
type question struct {
	kind   uint16 // RTM_GETROUTE or RTM_GETNEIGH
	family byte   // AF_BRIDGE asks for FDB entries
	number uint32 // of the routing table, or of the link
}

// A row is a route with one hop, a neighbour or an FDB entry as it is listed, without anything that had to be allocated. It takes no
// more than a line of the processor's cache: most of a look at thousands of objects is the time until their rows have come from memory.
type row struct {
	seat
	via            address // a route's gateway, a neighbour's link-layer address, or an FDB entry's remote
	link           uint32
	state          uint16
	kind, protocol uint8 // of a route
	shared         bool  // by several hops
	other          bool  // it is none that could be in a seat
}

const lasts = netlink.NUD_PERMANENT | netlink.NUD_NOARP

// is reports whether all that is said of the row, as it was made, is true of the other in its seat.
func (r *row) is(have *row) bool {
	if r.isRoute() {
		return r.kind == have.kind && unsaidOr(r.protocol, have.protocol) && unsaidOr(r.link, have.link) && r.via == have.via
	}
	if r.table.family == unix.AF_BRIDGE {
		return unsaidOr(r.via, have.via) && have.state&lasts != 0
	}
	return r.via == have.via && have.state == netlink.NUD_PERMANENT
}

func (r *row) isRoute() bool { return r.table.kind == unix.RTM_GETROUTE }

// isMissedBy reports whether the answer says that nothing is in the row's seat: packets to the prefix take a route to a larger one.
func (r row) isMissedBy(answer row) bool {
	return r.isRoute() && r.table == answer.table && answer.bits < r.bits
}

// row makes r what the object should be listed as. ok is false for objects of which it cannot say all.
func (n *numbers) row(o Object, r *row) (ok bool, err error) {
	switch o := o.(type) {
	case Route:
		return n.routeRow(&o, r)
	case Neigh:
		r.via.low, ok = o.Address.Number()
		r.table, r.to = question{unix.RTM_GETNEIGH, family(o.IP), 0}, addressOf(o.IP)
		plain := !o.Proxy && !o.Router && !o.Learned && !o.Managed && o.Protocol == 0
		if !ok || !plain || stateOr(o.State) != "permanent" {
			return false, nil
		}
		r.table.number, err = n.link(o.Dev)
		return true, err
	case FDB:
		r.to.low, ok = o.Address.Number()
		r.table = question{unix.RTM_GETNEIGH, unix.AF_BRIDGE, 0}
		r.vlan, r.number, r.via = uint16(o.VLAN), uint32(o.VNI), addressOf(o.Dst)
		if !ok || o.Master || perishes(o) || o.NextHop != 0 || o.SourceVNI != 0 {
			return false, nil
		}
		r.table.number, err = n.link(o.Dev)
		return true, err
	}
	return false, nil
}

// link is the number of the link as rows have it.
func (n *numbers) link(name string) (uint32, error) {
	index, err := n.of(name)
	return uint32(index), err
}

func (n *numbers) routeRow(o *Route, r *row) (ok bool, err error) {
	if !o.isPlain() {
		return false, nil
	}
	r.kind, r.protocol, r.via = unix.RTN_UNICAST, uint8(o.Protocol), addressOf(o.Hops[0].Via)
	r.seat = routeSeat(o.Dst.Masked(), o.table(), o.Metric)
	r.link, err = n.link(o.Hops[0].Dev)
	return true, err
}

func routeSeat(dst netip.Prefix, table, metric int) seat {
	if metric == 0 && dst.Addr().Is6() {
		metric = defaultMetric6
	}
	return seat{table: question{unix.RTM_GETROUTE, family(dst.Addr()), uint32(table)}, to: addressOf(dst.Addr()), bits: uint8(dst.Bits()), number: uint32(metric)}
}

// prefix is a route's.
func (s *seat) prefix() netip.Prefix { return netip.PrefixFrom(s.to.addr(), int(s.bits)) }

func routeRowOf(m []byte) row {
	r := row{kind: m[7], protocol: m[5], other: m[2] != 0 || m[3] != 0} // source prefix, type of service
	r.table = question{unix.RTM_GETROUTE, m[0], uint32(m[4])}
	if r.bits = m[1]; r.table.family == unix.AF_INET {
		r.to = addressOf(netip.IPv4Unspecified())
	}
	visit(m[unix.SizeofRtMsg:], func(kind int, value []byte) {
		switch kind {
		case unix.RTA_DST:
			r.to = addressFrom(value)
		case unix.RTA_TABLE:
			r.table.number = uint32(number(value))
		case unix.RTA_PRIORITY:
			r.number = uint32(number(value))
		case unix.RTA_OIF:
			r.link = uint32(number(value))
		case unix.RTA_GATEWAY:
			r.via = addressFrom(value)
		case unix.RTA_VIA:
			r.via = addressFrom(value[2:])
		case unix.RTA_MULTIPATH:
			r.shared = true
		}
	})
	return r
}

func neighRowOf(m []byte) row {
	r := row{state: binary.NativeEndian.Uint16(m[8:])}
	r.table = question{unix.RTM_GETNEIGH, m[0], binary.NativeEndian.Uint32(m[4:])}
	bridge := m[0] == unix.AF_BRIDGE
	visit(m[unix.SizeofNdMsg:], func(kind int, value []byte) {
		switch {
		case kind == netlink.NDA_DST && bridge, kind == netlink.NDA_LLADDR && !bridge:
			r.via = addressFrom(value)
		case kind == netlink.NDA_DST, kind == netlink.NDA_LLADDR:
			r.to = addressFrom(value)
		case kind == netlink.NDA_VLAN:
			r.vlan = uint16(number(value))
		case kind == netlink.NDA_VNI:
			r.number = uint32(number(value))
		case kind == netlink.NDA_MASTER:
			r.other = r.other || m[10]&netlink.NTF_SELF == 0 // it is the bridge's
		}
	})
	return r
}

// message asks for the whole table.
func (q question) message() message {
	var a attrs
	if q.kind == unix.RTM_GETROUTE {
		a.u32(unix.RTA_TABLE, int(q.number))
		return message{int(q.kind), unix.NLM_F_REQUEST | unix.NLM_F_DUMP, append([]byte{q.family}, make([]byte, unix.SizeofRtMsg-1)...), a}
	}
	a.u32(netlink.NDA_IFINDEX, int(q.number))
	return message{int(q.kind), unix.NLM_F_REQUEST | unix.NLM_F_DUMP, append([]byte{q.family}, make([]byte, unix.SizeofNdMsg-1)...), a}
}

// narrow asks for what is in the seat alone. Of a route it asks what would be taken to the first address of its subnet, of which
// the kernel tells the prefix.
func (s seat) narrow() message {
	m := s.table.message()
	m.flags, m.attrs = unix.NLM_F_REQUEST, nil
	switch {
	case m.kind == unix.RTM_GETROUTE:
		m.header[1] = uint8(s.to.addr().BitLen())
		binary.NativeEndian.PutUint32(m.header[8:], rtmFibMatch)
		m.attrs.ip(unix.RTA_DST, s.to.addr())
		return m
	case s.table.family == unix.AF_BRIDGE:
		m.header[10] = netlink.NTF_SELF
		m.attrs.put(netlink.NDA_LLADDR, binary.BigEndian.AppendUint64(nil, s.to.low)[2:])
	default:
		m.attrs.ip(netlink.NDA_DST, s.to.addr())
	}
	binary.NativeEndian.PutUint32(m.header[4:], s.table.number)
	return m
}

// rtmFibMatch is RTM_F_FIB_MATCH of linux/rtnetlink.h.
const rtmFibMatch = 0x2000

func (q question) row(m []byte) row {
	if q.kind == unix.RTM_GETROUTE {
		return routeRowOf(m)
	}
	return neighRowOf(m)
}

func (q question) object(m []byte, names names) Object {
	switch {
	case q.kind == unix.RTM_GETROUTE:
		return readRoute(m, names)
	case q.family == unix.AF_BRIDGE:
		return readFDB(m, names)
	}
	return readNeigh(m, names)
}
