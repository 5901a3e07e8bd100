package kernel

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
)

// Options are what a link is told that links of other kinds are not, by ip's words, such as "mode": "bridge". Numbers are
// decimal; what a word alone turns on is "on" or "off".
type Options map[string]string

// An option is one thing that links of a kind are told, or tell.
type option struct {
	word  string // ip's
	attr  int    // within the kind's data
	code  encoding
	first string // what the kernel begins with, and List therefore leaves out
	bit   uint32 // the part of the attribute that is meant; 0 is all of it
	spell spelled
	told  bool // the kernel's word alone, which Detail has

	// Some options have a second attribute: one for IPv6 addresses, one that says "inherit", or one of whose bits a GRE key
	// needs one to count.
	six, inherit, keyed int
}

// spelled is how ip is told an option.
type spelled int

// The ways: "word value"; "word 1" or "word 0"; "word" or "noword"; "word" alone; and the value alone.
const (
	byPair spelled = iota
	byDigit
	bySwitch
	byWord
	byValue
)

// An encoding turns text into an attribute's bytes and back.
type encoding struct {
	encode func(s *system, text string) ([]byte, error)
	decode func(b []byte, n names) string
}

// command adds the options to a command line, in the table's order.
func (o Options) command(w *words, kind string) {
	for _, row := range kinds[kind] {
		value, said := o[row.word]
		switch {
		case !said || row.told:
		case row.spell == byDigit:
			w.add(row.word, strconv.Itoa(bit(value == "on")))
		case row.spell == bySwitch:
			w.add(strings.Repeat("no", bit(value == "off")) + row.word)
		case row.spell == byWord:
			w.when(value == "on", row.word)
		case row.spell == byValue:
			w.add(value)
		default:
			w.add(append([]string{row.word}, strings.Fields(value)...)...)
		}
	}
}

// attrs are the attributes that say the options. Those that share an attribute are put together.
func (o Options) attrs(s *system, kind string) (attrs, error) {
	var a attrs
	bits := map[int]*[2]uint32{} // what is on and what is said, by attribute
	turn := func(attr int, which uint32, on bool) {
		if bits[attr] == nil {
			bits[attr] = new([2]uint32)
		}
		bits[attr][0] |= which * uint32(bit(on))
		bits[attr][1] |= which
	}
	for _, row := range kinds[kind] {
		value, said := o[row.word]
		switch {
		case !said || row.told:
		case row.bit != 0:
			turn(row.attr, row.bit, value == "on")
		case row.inherit != 0 && value == "inherit":
			a.u8(row.inherit, 1)
		default:
			b, err := row.code.encode(s, value)
			if err != nil {
				return nil, fmt.Errorf("option %s: %w", row.word, err)
			}
			a.put(row.attribute(b), b)
			if row.keyed != 0 {
				turn(row.keyed, greKey, true)
			}
		}
	}
	for _, attr := range slices.Sorted(maps.Keys(bits)) {
		a.put(attr, packed(kind, attr, *bits[attr]))
	}
	return a, nil
}

// attribute is the number of the attribute for an IPv6 address, which for some options is another one than for IPv4.
func (r option) attribute(value []byte) int {
	if r.six != 0 && len(value) == net.IPv6len {
		return r.six
	}
	return r.attr
}

// packed is an attribute of bits, most of which say beside what is on what they speak of.
func packed(kind string, attr int, bits [2]uint32) []byte {
	for _, row := range kinds[kind] {
		if row.attr == attr && row.code.encode != nil {
			b, _ := row.code.encode(nil, strconv.FormatUint(uint64(bits[0]), 10))
			return b
		}
	}
	return append(nl.Uint32Attr(bits[0]), nl.Uint32Attr(bits[1])...)
}

// readOptions reads all that the kernel says of a kind, words that are the kernel's alone too.
func readOptions(kind string, data []byte, n names) Options {
	said := map[int][]byte{}
	visit(data, func(attr int, value []byte) { said[attr] = value })
	all := Options{}
	for _, row := range kinds[kind] {
		value, ok := said[row.attr]
		if !ok && row.six != 0 {
			value, ok = said[row.six]
		}
		switch {
		case row.inherit != 0 && number(said[row.inherit]) != 0:
			all[row.word] = "inherit"
		case !ok || row.keyed != 0 && !row.isOn(greKey, said[row.keyed], n):
		case row.bit != 0:
			all[row.word] = onOff(row.isOn(row.bit, value, n))
		default:
			all[row.word] = row.code.decode(value, n)
		}
	}
	return all
}

// isOn reports whether a bit of an attribute is set. What follows the bits says which of them are meant.
func (r option) isOn(bit uint32, value []byte, n names) bool {
	have := number(value[:min(4, len(value))])
	if r.keyed != 0 {
		have, _ = strconv.Atoi(be16.decode(value, n))
	} else if r.code.decode != nil {
		have, _ = strconv.Atoi(r.code.decode(value, n))
	}
	return uint32(have)&bit != 0
}

// said are the options that somebody may have told the link, as far as they differ from what the kernel begins with.
func (o Options) said(kind string) Options {
	var said Options
	for _, row := range kinds[kind] {
		if value, ok := o[row.word]; ok && !row.told && value != row.first {
			if said == nil {
				said = Options{}
			}
			said[row.word] = value
		}
	}
	return said
}

// before is what to tell a link of the kind that has some options to undo that it was told others.
func (o Options) before(kind string, told Options) Options {
	var back Options
	for _, row := range kinds[kind] {
		if _, ok := told[row.word]; !ok || row.told {
			continue
		}
		if back == nil {
			back = Options{}
		}
		if value, ok := o[row.word]; ok {
			back[row.word] = value
		} else if row.first != "" {
			back[row.word] = row.first
		}
	}
	return back
}

// with are the options with what others say put in.
func (o Options) with(more Options) Options {
	if len(more) == 0 {
		return o
	}
	all := maps.Clone(o)
	if all == nil {
		all = Options{}
	}
	maps.Copy(all, more)
	return all
}

// areIn reports whether all that is said is true of a link of the kind that has the others.
func (o Options) areIn(kind string, have Options) bool {
	for _, row := range kinds[kind] {
		value, said := o[row.word]
		got, ok := have[row.word]
		if !ok {
			got = row.first
		}
		if said && got != value {
			return false
		}
	}
	return true
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// unsigned is a number of the size in bytes.
func unsigned(size int, order binary.ByteOrder) encoding {
	return encoding{
		encode: func(_ *system, text string) ([]byte, error) {
			n, err := strconv.ParseUint(text, 0, size*8)
			b := make([]byte, 8)
			order.PutUint64(b, n)
			if order == binary.ByteOrder(binary.BigEndian) {
				return b[8-size:], err
			}
			return b[:size], err
		},
		decode: func(b []byte, _ names) string {
			whole := make([]byte, 8)
			if order == binary.ByteOrder(binary.BigEndian) {
				copy(whole[8-min(size, len(b)):], b)
			} else {
				copy(whole, b[:min(size, len(b))])
			}
			return strconv.FormatUint(order.Uint64(whole), 10)
		},
	}
}

var (
	u8    = unsigned(1, binary.NativeEndian)
	u16   = unsigned(2, binary.NativeEndian)
	u32   = unsigned(4, binary.NativeEndian)
	u64   = unsigned(8, binary.NativeEndian)
	be16  = unsigned(2, binary.BigEndian)
	be32  = unsigned(4, binary.BigEndian)
	onoff = worded(spelling{0: "off", 1: "on"}, u8)
)

// worded is a number that has words.
func worded(words spelling, as encoding) encoding {
	return encoding{
		encode: func(s *system, text string) ([]byte, error) {
			n, err := words.number(text)
			if err != nil {
				return nil, err
			}
			return as.encode(s, strconv.Itoa(n))
		},
		decode: func(b []byte, n names) string {
			text := as.decode(b, n)
			i, _ := strconv.Atoi(text)
			return words.word(i)
		},
	}
}

// tos is a type of service, in hexadecimal as ip wants it.
var tos = encoding{
	encode: func(_ *system, text string) ([]byte, error) {
		if text == "inherit" {
			return []byte{1}, nil
		}
		n, err := strconv.ParseUint(text, 0, 8)
		return []byte{byte(n)}, err
	},
	decode: func(b []byte, _ names) string {
		if number(b) == 1 {
			return "inherit"
		}
		return fmt.Sprintf("%#x", number(b))
	},
}

// flagged is an attribute whose being there is all it says.
var flagged = encoding{
	encode: func(*system, string) ([]byte, error) { return []byte{}, nil },
	decode: func([]byte, names) string { return "on" },
}

// ipAddress is an IP address.
var ipAddress = encoding{
	encode: func(_ *system, text string) ([]byte, error) {
		a, err := netip.ParseAddr(text)
		return a.AsSlice(), err
	},
	decode: func(b []byte, _ names) string { return addr(b).String() },
}

// lladdr is a link-layer address.
var lladdr = encoding{
	encode: func(_ *system, text string) ([]byte, error) {
		m, err := net.ParseMAC(text)
		return m, err
	},
	decode: func(b []byte, _ names) string { return string(mac(b)) },
}

// linkNamed is another link, by its number for the kernel and by its name for everybody else.
var linkNamed = encoding{
	encode: func(s *system, name string) ([]byte, error) {
		index, err := s.index(name)
		return nl.Uint32Attr(uint32(index)), err
	},
	decode: func(b []byte, n names) string { return n.of(number(b)) },
}

// bridgeID is a priority with a link-layer address, whose bytes ip does not pad.
var bridgeID = encoding{decode: func(b []byte, _ names) string {
	if len(b) < 8 {
		return ""
	}
	return fmt.Sprintf("%.2x%.2x.%x:%x:%x:%x:%x:%x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7])
}}
