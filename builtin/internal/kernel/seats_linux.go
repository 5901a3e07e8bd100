package kernel

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// An address is of a node, IPv4 in the form ::ffff:192.0.2.1, or of a link, in low; zero is none. It has no pointer, as a netip.Addr
// has for its zone, so that garbage collection has nothing to look for in thousands of rows.
type address struct{ high, low uint64 }

func addressOf(a netip.Addr) address {
	b := a.As16() // of an invalid one, zeros
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// addressFrom is the address of an attribute.
func addressFrom(b []byte) address {
	switch len(b) {
	case 4:
		return address{0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b))}
	case 6:
		return address{0, uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))}
	case 16:
		return address{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
	}
	return address{}
}

// addr is the address of a node.
func (a address) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return netip.AddrFrom16(b).Unmap()
}

// seats find rows by their seats. It is a hash table with open addressing, of half of the memory that a map takes: most of a look
// at thousands of objects is the time until what is looked up has come from there.
type seats struct {
	rows  []row
	slots []slot // as many as a power of two, at most half of them taken
}

type slot struct {
	tag uint32 // of the seat's mark
	row int32  // its number, from 1; 0 is free
}

// newSeats has room for so many rows, none of which is in a seat yet.
func newSeats(n int) seats { return seats{make([]row, n), make([]slot, 2<<bits.Len(uint(n)))} }

// at is the slot of the seat, which is free when no row has it.
func (t *seats) at(s *seat) *slot {
	mark := s.mark()
	for h := mark; ; h++ {
		at := &t.slots[h&uint64(len(t.slots)-1)]
		if at.row == 0 || at.tag == uint32(mark>>32) && t.rows[at.row-1].seat == *s {
			return at
		}
	}
}

// find is the number of the row in the seat.
func (t *seats) find(s *seat) (i int, ok bool) {
	at := t.at(s)
	return int(at.row) - 1, at.row != 0
}

// put puts row i into its seat, unless one has it.
func (t *seats) put(i int) (ok bool) {
	s := &t.rows[i].seat
	at := t.at(s)
	if at.row != 0 {
		return false
	}
	at.tag, at.row = uint32(s.mark()>>32), int32(i)+1
	return true
}

// mark is a number that two seats hardly ever have in common.
func (s *seat) mark() uint64 {
	mark := uint64(s.table.kind)<<40 | uint64(s.table.family)<<32 | uint64(s.table.number)
	for _, part := range [...]uint64{s.to.high, s.to.low, uint64(s.number)<<32 | uint64(s.bits)<<16 | uint64(s.vlan)} {
		high, low := bits.Mul64(mark^part^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
		mark = high ^ low
	}
	return mark
}
