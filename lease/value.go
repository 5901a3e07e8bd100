package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
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

// EncodeValue is what a Store keeps under the lease's key: all but the subnets, byte for byte as flannel writes it, and
// NodeID after it. Each half's data has a field of its own, also in a lease of IPv6 alone. It refuses data that is not JSON.
func EncodeValue(l Lease) ([]byte, error) {
	v := value{BackendType: l.BackendType, NodeID: l.NodeID}
	none := netip.IPv4Unspecified()
	v.PublicIP = &none
	if l.V4.Subnet.IsValid() {
		if l.V4.PublicIP.IsValid() {
			v.PublicIP = &l.V4.PublicIP
		}
		v.BackendData = l.V4.Data
	}
	if l.V6.Subnet.IsValid() {
		if l.V6.PublicIP.IsValid() {
			v.PublicIPv6 = &l.V6.PublicIP
		}
		v.BackendV6Data = l.V6.Data
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
// missing ones, and null for any. The half of a family that the key leaves out stays zero. A lease of IPv6 alone
// finds its data in BackendData too, where a node's extension backend puts it. DecodeValue refuses a bad key, a
// value over MaxValue bytes, and one that is not a JSON object of this form.
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
	if v4.IsValid() {
		l.V4 = Path{Subnet: v4, PublicIP: known(v.PublicIP), Data: given(v.BackendData)}
	}
	if v6.IsValid() {
		l.V6 = Path{Subnet: v6, PublicIP: known(v.PublicIPv6), Data: given(v.BackendV6Data)}
		if !v4.IsValid() && l.V6.Data == nil {
			l.V6.Data = given(v.BackendData)
		}
	}
	for p := range l.Paths() {
		if a := p.PublicIP; a.IsValid() && (a.Is4() != p.Subnet.Addr().Is4() || a.Is4In6() || a.Zone() != "") {
			return Lease{}, fmt.Errorf("parse lease: public address %.60q is not of the subnet's family", a)
		}
	}
	return l, nil
}

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
