package kernel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink/nl"
)

// attrs are the attributes of a request, in the order they were put.
type attrs []nl.NetlinkRequestData

func (a *attrs) put(kind int, value []byte) { *a = append(*a, nl.NewRtAttr(kind, value)) }

func (a *attrs) u8(kind int, value int)  { a.put(kind, []byte{byte(value)}) }
func (a *attrs) u16(kind int, value int) { a.put(kind, nl.Uint16Attr(uint16(value))) }
func (a *attrs) u32(kind int, value int) { a.put(kind, nl.Uint32Attr(uint32(value))) }

func (a *attrs) text(kind int, value string) { a.put(kind, nl.ZeroTerminated(value)) }

// said32 puts a number that is not zero.
func (a *attrs) said32(kind int, value int) {
	if value != 0 {
		a.u32(kind, value)
	}
}

// ip puts an address that is valid.
func (a *attrs) ip(kind int, value netip.Addr) {
	if value.IsValid() {
		a.put(kind, value.AsSlice())
	}
}

// mac puts an address that is said; it is refused when it is none.
func (a *attrs) mac(kind int, value MAC) error {
	if value == "" {
		return nil
	}
	hardware, err := net.ParseMAC(string(value))
	if err != nil {
		return fmt.Errorf("%q is invalid lladdr", value)
	}
	a.put(kind, hardware)
	return nil
}

// nest puts attributes inside of one.
func (a *attrs) nest(kind int, inner attrs) {
	outer := nl.NewRtAttr(kind, nil)
	for _, i := range inner {
		outer.AddChild(i)
	}
	*a = append(*a, outer)
}

// visit calls f with each attribute in b and stops at one that is cut short.
func visit(b []byte, f func(kind int, value []byte)) {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return
	}
	for _, a := range list {
		f(int(a.Attr.Type&^(syscall.NLA_F_NESTED|syscall.NLA_F_NET_BYTEORDER)), a.Value)
	}
}

func number(b []byte) int {
	switch len(b) {
	case 1:
		return int(b[0])
	case 2:
		return int(nl.NativeEndian().Uint16(b))
	case 4:
		return int(nl.NativeEndian().Uint32(b))
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
