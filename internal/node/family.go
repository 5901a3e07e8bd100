package node

import "net/netip"

// A family is an address family, as a person and subnet.env name it.
type family struct {
	name string
	key  string // within subnet.env's keys
	bits int    // of an address
}

var (
	ipv4 = family{"IPv4", "", 32}
	ipv6 = family{"IPv6", "IPV6_", 128}
)

func (f family) String() string { return f.name }

func (f family) has(a netip.Addr) bool { return a.BitLen() == f.bits }
