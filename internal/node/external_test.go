package node_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
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
			{Name: "lo", Index: 1, MTU: 65536, Loopback: true, Virtual: true, Addresses: []node.Address{plain("127.0.0.1/8"), plain("::1/128")}},
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
	eth0 := node.External{Name: "eth0", Index: 2, MTU: 1500, V4: addr("192.0.2.2"), PublicV4: addr("192.0.2.2"), Spare: addr("2001:db8::d")}
	eth1 := node.External{Name: "eth1", Index: 3, MTU: 9000, V4: addr("198.51.100.2"), PublicV4: addr("198.51.100.2"), Spare: addr("2001:db8:1::2")}
	with := func(e node.External, change func(*node.External)) node.External { change(&e); return e }
	for name, test := range map[string]struct {
		request node.Request
		want    node.External
		why     string
	}{
		"the default route's interface, of the lowest metric": {node.Request{V4: true}, eth0, "default route"},
		"an interface by name":                                {node.Request{V4: true, Interfaces: []string{"eth1"}}, eth1, "--iface eth1"},
		"an interface by address":                             {node.Request{V4: true, Interfaces: []string{"198.51.100.2"}}, eth1, "--iface 198.51.100.2"},
		"the very address that names the interface": {
			node.Request{V4: true, Interfaces: []string{"192.0.2.3"}},
			with(eth0, func(e *node.External) { e.V4, e.PublicV4 = addr("192.0.2.3"), addr("192.0.2.3") }),
			"--iface 192.0.2.3",
		},
		"an interface by its address of the other family": {node.Request{V4: true, Interfaces: []string{"2001:db8:1::2"}}, eth1, "--iface 2001:db8:1::2"},
		"the interface that has the public address":       {node.Request{V4: true, PublicIP: addr("198.51.100.2")}, eth1, "--public-ip 198.51.100.2"},
		"the public address as the interface's own, where it has it": {
			node.Request{V4: true, Interfaces: []string{"eth0"}, PublicIP: addr("192.0.2.3")},
			with(eth0, func(e *node.External) { e.V4, e.PublicV4 = addr("192.0.2.3"), addr("192.0.2.3") }),
			"--iface eth0",
		},
		"behind NAT the default route's interface": {
			node.Request{V4: true, PublicIP: addr("203.0.113.9")},
			with(eth0, func(e *node.External) { e.PublicV4 = addr("203.0.113.9") }),
			"default route",
		},
		"no interface for the public address of a family that is off": {
			node.Request{V4: true, PublicIPv6: addr("2001:db8:1::2")},
			with(eth0, func(e *node.External) { e.Spare = addr("2001:db8:1::2") }),
			"default route",
		},
		"global before link-local, permanent before dynamic before temporary, and no deprecated address": {
			node.Request{V6: true},
			node.External{Name: "eth0", Index: 2, MTU: 1500, V6: addr("2001:db8::d"), PublicV6: addr("2001:db8::d"), Spare: addr("192.0.2.2")},
			"default route",
		},
		"a permanent address before a dynamic one": {
			node.Request{V6: true, Interfaces: []string{"eth1"}},
			node.External{Name: "eth1", Index: 3, MTU: 9000, V6: addr("2001:db8:1::2"), PublicV6: addr("2001:db8:1::2"), Spare: addr("198.51.100.2")},
			"--iface eth1",
		},
		"a link-local address when there is no other": {
			node.Request{V6: true, Interfaces: []string{"wlan0"}},
			node.External{Name: "wlan0", Index: 4, MTU: 1400, V6: addr("fe80::4"), PublicV6: addr("fe80::4")},
			"--iface wlan0",
		},
		"one interface for both families": {
			node.Request{V4: true, V6: true, PublicIPv6: addr("2001:db8:9::9")},
			with(eth0, func(e *node.External) {
				e.V6, e.PublicV6, e.Spare = addr("2001:db8::d"), addr("2001:db8:9::9"), netip.Addr{}
			}),
			"default route",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := host().External(test.request)
			must(t, err)
			test.want.Why = test.why
			if diff := cmp.Diff(test.want, got, comparable); diff != "" {
				t.Errorf("external (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalTriesOneAfterTheOther(t *testing.T) {
	matching := func(texts ...string) (all []*regexp.Regexp) {
		for _, text := range texts {
			all = append(all, regexp.MustCompile(text))
		}
		return all
	}
	away := &node.Reach{To: addr("203.0.113.1"), Interface: "eth1", From: addr("198.51.100.3")}
	for name, test := range map[string]struct {
		request            node.Request
		want, address, why string
	}{
		"interfaces in their order": {
			node.Request{V4: true, Interfaces: []string{"eth7", "eth1", "eth0"}}, "eth1", "198.51.100.2", "--iface eth1",
		},
		"an interface without an address of the family is passed over": {
			node.Request{V4: true, Interfaces: []string{"wlan0", "eth0"}}, "eth0", "192.0.2.2", "--iface eth0",
		},
		"patterns after interfaces": {
			node.Request{V4: true, Interfaces: []string{"eth7"}, Patterns: matching("bond", "^eth1$")}, "eth1", "198.51.100.2", "--iface-regex ^eth1$",
		},
		"addresses before names": {
			node.Request{V4: true, Patterns: matching("198|eth0")}, "eth1", "198.51.100.2", "--iface-regex 198|eth0",
		},
		"the address that matched": {
			node.Request{V4: true, Patterns: matching(`192\.0\.2\.3`)}, "eth0", "192.0.2.3", `--iface-regex 192\.0\.2\.3`,
		},
		"an address of each family": {
			node.Request{V4: true, V6: true, Patterns: matching("^198|^2001|^192.0.2.2$", "^198|^2001:db8:1:")}, "eth1", "198.51.100.2", "--iface-regex ^198|^2001:db8:1:",
		},
		"no tunnel and no interface of the overlay": {
			node.Request{V4: true, Overlay: prefixes("10.50.0.0/16"), Patterns: matching("^10|eth1")}, "eth1", "198.51.100.2", "--iface-regex ^10|eth1",
		},
		"a name of one that has an address": {
			node.Request{V4: true, Patterns: matching("wlan0|eth1")}, "eth1", "198.51.100.2", "--iface-regex wlan0|eth1",
		},
		"what packets to an address leave by comes last": {
			node.Request{V4: true, Patterns: matching("bond"), Reach: away}, "eth1", "198.51.100.3", "--iface-can-reach 203.0.113.1",
		},
		"public addresses choose no interface where something else does": {
			node.Request{V4: true, PublicIP: addr("192.0.2.2"), Reach: away}, "eth1", "198.51.100.3", "--iface-can-reach 203.0.113.1",
		},
		"a default route into the overlay is none": {
			node.Request{V4: true, Overlay: prefixes("10.50.0.0/16")}, "eth0", "192.0.2.2", "default route",
		},
		"an address of the overlay is not public": {
			node.Request{V4: true, Overlay: prefixes("10.50.0.0/16"), PublicIP: addr("10.50.1.1")}, "eth0", "192.0.2.2", "default route",
		},
	} {
		t.Run(name, func(t *testing.T) {
			facts := host()
			facts.Interfaces = append(facts.Interfaces,
				node.Interface{Name: "cni0", MTU: 1450, Addresses: []node.Address{plain("10.50.1.1/24")}},
				node.Interface{Name: "tun0", MTU: 1450, Virtual: true, Addresses: []node.Address{plain("10.9.0.2/24")}})
			facts.Interfaces[2].Addresses = append(facts.Interfaces[2].Addresses, plain("198.51.100.3/24"))
			facts.Defaults = append(facts.Defaults, node.Route{Interface: "cni0"})
			got, err := facts.External(test.request)
			must(t, err)
			if got.Name != test.want || got.V4 != addr(test.address) || got.Why != test.why {
				t.Errorf("it is %s with %s by %q, want %s with %s by %q", got.Name, got.V4, got.Why, test.want, test.address, test.why)
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
			lonely, node.Request{V4: true, Interfaces: []string{"eht0"}}, `no interface "eht0": did you mean "eth0"? have: lo, eth0`,
		},
		"a name like no other": {
			lonely, node.Request{V4: true, Interfaces: []string{"bond7"}}, `no interface "bond7": have: lo, eth0`,
		},
		"a name on a machine with many, and lists some": {
			crowd, node.Request{V4: true, Interfaces: []string{"bond7"}},
			`no interface "bond7": have: veth0, veth1, veth2, veth3, veth4, veth5, veth6, veth7, 292 more`,
		},
		"a name on a machine with none": {
			node.Facts{}, node.Request{V4: true, Interfaces: []string{"eth0"}}, `no interface "eth0": have: none`,
		},
		"an address that no interface has": {
			node.Facts{Interfaces: host().Interfaces[:1]}, node.Request{V4: true, Interfaces: []string{"192.0.2.77"}},
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
		"a pattern that two interfaces match": {
			host(), node.Request{V4: true, Patterns: []*regexp.Regexp{regexp.MustCompile("eth.")}},
			"--iface-regex eth. matches more than one interface: " +
				"eth0 (169.254.3.4, 192.0.2.2, 192.0.2.3, 2001:db8::dead, fe80::2, 2001:db8::7e, 2001:db8::d), " +
				"eth1 (198.51.100.2, 2001:db8::d, 2001:db8:1::2): make it match one, or name one with --iface",
		},
		"a pattern that none matches": {
			lonely, node.Request{V4: true, Patterns: []*regexp.Regexp{regexp.MustCompile("bond")}},
			"no interface matches --iface-regex bond: have: lo (127.0.0.1, ::1), " +
				"eth0 (169.254.3.4, 192.0.2.2, 192.0.2.3, 2001:db8::dead, fe80::2, 2001:db8::7e, 2001:db8::d)",
		},
		"an address that is out of reach": {
			host(), node.Request{V4: true, Reach: &node.Reach{To: addr("203.0.113.1"), Err: errors.New("no route")}},
			"--iface-can-reach 203.0.113.1: no route",
		},
		"an address of the machine itself": {
			host(), node.Request{V4: true, Reach: &node.Reach{To: addr("192.0.2.2"), Interface: "lo"}},
			`--iface-can-reach 192.0.2.2: packets there leave by "lo", which leads to no other node: give an address outside of the overlay and of this machine`,
		},
		"all that was tried, and says each": {
			lonely, node.Request{V4: true, Interfaces: []string{"bond7", "192.0.2.77"}},
			"no interface \"bond7\": have: lo, eth0\nno interface has the address 192.0.2.77: have: lo (127.0.0.1, ::1), " +
				"eth0 (169.254.3.4, 192.0.2.2, 192.0.2.3, 2001:db8::dead, fe80::2, 2001:db8::7e, 2001:db8::d)",
		},
		"an interface without an address of the family": {
			host(), node.Request{V4: true, Interfaces: []string{"wlan0"}},
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
