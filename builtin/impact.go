package builtin

import (
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/lease"
)

// An Impact is what a change of the network config costs the packets of a running cluster whose daemons follow it.
type Impact string

// The impacts.
const (
	Live  Impact = "live"  // none is lost: the old way stays until the new one works, or nothing of it has to be made anew
	Brief Impact = "brief" // some are, for a second or so: a link or a socket is made anew, and both at once cannot be
	Full  Impact = "full"  // the old overlay is removed before the new one is made, and nodes may have other subnets
)

// impacts are those of the keys of a native backend that stays what it is, by type and key in lower case.
var impacts = map[string]map[string]Impact{
	"vxlan": {
		"vni": Live, "mtu": Live, "learning": Live, "directrouting": Live,
		"port": Brief, "gbp": Brief, "checksum": Brief, "name": Brief,
	},
	"host-gw": {},
	"wireguard": {
		"psk": Live, "mtu": Live, "persistentkeepaliveinterval": Live,
		"listenport": Brief, "listenportv6": Brief, "mode": Brief, "name": Brief,
	},
}

// HandsOver reports whether the backend of the next network config can take over what that of the one before has made, so that
// the nodes go from one to the other with packets passing: both are native, and no node needs another subnet. An address family
// may be added, or go.
func HandsOver(before, next lease.Network) bool {
	isNative := func(n lease.Network) bool { return slices.Contains(NativeTypes, n.Backend.Type) }
	fit := func(a, b lease.Pool) bool { return a == b || a == lease.Pool{} || b == lease.Pool{} }
	return isNative(before) && isNative(next) && fit(before.V4, next.V4) && fit(before.V6, next.V6)
}

// ImpactOf returns what it costs that the key is another one in the next network config. Keys have those above them, as
// Backend.VNI, and match in any case of letters.
func ImpactOf(key string, before, next lease.Network) Impact {
	key, ofBackend := strings.CutPrefix(strings.ToLower(key), "backend.")
	was, is := before.Backend.Type, next.Backend.Type
	impact, known := impacts[is][key]
	switch {
	case ofBackend && was == "alloc" && is == "alloc":
		return Live // nothing of overlayd's carries packets
	case !HandsOver(before, next):
		return Full
	case !ofBackend && before.V4 == next.V4 && before.V6 == next.V6:
		return Live // said in other words
	case !ofBackend && (goes(before.V4, next.V4) || goes(before.V6, next.V6)) && oneLink(next.Backend):
		return Brief // WireGuard takes a prefix from a peer by taking all for a moment
	case !ofBackend:
		return Live // for the family that stays
	case was != is:
		return Live // and its other keys come and go with it
	case !known:
		return Full
	}
	return impact
}

// alike are the keys of a native backend that its nodes must have alike to reach each other, in lower case.
var alike = map[string][]string{"vxlan": {"vni", "port"}, "wireguard": {"psk", "mode"}}

// MustBeAlike reports whether nodes with one and nodes with the other network config do not reach each other, or set each other's
// leases aside, since the configs differ in the key, as ImpactOf has it. What hooks need to have alike is not known.
func MustBeAlike(key string, one, other lease.Network) bool {
	key, ofBackend := strings.CutPrefix(strings.ToLower(key), "backend.")
	switch {
	case !ofBackend:
		return one.V4 != other.V4 || one.V6 != other.V6
	case one.Backend.Type != other.Backend.Type:
		return key == "type"
	}
	return slices.Contains(alike[one.Backend.Type], key)
}

// goes reports whether an address family is turned off.
func goes(before, next lease.Pool) bool { return before != lease.Pool{} && next == lease.Pool{} }

// oneLink reports whether WireGuard has one link for both families.
func oneLink(b lease.Backend) bool {
	c, err := wireguard.Parse(b.Raw)
	return b.Type == "wireguard" && (err != nil || c.Mode != wireguard.Separate)
}
