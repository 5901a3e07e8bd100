package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// attrs are the attributes of a request in the kernel's form, in the order they were put.
type attrs []byte

// begin puts the head of an attribute whose value has the size, and room for the value, which it returns.
func (a *attrs) begin(kind, size int) []byte {
	at, whole := len(*a), unix.SizeofRtAttr+aligned(size)
	*a = slices.Grow(*a, whole)[:at+whole]
	b := (*a)[at:]
	clear(b)
	binary.NativeEndian.PutUint16(b, uint16(unix.SizeofRtAttr+size))
	binary.NativeEndian.PutUint16(b[2:], uint16(kind))
	return b[unix.SizeofRtAttr:]
}

func (a *attrs) put(kind int, value []byte) { copy(a.begin(kind, len(value)), value) }

func (a *attrs) u8(kind int, value int) { a.begin(kind, 1)[0] = byte(value) }
func (a *attrs) u16(kind int, value int) {
	binary.NativeEndian.PutUint16(a.begin(kind, 2), uint16(value))
}
func (a *attrs) u32(kind int, value int) {
	binary.NativeEndian.PutUint32(a.begin(kind, 4), uint32(value))
}

// text puts a string, which ends in a zero.
func (a *attrs) text(kind int, value string) { copy(a.begin(kind, len(value)+1), value) }

// said32 puts a number that is not zero.
func (a *attrs) said32(kind int, value int) {
	if value != 0 {
		a.u32(kind, value)
	}
}

// ip puts an address that is valid.
func (a *attrs) ip(kind int, value netip.Addr) {
	switch {
	case value.Is4():
		four := value.As4()
		copy(a.begin(kind, len(four)), four[:])
	case value.IsValid():
		sixteen := value.As16()
		copy(a.begin(kind, len(sixteen)), sixteen[:])
	}
}

// mac puts an address that is said; it is refused when it is none.
func (a *attrs) mac(kind int, value MAC) error {
	if value == "" {
		return nil
	}
	if number, ok := value.Number(); ok {
		var eight [8]byte
		binary.BigEndian.PutUint64(eight[:], number)
		copy(a.begin(kind, 6), eight[2:])
		return nil
	}
	address, err := net.ParseMAC(string(value))
	if err != nil {
		return fmt.Errorf("%q is invalid lladdr", value)
	}
	a.put(kind, address)
	return nil
}

// nest puts attributes inside of one.
func (a *attrs) nest(kind int, inner attrs) { a.put(kind, inner) }

// visit calls f with each attribute in b and stops at one that is cut short.
func visit(b []byte, f func(kind int, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		f(int(kind), b[unix.SizeofRtAttr:size])
		b = b[min(aligned(size), len(b)):]
	}
}

func number(b []byte) int {
	switch len(b) {
	case 1:
		return int(b[0])
	case 2:
		return int(binary.NativeEndian.Uint16(b))
	case 4:
		return int(binary.NativeEndian.Uint32(b))
	}
	return 0
}

func portNumber(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func mac(b []byte) MAC { return MAC(net.HardwareAddr(b).String()) }

// family is the address family that requests about the address carry.
func family(a netip.Addr) byte {
	if a.Is6() {
		return syscall.AF_INET6
	}
	return syscall.AF_INET
}

// families are those to list: the address's own, or both for no address.
func families(a netip.Addr) []byte {
	if a.IsValid() {
		return []byte{family(a)}
	}
	return []byte{syscall.AF_INET, syscall.AF_INET6}
}

// A spelling is a table of the kernel's numbers and ip's words for them.
type spelling map[int]string

// word is the number's word, or the number itself.
func (s spelling) word(number int) string {
	if w, ok := s[number]; ok {
		return w
	}
	return fmt.Sprint(number)
}

// number is the word's number; words that are numbers are themselves.
func (s spelling) number(word string) (int, error) {
	for n, w := range s {
		if w == word {
			return n, nil
		}
	}
	var n int
	if _, err := fmt.Sscanf(word, "%d", &n); err != nil {
		return 0, fmt.Errorf("%q is not a known word", word)
	}
	return n, nil
}

// flags are the words of the bits that are set, in the order of the table.
func flags(bits int, table []flag) (list []string) {
	for _, f := range table {
		if bits&f.bit != 0 {
			list = append(list, f.word)
		}
	}
	return list
}

type flag struct {
	bit  int
	word string
}
