package lease

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// A Pool is the subnets of one address family from which nodes take theirs: those of SubnetLen bits from the one that
// starts at Min to the one that starts at Max. The zero Pool says that the network does not use the family.
type Pool struct {
	Network   netip.Prefix // all addresses of the network, host bits zero
	SubnetLen int
	Min, Max  netip.Addr // first addresses of the first and of the last subnet
}

// Size is how many subnets the pool has. Of an IPv6 pool that holds more than a uint64 counts, only so many are used.
func (p Pool) Size() uint64 {
	if !p.Network.IsValid() {
		return 0
	}
	if last := p.index(p.Max); last < math.MaxUint64 {
		return last + 1
	}
	return math.MaxUint64
}

// Contains reports whether the prefix is one of the pool's subnets.
func (p Pool) Contains(s netip.Prefix) bool {
	return p.Network.IsValid() && s.IsValid() && s.Bits() == p.SubnetLen && s == s.Masked() && p.within(s.Addr())
}

func (p Pool) within(a netip.Addr) bool {
	return a.BitLen() == p.Min.BitLen() && !a.Less(p.Min) && !p.Max.Less(a)
}

// At is the subnet of index i, which must be below Size.
func (p Pool) At(i uint64) netip.Prefix {
	hi, lo := split(p.Min)
	shift := p.shift()
	addHi, addLo := i>>(64-min(shift, 64)), i<<shift // what is left of i above 64 bits, and below
	if shift >= 64 {
		addHi = i << (shift - 64)
	}
	lo, carry := bits.Add64(lo, addLo, 0)
	hi, _ = bits.Add64(hi, addHi, carry)
	return netip.PrefixFrom(join(hi, lo, p.Min.BitLen()), p.SubnetLen)
}

// Slot is the subnet at which a node of this identity looks first. Nodes that start at once rarely look at the same. The zero
// Pool has none.
func (p Pool) Slot(id string) netip.Prefix { return p.At(slot(id, p.Size())) }

// slot is an index below size.
func slot(id string, size uint64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64() % size
}

// Pick returns up to n different subnets that overlap none of the taken prefixes: first those preferred, in the given order,
// if they are the pool's, then others by chance. The fewer it returns, the fewer are free.
func (p Pool) Pick(n int, preferred, taken []netip.Prefix, rnd *rand.Rand) []netip.Prefix {
	var wishes []uint64
	for _, s := range preferred {
		if p.Contains(s) {
			wishes = append(wishes, p.index(s.Addr()))
		}
	}
	var picked []netip.Prefix
	for _, i := range pick(n, p.Size(), wishes, p.spans(taken), rnd) {
		picked = append(picked, p.At(i))
	}
	return picked
}

// pick returns up to n different indexes below size and outside of the used spans: first those wished for, then others by
// chance.
func pick(n int, size uint64, wishes []uint64, used []span, rnd *rand.Rand) []uint64 {
	var picked []uint64
	for _, i := range wishes {
		if len(picked) < n && i < size && !slices.ContainsFunc(used, span{i, i}.overlaps) {
			picked = append(picked, i)
			used = append(used, span{i, i})
		}
	}
	gaps := gaps(used, size)
	free := count(gaps)
	drawn := map[uint64]bool{}
	for len(picked) < n && uint64(len(drawn)) < free {
		if i := rnd.Uint64N(free); !drawn[i] {
			drawn[i] = true
			picked = append(picked, nth(gaps, i))
		}
	}
	return picked
}

func overlaps(s netip.Prefix, others []netip.Prefix) bool {
	return slices.ContainsFunc(others, s.Overlaps)
}

// A span is the subnets of a pool from one index to another, both included.
type span struct{ first, last uint64 }

func (s span) overlaps(o span) bool { return s.first <= o.last && o.first <= s.last }

// spans are the parts of the pool that the prefixes overlap.
func (p Pool) spans(prefixes []netip.Prefix) (spans []span) {
	for _, t := range prefixes {
		if s, ok := p.span(t); ok {
			spans = append(spans, s)
		}
	}
	return spans
}

// gaps is what lies below size and between the used spans. It looks at these alone, since an IPv6 pool may hold any number
// of subnets.
func gaps(used []span, size uint64) (gaps []span) {
	used = slices.SortedFunc(slices.Values(used), func(a, b span) int { return cmp.Compare(a.first, b.first) })
	next := uint64(0)
	for _, u := range used {
		if u.first >= size {
			break
		}
		if u.first > next {
			gaps = append(gaps, span{next, u.first - 1})
		}
		next = max(next, u.last+1)
	}
	if next < size {
		gaps = append(gaps, span{next, size - 1})
	}
	return gaps
}

// span is the part of the pool that the prefix overlaps.
func (p Pool) span(t netip.Prefix) (span, bool) {
	if !p.Network.IsValid() || t.Addr().BitLen() != p.Min.BitLen() {
		return span{}, false
	}
	first := netip.PrefixFrom(t.Addr(), min(t.Bits(), p.SubnetLen)).Masked().Addr()
	last := netip.PrefixFrom(lastAddr(t), p.SubnetLen).Masked().Addr()
	if last.Less(p.Min) || p.Max.Less(first) {
		return span{}, false
	}
	if first.Less(p.Min) {
		first = p.Min
	}
	if p.Max.Less(last) {
		last = p.Max
	}
	s := span{p.index(first), min(p.index(last), p.Size()-1)}
	return s, s.first <= s.last
}

func count(gaps []span) (n uint64) {
	for _, g := range gaps {
		n += g.last - g.first + 1
	}
	return n
}

// nth is the n-th index of the gaps, counted from 0.
func nth(gaps []span, n uint64) uint64 {
	for _, g := range gaps {
		if size := g.last - g.first + 1; n >= size {
			n -= size
			continue
		}
		return g.first + n
	}
	panic(fmt.Sprintf("lease: %d more than the gaps hold", n))
}

func (p Pool) shift() int { return p.Min.BitLen() - p.SubnetLen }

// index is how many subnets lie between Min and the address, at most math.MaxUint64.
func (p Pool) index(a netip.Addr) uint64 {
	hi, lo := split(a)
	minHi, minLo := split(p.Min)
	lo, borrow := bits.Sub64(lo, minLo, 0)
	hi, _ = bits.Sub64(hi, minHi, borrow)
	switch shift := p.shift(); {
	case shift >= 64:
		return hi >> (shift - 64)
	case hi>>shift != 0:
		return math.MaxUint64
	default:
		return hi<<(64-shift) | lo>>shift
	}
}

// split is the address as a number; an IPv4 address has only a lower half.
func split(a netip.Addr) (hi, lo uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

func join(hi, lo uint64, bitLen int) netip.Addr {
	if bitLen == 32 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(lo))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, hi), lo)))
}

// lastAddr is the prefix's last address.
func lastAddr(p netip.Prefix) netip.Addr {
	hi, lo := split(p.Masked().Addr())
	host := p.Addr().BitLen() - p.Bits()
	if host < 64 {
		return join(hi, lo|(1<<host-1), p.Addr().BitLen())
	}
	return join(hi|(1<<(host-64)-1), math.MaxUint64, p.Addr().BitLen())
}
