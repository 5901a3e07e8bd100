package node_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

func plain(text string) node.Address { return node.Address{Prefix: netip.MustParsePrefix(text)} }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// host is a machine with two networks, both families, and more addresses than it needs.
func host() node.Facts {
	deprecated, temporary, dynamic := plain("2001:db8::dead/64"), plain("2001:db8::7e/64"), plain("2001:db8::d/64")
	deprecated.Unfit, temporary.Temporary, temporary.Dynamic, dynamic.Dynamic = true, true, true, true
	return node.Facts{
		Interfaces: []node.Interface{
			{Name: "lo", Index: 1, MTU: 65536, Addresses: []node.Address{plain("127.0.0.1/8"), plain("::1/128")}},
			{Name: "eth0", Index: 2, MTU: 1500, Addresses: []node.Address{
				plain("169.254.3.4/16"), plain("192.0.2.2/24"), plain("192.0.2.3/24"),
				deprecated, plain("fe80::2/64"), temporary, dynamic,
			}},
			{Name: "eth1", Index: 3, MTU: 9000, Addresses: []node.Address{
				plain("198.51.100.2/24"), dynamic, plain("2001:db8:1::2/64"),
			}},
			{Name: "wlan0", Index: 4, MTU: 1400, Addresses: []node.Address{plain("fe80::4/64"), deprecated}},
		},
		Defaults: []node.Route{
			{Interface: "eth1", Metric: 100}, {Interface: "eth0", Metric: 10},
			{Interface: "eth0", V6: true, Metric: 1024},
		},
	}
}

func TestExternalChooses(t *testing.T) {
	eth0 := node.External{Name: "eth0", Index: 2, MTU: 1500, V4: addr("192.0.2.2"), PublicV4: addr("192.0.2.2")}
	eth1 := node.External{Name: "eth1", Index: 3, MTU: 9000, V4: addr("198.51.100.2"), PublicV4: addr("198.51.100.2")}
	with := func(e node.External, change func(*node.External)) node.External { change(&e); return e }
	for name, test := range map[string]struct {
		request node.Request
		want    node.External
	}{
		"the default route's interface, of the lowest metric": {node.Request{V4: true}, eth0},
		"an interface by name":                                {node.Request{V4: true, Interface: "eth1"}, eth1},
		"an interface by address":                             {node.Request{V4: true, Interface: "198.51.100.2"}, eth1},
		"the very address that names the interface": {
			node.Request{V4: true, Interface: "192.0.2.3"},
			with(eth0, func(e *node.External) { e.V4, e.PublicV4 = addr("192.0.2.3"), addr("192.0.2.3") }),
		},
		"an interface by its address of the other family": {node.Request{V4: true, Interface: "2001:db8:1::2"}, eth1},
		"the interface that has the public address":       {node.Request{V4: true, PublicIP: addr("198.51.100.2")}, eth1},
		"the public address as the interface's own, where it has it": {
			node.Request{V4: true, Interface: "eth0", PublicIP: addr("192.0.2.3")},
			with(eth0, func(e *node.External) { e.V4, e.PublicV4 = addr("192.0.2.3"), addr("192.0.2.3") }),
		},
		"behind NAT the default route's interface": {
			node.Request{V4: true, PublicIP: addr("203.0.113.9")},
			with(eth0, func(e *node.External) { e.PublicV4 = addr("203.0.113.9") }),
		},
		"no public address of a family that is off": {
			node.Request{V4: true, PublicIPv6: addr("2001:db8:1::2")}, eth0,
		},
		"global before link-local, permanent before dynamic before temporary, and no deprecated address": {
			node.Request{V6: true},
			node.External{Name: "eth0", Index: 2, MTU: 1500, V6: addr("2001:db8::d"), PublicV6: addr("2001:db8::d")},
		},
		"a permanent address before a dynamic one": {
			node.Request{V6: true, Interface: "eth1"},
			node.External{Name: "eth1", Index: 3, MTU: 9000, V6: addr("2001:db8:1::2"), PublicV6: addr("2001:db8:1::2")},
		},
		"a link-local address when there is no other": {
			node.Request{V6: true, Interface: "wlan0"},
			node.External{Name: "wlan0", Index: 4, MTU: 1400, V6: addr("fe80::4"), PublicV6: addr("fe80::4")},
		},
		"one interface for both families": {
			node.Request{V4: true, V6: true, PublicIPv6: addr("2001:db8:9::9")},
			with(eth0, func(e *node.External) { e.V6, e.PublicV6 = addr("2001:db8::d"), addr("2001:db8:9::9") }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := host().External(test.request)
			must(t, err)
			if diff := cmp.Diff(test.want, got, comparable); diff != "" {
				t.Errorf("external (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalRefuses(t *testing.T) {
	split := host()
	split.Defaults = []node.Route{{Interface: "eth0"}, {Interface: "eth1", V6: true}}
	lonely := node.Facts{Interfaces: host().Interfaces[:2]}
	crowd := node.Facts{}
	for i := range 300 {
		crowd.Interfaces = append(crowd.Interfaces, node.Interface{Name: fmt.Sprintf("veth%d", i)})
	}
	for name, test := range map[string]struct {
		facts   node.Facts
		request node.Request
		want    string
	}{
		"a mistyped name, and says which was meant": {
			lonely, node.Request{V4: true, Interface: "eht0"}, `no interface "eht0": did you mean "eth0"? have: lo, eth0`,
		},
		"a name like no other": {
			lonely, node.Request{V4: true, Interface: "bond7"}, `no interface "bond7": have: lo, eth0`,
		},
		"a name on a machine with many, and lists some": {
			crowd, node.Request{V4: true, Interface: "bond7"},
			`no interface "bond7": have: veth0, veth1, veth2, veth3, veth4, veth5, veth6, veth7, 292 more`,
		},
		"a name on a machine with none": {
			node.Facts{}, node.Request{V4: true, Interface: "eth0"}, `no interface "eth0": have: none`,
		},
		"an address that no interface has": {
			node.Facts{Interfaces: host().Interfaces[:1]}, node.Request{V4: true, Interface: "192.0.2.77"},
			"no interface has the address 192.0.2.77: have: lo (127.0.0.1, ::1)",
		},
		"a machine without a default route": {
			lonely, node.Request{V4: true},
			"no default route: name the external interface with --iface (have: lo, eth0)",
		},
		"default routes of the families by different interfaces": {
			split, node.Request{V4: true, V6: true},
			`default routes of IPv4 by "eth0", of IPv6 by "eth1": name one external interface with --iface`,
		},
		"an interface without an address of the family": {
			host(), node.Request{V4: true, Interface: "wlan0"},
			`interface "wlan0" has no IPv4 address to use: give it one, or name another interface with --iface`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.facts.External(test.request)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
