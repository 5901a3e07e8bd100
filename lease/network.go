package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/internal/strictjson"
)

// A Network is what all nodes share: from where their subnets come, and how they are connected.
type Network struct {
	V4, V6  Pool // the zero Pool says that the family is off
	Backend Backend
	Ignored []string // keys that were given and mean nothing here, worth a warning
}

// A Backend names what connects the subnets.
type Backend struct {
	Type string          // in lower case
	Raw  json.RawMessage // the Backend object for whoever implements the type, at its line and column of the whole config
}

// rawNetwork is the config as written. nil is a key that was not given, or null.
type rawNetwork struct {
	EnableIPv4, EnableIPv6 *bool
	Network, IPv6Network   *netip.Prefix
	SubnetLen, V6SubnetLen *int
	SubnetMin, V6SubnetMin *netip.Addr
	SubnetMax, V6SubnetMax *netip.Addr
	Backend                *json.RawMessage
	Signature              *string // who signs, and what that is good for, is not this package's
}

// keys are the config's keys in their usual spelling, and where their values go. nil is a key of flannel's without a
// meaning here.
func (r *rawNetwork) keys() []strictjson.Key {
	return []strictjson.Key{
		{Name: "EnableIPv4", Into: &r.EnableIPv4}, {Name: "EnableIPv6", Into: &r.EnableIPv6},
		{Name: "Network", Into: &r.Network}, {Name: "SubnetLen", Into: &r.SubnetLen},
		{Name: "SubnetMin", Into: &r.SubnetMin}, {Name: "SubnetMax", Into: &r.SubnetMax},
		{Name: "IPv6Network", Into: &r.IPv6Network}, {Name: "IPv6SubnetLen", Into: &r.V6SubnetLen},
		{Name: "IPv6SubnetMin", Into: &r.V6SubnetMin}, {Name: "IPv6SubnetMax", Into: &r.V6SubnetMax},
		{Name: "Backend", Into: &r.Backend}, {Name: "Signature", Into: &r.Signature}, {Name: "EnableNFTables"},
	}
}

// ParseNetwork reads the network config, flannel's JSON with flannel's defaults but for Backend, which is vxlan when it is
// left out. Keys match in any case of letters. Unknown and repeated keys are refused, as is every value with which nodes
// could not agree on subnets; the error begins with line:column where there is a place to name.
func ParseNetwork(data []byte) (Network, error) {
	n, err := parseNetwork(data)
	if err != nil {
		return Network{}, fmt.Errorf("parse network config: %w", err)
	}
	return n, nil
}

func parseNetwork(data []byte) (Network, error) {
	obj, err := strictjson.Parse(data)
	if err != nil {
		return Network{}, err
	}
	var raw rawNetwork
	ignored, err := obj.Fill(raw.keys())
	if err != nil {
		return Network{}, err
	}
	n := Network{Ignored: ignored}
	v4 := family{"", netip.Addr.Is4, 22, 24, 28, 30, raw.Network, raw.SubnetLen, raw.SubnetMin, raw.SubnetMax}
	v6 := family{"IPv6", isIPv6, 62, 64, 124, 126, raw.IPv6Network, raw.V6SubnetLen, raw.V6SubnetMin, raw.V6SubnetMax}
	on4, on6 := raw.EnableIPv4 == nil || *raw.EnableIPv4, raw.EnableIPv6 != nil && *raw.EnableIPv6
	if !on4 && !on6 {
		return Network{}, errors.New("neither EnableIPv4 nor EnableIPv6 is true")
	}
	for _, f := range []struct {
		family
		on   bool
		pool *Pool
	}{{v4, on4, &n.V4}, {v6, on6, &n.V6}} {
		if !f.on {
			n.Ignored = append(n.Ignored, f.given()...)
			continue
		}
		var wrong string
		if *f.pool, wrong, err = f.parse(); err != nil {
			return Network{}, obj.ErrorAt(wrong, err)
		}
	}
	n.Backend, err = parseBackend(obj, raw.Backend)
	return n, err
}

func parseBackend(obj *strictjson.Object, raw *json.RawMessage) (Backend, error) {
	if raw == nil {
		return Backend{"vxlan", json.RawMessage(`{"Type":"vxlan"}`)}, nil
	}
	inner, err := obj.Inner("Backend")
	if err != nil {
		return Backend{}, err
	}
	var name *string
	if err := inner.Take(strictjson.Key{Name: "Type", Into: &name}); err != nil {
		return Backend{}, err
	}
	if name == nil || *name == "" {
		return Backend{}, obj.ErrorAt("Backend", errors.New("no Type in it"))
	}
	return Backend{strings.ToLower(*name), obj.InPlace("Backend")}, nil
}

func isIPv6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.Zone() == "" }

// A family is one address family's half of the config, with flannel's limits on lengths in bits.
type family struct {
	prefix  string // of the keys' names
	is      func(netip.Addr) bool
	wide    int // up to this length of the network, a subnet's is usual
	usual   int
	longest int // of the network, when the subnets' length is not given
	limit   int // of the subnets' length

	network   *netip.Prefix
	subnetLen *int
	min, max  *netip.Addr
}

// given are the names of the family's keys that were given.
func (f family) given() (names []string) {
	for _, k := range []struct {
		name  string
		given bool
	}{{"Network", f.network != nil}, {"SubnetLen", f.subnetLen != nil}, {"SubnetMin", f.min != nil}, {"SubnetMax", f.max != nil}} {
		if k.given {
			names = append(names, f.prefix+k.name)
		}
	}
	return names
}

// parse returns the family's pool, or the name of the key that is wrong and why.
func (f family) parse() (p Pool, wrong string, err error) {
	key := f.prefix + "Network"
	if f.network == nil {
		return p, key, errors.New("not given")
	}
	if p.Network = f.network.Masked(); !f.is(p.Network.Addr()) {
		return p, key, fmt.Errorf("%s is of the other address family", f.network)
	}
	if p.SubnetLen, err = f.length(p.Network.Bits()); err != nil {
		if f.subnetLen != nil {
			key = f.prefix + "SubnetLen"
		}
		return p, key, err
	}
	p.Min = p.Network.Addr() // for At to count from
	last := netip.PrefixFrom(lastAddr(p.Network), p.SubnetLen).Masked().Addr()
	second := p.At(1).Addr()
	if p.Min, err = f.bound(p, f.min, second); err != nil {
		return p, f.prefix + "SubnetMin", err
	}
	if p.Max, err = f.bound(p, f.max, last); err != nil {
		return p, f.prefix + "SubnetMax", err
	}
	if p.Max.Less(p.Min) {
		key = f.prefix + "SubnetMin"
		if f.min == nil {
			key = f.prefix + "SubnetMax"
		}
		return p, key, fmt.Errorf("there is no subnet from %s to %s", p.Min, p.Max)
	}
	return p, "", nil
}

// length is the subnets' length in a network of the given one.
func (f family) length(network int) (int, error) {
	switch {
	case f.subnetLen != nil && (*f.subnetLen < network+2 || *f.subnetLen > f.limit):
		return 0, fmt.Errorf("%d is not within %d and %d, the lengths possible in a /%d", *f.subnetLen, network+2, f.limit, network)
	case f.subnetLen != nil:
		return *f.subnetLen, nil
	case network > f.longest:
		return 0, fmt.Errorf("a /%d is too small, /%d is the smallest network", network, f.longest)
	case network > f.wide:
		return network + 2, nil
	}
	return f.usual, nil
}

// bound is the first address of a subnet, as given or by default.
func (f family) bound(p Pool, given *netip.Addr, byDefault netip.Addr) (netip.Addr, error) {
	if given == nil {
		return byDefault, nil
	}
	if !p.Network.Contains(*given) {
		return *given, fmt.Errorf("%s is not in %s", given, p.Network)
	}
	if start := netip.PrefixFrom(*given, p.SubnetLen).Masked().Addr(); start != *given {
		return *given, fmt.Errorf("%s does not start a /%d: %s does", given, p.SubnetLen, start)
	}
	return *given, nil
}
