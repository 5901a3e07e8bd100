package node

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
)

// StaleRoute finds the gateway of a route to just this IPv4 subnet, through another node. It is invalid when there is none. The
// node's own subnet has such a route when another node held it before and nobody has removed the route: containers of this node
// would not be reached.
func StaleRoute(subnet netip.Prefix) (via netip.Addr, err error) {
	rows, err := table("route")
	for _, row := range rows {
		if len(row) < 8 {
			continue
		}
		to, toErr := hex4(row[1])
		gateway, gatewayErr := hex4(row[2])
		mask, maskErr := hex4(row[7])
		if toErr != nil || gatewayErr != nil || maskErr != nil || gateway.IsUnspecified() {
			continue
		}
		if to == subnet.Addr() && mask == maskOf(subnet) {
			return gateway, nil
		}
	}
	return netip.Addr{}, err
}

// hex4 reads an IPv4 address as the kernel prints it: the number in memory, in hexadecimal.
func hex4(text string) (netip.Addr, error) {
	digits, err := hex.DecodeString(text)
	if err != nil || len(digits) != 4 {
		return netip.Addr{}, hex.ErrLength
	}
	var addr [4]byte
	binary.NativeEndian.PutUint32(addr[:], binary.BigEndian.Uint32(digits))
	return netip.AddrFrom4(addr), nil
}

func maskOf(p netip.Prefix) netip.Addr {
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], ^uint32(0)<<(32-p.Bits()))
	return netip.AddrFrom4(mask)
}
