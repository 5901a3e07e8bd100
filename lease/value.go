package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxValue is how many bytes of a value are worth reading. flannel and overlayd write a few hundred.
const MaxValue = 64 << 10

// value is flannel's JSON of a lease, its fields in flannel's order. NodeID is overlayd's own; flannel reads over it.
type value struct {
	PublicIP      *netip.Addr     // flannel writes 0.0.0.0 for none
	PublicIPv6    *netip.Addr     // and null
	BackendType   string          `json:",omitempty"`
	BackendData   json.RawMessage `json:",omitempty"`
	BackendV6Data json.RawMessage `json:",omitempty"`
	NodeID        string          `json:",omitempty"`
}

// What is added to the backend type of a node that LacksFamily. flannel has no such nodes, and would send what is for them to
// 0.0.0.0, run hooks with that, or crash on the address that is not there. All of its backends pass over a type that is not
// theirs, and say so.
const (
	overV4 = "-over-ipv4"
	overV6 = "-over-ipv6"
)

// EncodeValue is what a Store keeps under the lease's key: all but the subnets, byte for byte as flannel writes it, and
// NodeID after it. Each half's data has a field of its own, also in a lease of IPv6 alone. It refuses data that is not JSON.
//
// The type of a node that has no address of a subnet's family says so: "vxlan-over-ipv6".
func EncodeValue(l Lease) ([]byte, error) {
	v := value{BackendType: l.BackendType, NodeID: l.NodeID}
	none := netip.IPv4Unspecified()
	v.PublicIP = &none
	if l.V4.PublicIP.IsValid() {
		v.PublicIP = &l.V4.PublicIP
	}
	if l.V6.PublicIP.IsValid() {
		v.PublicIPv6 = &l.V6.PublicIP
	}
	if l.V4.used() {
		v.BackendData = l.V4.Data
	}
	if l.V6.used() {
		v.BackendV6Data = l.V6.Data
	}
	if v.BackendType != "" && l.LacksFamily() {
		v.BackendType += map[bool]string{true: overV4, false: overV6}[l.V4.PublicIP.IsValid()]
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode lease %s: %w", l, err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// DecodeValue reads the lease kept under the key. It takes everything that flannel's versions have written: unknown fields,
// missing ones, and null for any. The half of a family that the key leaves out has no subnet, and is zero if there is no address of
// the family either. A lease of IPv6 alone finds its data in BackendData too, where a node's extension backend puts it.
// DecodeValue refuses a bad key, a value over MaxValue bytes, and one that is not a JSON object of this form.
func DecodeValue(key string, data []byte) (Lease, error) {
	v4, v6, err := ParseKey(key)
	if err != nil {
		return Lease{}, err
	}
	if len(data) > MaxValue {
		return Lease{}, fmt.Errorf("parse lease: value of %d bytes is over %d", len(data), MaxValue)
	}
	var v *value
	if err := json.Unmarshal(data, &v); err != nil {
		return Lease{}, fmt.Errorf("parse lease: %.200v", err) // it may quote all of the value
	}
	if v == nil {
		return Lease{}, errors.New("parse lease: value is null")
	}
	l := Lease{BackendType: v.BackendType, NodeID: v.NodeID}
	for _, over := range []string{overV4, overV6} {
		l.BackendType = strings.TrimSuffix(l.BackendType, over)
	}
	l.V4 = Path{Subnet: v4, PublicIP: known(v.PublicIP), Data: given(v.BackendData)}
	l.V6 = Path{Subnet: v6, PublicIP: known(v.PublicIPv6), Data: given(v.BackendV6Data)}
	for _, half := range []struct {
		path *Path
		is   func(netip.Addr) bool
	}{{&l.V4, netip.Addr.Is4}, {&l.V6, isIPv6}} {
		a := half.path.PublicIP
		if fit := !a.IsValid() || half.is(a); !fit && half.path.Subnet.IsValid() {
			return Lease{}, fmt.Errorf("parse lease: public address %.60q is not of the subnet's family", a)
		} else if !fit {
			half.path.PublicIP = netip.Addr{} // and nobody needs it
		}
	}
	if !v4.IsValid() && !l.V4.PublicIP.IsValid() && l.V6.Data == nil {
		l.V6.Data = l.V4.Data
	}
	for _, p := range []*Path{&l.V4, &l.V6} {
		if !p.used() {
			*p = Path{}
		}
	}
	return l, nil
}

// used reports whether the half says anything.
func (p Path) used() bool { return p.Subnet.IsValid() || p.PublicIP.IsValid() }

// known is the address, or the zero Addr for one that says nothing.
func known(a *netip.Addr) netip.Addr {
	if a == nil || a.IsUnspecified() {
		return netip.Addr{}
	}
	return *a
}

func given(data json.RawMessage) json.RawMessage {
	if string(data) == "null" {
		return nil
	}
	return data
}
