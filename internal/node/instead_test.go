package node_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

// oneFamily is a machine whose eth0 has addresses of one family alone, as has its default route.
func oneFamily(v6 bool, addresses ...string) node.Facts {
	eth0 := node.Interface{Name: "eth0", Index: 2, MTU: 1500}
	for _, a := range addresses {
		eth0.Addresses = append(eth0.Addresses, plain(a))
	}
	return node.Facts{Interfaces: []node.Interface{eth0}, Defaults: []node.Route{{Interface: "eth0", V6: v6}}}
}

func TestAnAddressOfTheOtherFamilyStandsInForOneThatLacks(t *testing.T) {
	only4, only6 := oneFamily(false, "192.0.2.2/24", "fe80::2/64"), oneFamily(true, "fe80::2/64", "2001:db8::2/64")
	at := func(change func(*node.External)) node.External {
		e := node.External{Name: "eth0", Index: 2, MTU: 1500, Why: "default route"}
		change(&e)
		return e
	}
	at4 := at(func(e *node.External) { e.V4, e.PublicV4 = addr("192.0.2.2"), addr("192.0.2.2") })
	at6 := at(func(e *node.External) { e.V6, e.PublicV6 = addr("2001:db8::2"), addr("2001:db8::2") })
	because := func(e node.External, why string) node.External { e.Why = why; return e }
	pattern := []*regexp.Regexp{regexp.MustCompile("^2001:")}
	// What one family's default route leads to may well have an address of the other.
	byOther := oneFamily(true, "192.0.2.2/24", "2001:db8::2/64")
	crowded := host()
	crowded.Interfaces = append(crowded.Interfaces, node.Interface{Name: "v6", Index: 9, MTU: 1500, Addresses: []node.Address{plain("2001:db8::9/64")}})
	eth1 := node.External{Name: "eth1", Index: 3, MTU: 9000, V4: addr("198.51.100.2"), PublicV4: addr("198.51.100.2"), Spare: addr("2001:db8:1::2"), Why: "--iface eth1"}
	for name, tt := range map[string]struct {
		facts   node.Facts
		request node.Request
		want    node.External
	}{
		"IPv4 on a machine with IPv6": {only6, node.Request{V4: true}, at6},
		"IPv6 on a machine with IPv4": {only4, node.Request{V6: true}, at4},
		"both on a machine with IPv6": {only6, node.Request{V4: true, V6: true}, at6},
		"both on a machine with IPv4": {oneFamily(false, "192.0.2.2/24"), node.Request{V4: true, V6: true}, at4},
		"by name":                     {only6, node.Request{V4: true, Interfaces: []string{"eth0"}}, because(at6, "--iface eth0")},
		"by address":                  {only6, node.Request{V4: true, Interfaces: []string{"2001:db8::2"}}, because(at6, "--iface 2001:db8::2")},
		"by a pattern of addresses":   {only6, node.Request{V4: true, Patterns: pattern}, because(at6, "--iface-regex ^2001:")},
		"by a way": {
			only6, node.Request{V4: true, Reach: &node.Reach{To: addr("2001:db8::9"), Interface: "eth0"}},
			because(at6, "--iface-can-reach 2001:db8::9"),
		},
		"the second of two names has IPv4": {crowded, node.Request{V4: true, Interfaces: []string{"v6", "eth1"}}, eth1},
		"a public address in its place": {only6, node.Request{V4: true, PublicIPv6: addr("2001:db8:9::9")}, at(func(e *node.External) {
			e.V6, e.PublicV6 = addr("2001:db8::2"), addr("2001:db8:9::9")
		})},
		"a default route of the other family": {byOther, node.Request{V4: true}, at(func(e *node.External) {
			e.V4, e.PublicV4, e.Spare = addr("192.0.2.2"), addr("192.0.2.2"), addr("2001:db8::2")
		})},
		"a default route of one of the two": {byOther, node.Request{V4: true, V6: true}, at(func(e *node.External) {
			e.V4, e.PublicV4, e.V6, e.PublicV6 = addr("192.0.2.2"), addr("192.0.2.2"), addr("2001:db8::2"), addr("2001:db8::2")
		})},
		"both, and one of them but link-local": {only4, node.Request{V4: true, V6: true, Interfaces: []string{"eth0"}}, at(func(e *node.External) {
			e.V4, e.PublicV4, e.V6, e.PublicV6, e.Why = addr("192.0.2.2"), addr("192.0.2.2"), addr("fe80::2"), addr("fe80::2"), "--iface eth0"
		})},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.facts.External(tt.request)
			must(t, err)
			if diff := cmp.Diff(tt.want, got, comparable); diff != "" {
				t.Errorf("external (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingStandsInForWhatIsGivenOrNotThere(t *testing.T) {
	for name, tt := range map[string]struct {
		facts   node.Facts
		request node.Request
		want    string
	}{
		"a link-local address":               {oneFamily(true, "fe80::2/64"), node.Request{V4: true, Interfaces: []string{"eth0"}}, "no IPv4 address to use"},
		"for a public address that is given": {oneFamily(true, "2001:db8::2/64"), node.Request{V4: true, PublicIP: addr("192.0.2.9")}, "no default route"},
		"on a machine without any":           {oneFamily(false), node.Request{V4: true, V6: true, Interfaces: []string{"eth0"}}, "no IPv4 address to use"},
		"for an interface that is not there": {oneFamily(true, "2001:db8::2/64"), node.Request{V4: true, Interfaces: []string{"eth1"}}, `no interface "eth1"`},
	} {
		if e, err := tt.facts.External(tt.request); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %+v, %v, want %q", name, e, err, tt.want)
		}
	}
}
