package lease

import (
	"fmt"
	"net/netip"
	"strings"
)

// The key says this in the place of an IPv4 subnet when the lease has none.
const noV4 = "0.0.0.0-0"

// Key is the name under which a Store keeps the lease: "10.5.34.0-24", with both families "10.5.34.0-24&fc00:7::-64", and
// with IPv6 alone "0.0.0.0-0&fc00:7::-64". It is flannel's.
func (l Lease) Key() string {
	key := noV4
	if l.V4.Subnet.IsValid() {
		key = keyPart(l.V4.Subnet)
	}
	if l.V6.Subnet.IsValid() {
		key += "&" + keyPart(l.V6.Subnet)
	}
	return key
}

// Compare orders leases by their subnets, and so by their Key.
func (l *Lease) Compare(o *Lease) int {
	if c := l.V4.Subnet.Compare(o.V4.Subnet); c != 0 {
		return c
	}
	return l.V6.Subnet.Compare(o.V6.Subnet)
}

// sameKey reports whether both have one Key.
func (l Lease) sameKey(o *Lease) bool {
	return l.V4.Subnet == o.V4.Subnet && l.V6.Subnet == o.V6.Subnet
}

func keyPart(p netip.Prefix) string { return strings.ReplaceAll(p.String(), "/", "-") }

// ParseKey reads what Key writes, and nothing else. The prefix of a family that the key leaves out is the zero Prefix.
//
// flannel reads more: text before the subnet, other spellings of an address, subnets with host bits set. Such a key could
// not be written back, or names a subnet that its author hardly meant, so it is refused. As with flannel, an IPv4 subnet
// has at most 31 bits and an IPv6 subnet at most 127.
func ParseKey(key string) (v4, v6 netip.Prefix, err error) {
	first, second, both := strings.Cut(key, "&")
	if both {
		if v6, err = parseKeyPart(second, 127); err == nil && (!v6.Addr().Is6() || v6.Addr().Is4In6()) {
			err = fmt.Errorf("%s is no IPv6 subnet", v6)
		}
	}
	if err == nil && !(both && first == noV4) {
		if v4, err = parseKeyPart(first, 31); err == nil && !v4.Addr().Is4() {
			err = fmt.Errorf("%s is no IPv4 subnet", v4)
		}
	}
	if err != nil {
		return netip.Prefix{}, netip.Prefix{}, fmt.Errorf("parse lease key: %w", err)
	}
	return v4, v6, nil
}

// parseKeyPart refuses what keyPart would not write.
func parseKeyPart(text string, maxBits int) (netip.Prefix, error) {
	address, bits, found := strings.Cut(text, "-")
	p, err := netip.ParsePrefix(address + "/" + bits)
	switch {
	case !found || err != nil || strings.Contains(text, "/"):
		return netip.Prefix{}, fmt.Errorf("%.100q is not ADDRESS-LENGTH", text)
	case p.Bits() < 1 || p.Bits() > maxBits:
		return netip.Prefix{}, fmt.Errorf("length %d of %q is not within 1 to %d", p.Bits(), text, maxBits)
	case keyPart(p.Masked()) != text:
		return netip.Prefix{}, fmt.Errorf("%.100q is not written as %q", text, keyPart(p.Masked()))
	}
	return p, nil
}
