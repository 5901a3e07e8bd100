package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A seat is what an object's Key says of a route, a neighbour or an FDB entry of a link's own table, as numbers.
type seat struct {
	table   question
	dst     netip.Addr
	bits    uint8
	metric  uint32
	station uint64 // link-layer address
	vlan    uint16
	vni     uint32
}

// A question is the table that a seat is in, which the kernel lists as a whole.
type question struct {
	kind   int    // RTM_GETROUTE or RTM_GETNEIGH
	family byte   // AF_BRIDGE asks for FDB entries
	number uint32 // of the routing table, or of the link
}

// A row is a route with one hop, a neighbour or an FDB entry as it is listed, without anything that had to be allocated.
type row struct {
	seat
	kind, protocol uint8 // of a route
	link           uint32
	via            netip.Addr
	lladdr         uint64
	state          uint16
	shared         bool // by several hops
	other          bool // it is none that could be in a seat
}

const lasts = netlink.NUD_PERMANENT | netlink.NUD_NOARP

// is reports whether all that is said of the row, as it was made, is true of the other in its seat.
func (r row) is(have row) bool {
	if r.table.kind == unix.RTM_GETROUTE {
		return r.kind == have.kind && unsaidOr(r.protocol, have.protocol) && unsaidOr(r.link, have.link) && unsaidOr(r.via, have.via) && !have.shared
	}
	if r.table.family == unix.AF_BRIDGE {
		return unsaidOr(r.via, have.via) && have.state&lasts != 0
	}
	return r.lladdr == have.lladdr && have.state == netlink.NUD_PERMANENT
}

// row is what the object should be listed as. ok is false for objects of which it cannot say all.
func (n numbers) row(o Object) (r row, ok bool, err error) {
	switch o := o.(type) {
	case Route:
		return n.routeRow(o)
	case Neigh:
		r.lladdr, ok = hardware(o.Address)
		r.seat = seat{table: question{unix.RTM_GETNEIGH, family(o.IP), 0}, dst: o.IP}
		return n.onLink(r, ok && stateOr(o.State) == "permanent", o.Dev)
	case FDB:
		r.station, ok = hardware(o.Address)
		r.table = question{unix.RTM_GETNEIGH, unix.AF_BRIDGE, 0}
		r.vlan, r.vni, r.via = uint16(o.VLAN), uint32(o.VNI), o.Dst
		return n.onLink(r, ok && !o.Master && !perishes(o), o.Dev)
	}
	return row{}, false, nil
}

func (n numbers) onLink(r row, ok bool, dev string) (row, bool, error) {
	if !ok {
		return row{}, false, nil
	}
	index, err := n.of(dev)
	r.table.number = uint32(index)
	return r, true, err
}

func (n numbers) routeRow(o Route) (row, bool, error) {
	simple := len(o.Hops) == 1 && (o.Type == "" || o.Type == "unicast") && o.Table >= 0 &&
		!o.Src.IsValid() && o.Scope == "" && o.MTU == 0 && o.AdvMSS == 0
	if !simple {
		return row{}, false, nil
	}
	index, err := n.of(o.Hops[0].Dev)
	r := row{kind: unix.RTN_UNICAST, protocol: uint8(o.Protocol), link: uint32(index), via: o.Hops[0].Via}
	r.seat = routeSeat(o.Dst.Masked(), o.table(), o.Metric)
	return r, true, err
}

func routeSeat(dst netip.Prefix, table, metric int) seat {
	if metric == 0 && dst.Addr().Is6() {
		metric = defaultMetric6
	}
	return seat{table: question{unix.RTM_GETROUTE, family(dst.Addr()), uint32(table)}, dst: dst.Addr(), bits: uint8(dst.Bits()), metric: uint32(metric)}
}

// hardware is a link-layer address of six bytes, as the kernel's are written here, as a number.
func hardware(m MAC) (number uint64, ok bool) {
	const form = "00:00:00:00:00:00"
	if len(m) != len(form) {
		return 0, false
	}
	for i := range len(form) {
		c := m[i]
		switch {
		case form[i] == ':':
			if c != ':' {
				return 0, false
			}
			continue
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		number = number<<4 | uint64(c)
	}
	return number, true
}

// bigEndian is the bytes as one number.
func bigEndian(b []byte) (number uint64) {
	for _, c := range b {
		number = number<<8 | uint64(c)
	}
	return number
}

func routeRowOf(m []byte) row {
	r := row{kind: m[7], protocol: m[5], other: m[2] != 0 || m[3] != 0} // source prefix, type of service
	r.table = question{unix.RTM_GETROUTE, m[0], uint32(m[4])}
	r.bits, r.dst = m[1], netip.IPv4Unspecified()
	if r.table.family == unix.AF_INET6 {
		r.dst = netip.IPv6Unspecified()
	}
	visit(m[unix.SizeofRtMsg:], func(kind int, value []byte) {
		switch kind {
		case unix.RTA_DST:
			r.dst = addr(value)
		case unix.RTA_TABLE:
			r.table.number = uint32(number(value))
		case unix.RTA_PRIORITY:
			r.metric = uint32(number(value))
		case unix.RTA_OIF:
			r.link = uint32(number(value))
		case unix.RTA_GATEWAY:
			r.via = addr(value)
		case unix.RTA_VIA:
			r.via = addr(value[2:])
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
		case kind == netlink.NDA_DST && bridge:
			r.via = addr(value)
		case kind == netlink.NDA_DST:
			r.dst = addr(value)
		case kind == netlink.NDA_LLADDR && bridge:
			r.station = bigEndian(value)
		case kind == netlink.NDA_LLADDR:
			r.lladdr = bigEndian(value)
		case kind == netlink.NDA_VLAN:
			r.vlan = uint16(number(value))
		case kind == netlink.NDA_VNI:
			r.vni = uint32(number(value))
		case kind == netlink.NDA_MASTER:
			r.other = r.other || m[10]&netlink.NTF_SELF == 0 // it is the bridge's
		}
	})
	return r
}

// mark is a number that two seats hardly ever have in common.
func (s seat) mark() uint64 {
	ip := s.dst.As16()
	mark := uint64(s.table.kind)<<40 | uint64(s.table.family)<<32 | uint64(s.table.number)
	for _, part := range [...]uint64{
		binary.NativeEndian.Uint64(ip[:8]), binary.NativeEndian.Uint64(ip[8:]), s.station,
		uint64(s.metric)<<32 | uint64(s.vni), uint64(s.bits)<<16 | uint64(s.vlan),
	} {
		high, low := bits.Mul64(mark^part^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
		mark = high ^ low
	}
	return mark
}

// A comparison is a Compare on its way. What is done for each row of a list allocates nothing.
type comparison struct {
	objects   []Object
	numbers   numbers
	seats     map[uint64]int32 // which object has the seat of that mark
	questions []question
	seen      []bool // objects that are there, whether as described or not
	found     []Difference
}

// Compare is part of Kernel.
func (s *system) Compare(ctx context.Context, objects []Object) ([]Difference, error) {
	c := &comparison{
		objects: objects, numbers: s.numbers(), seats: make(map[uint64]int32, len(objects)), seen: make([]bool, len(objects)),
	}
	rest := c.seat()
	if err := c.askAll(ctx, s); err != nil {
		return nil, err
	}
	for _, i := range c.seats {
		if !c.seen[i] {
			c.found = append(c.found, Difference{Index: int(i)})
		}
	}
	if err := c.compareRest(ctx, s, rest); err != nil {
		return nil, err
	}
	slices.SortStableFunc(c.found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(bit(a.Over), bit(b.Over)))
	})
	return c.found, nil
}

// seat finds the seats of all objects, and returns those that have none.
func (c *comparison) seat() (rest []int) {
	for i, o := range c.objects {
		r, ok, err := c.numbers.row(o)
		mark := r.mark()
		_, taken := c.seats[mark]
		switch {
		case !ok || taken && err == nil:
			rest = append(rest, i)
			continue
		case err != nil: // there is no such link, and so nothing on it
			c.found = append(c.found, Difference{Index: i})
			continue
		}
		c.seats[mark] = int32(i)
		if !slices.Contains(c.questions, r.table) {
			c.questions = append(c.questions, r.table)
		}
	}
	return rest
}

// askAll has all tables listed, two at a time.
func (c *comparison) askAll(ctx context.Context, s *system) error {
	questions := make(chan question, len(c.questions))
	for _, q := range c.questions {
		questions <- q
	}
	close(questions)
	found := make([][]Difference, len(s.lists))
	var g errgroup.Group
	for i, socket := range s.lists {
		g.Go(func() error {
			for q := range questions {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				t := &tableComparison{c, q, s.names(), nil}
				if err := t.ask(socket); err != nil {
					return err
				}
				found[i] = append(found[i], t.found...)
			}
			return nil
		})
	}
	err := g.Wait()
	c.found = append(c.found, slices.Concat(found...)...)
	return err
}

// compareRest compares the objects that have no seat.
func (c *comparison) compareRest(ctx context.Context, s *system, rest []int) error {
	if len(rest) == 0 {
		return nil
	}
	var objects []Object
	for _, i := range rest {
		objects = append(objects, c.objects[i])
	}
	more, err := compareLists(ctx, s, objects)
	for _, d := range more {
		d.Index = rest[d.Index]
		c.found = append(c.found, d)
	}
	return err
}

// A tableComparison compares one table's objects.
type tableComparison struct {
	*comparison
	question
	names names
	found []Difference
}

// ask lists the table, anew when it changed meanwhile, and takes in what is there.
func (t *tableComparison) ask(over *socket) error {
	const tries = 10
	for try := 1; ; try++ {
		torn, err := over.ask(t.message(), t.take)
		if err != nil && !missing(err) { // a table that never had a route is not there
			return err
		}
		if !torn || try == tries {
			return nil
		}
		t.found = nil
		for i, o := range t.objects {
			if r, _, _ := t.numbers.row(o); r.table == t.question {
				t.seen[i] = false
			}
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// take takes in one message of a list.
func (t *tableComparison) take(m []byte) {
	have := t.row(m)
	if have.other {
		return
	}
	if i, want, ok := t.at(have.seat); ok {
		t.compare(i, want.is(have), m)
		return
	}
	if t.kind != unix.RTM_GETROUTE || t.family != unix.AF_INET || have.bits == 0 {
		return
	}
	under := have.seat
	under.metric = uint32(spreadMetric(netip.PrefixFrom(under.dst, int(under.bits))))
	if i, _, ok := t.at(under); ok && have.metric < under.metric {
		over := readRoute(m, t.names)
		if r := t.objects[i].(Route); r.isSpread() && r.isUnder(over) {
			t.found = append(t.found, Difference{i, over, true})
		}
	}
}

// at is the object that has the seat, and what it should be listed as.
func (t *tableComparison) at(s seat) (i int, want row, ok bool) {
	at, ok := t.seats[s.mark()]
	if ok {
		want, _, _ = t.numbers.row(t.objects[at])
	}
	return int(at), want, ok && want.seat == s
}

// compare takes in whether an object is the same as what is in its seat. Of several there any may be the one.
func (t *tableComparison) compare(i int, same bool, m []byte) {
	switch {
	case same && t.seen[i]:
		t.found = slices.DeleteFunc(t.found, func(d Difference) bool { return d.Index == i && !d.Over })
	case !same && !t.seen[i]:
		t.found = append(t.found, Difference{Index: i, Have: t.object(m, t.names)})
	}
	t.seen[i] = true
}

func (q question) message() message {
	var a attrs
	if q.kind == unix.RTM_GETROUTE {
		a.u32(unix.RTA_TABLE, int(q.number))
		return message{q.kind, unix.NLM_F_REQUEST | unix.NLM_F_DUMP, append([]byte{q.family}, make([]byte, unix.SizeofRtMsg-1)...), a}
	}
	a.u32(netlink.NDA_IFINDEX, int(q.number))
	return message{q.kind, unix.NLM_F_REQUEST | unix.NLM_F_DUMP, append([]byte{q.family}, make([]byte, unix.SizeofNdMsg-1)...), a}
}

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
