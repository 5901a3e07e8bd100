package lease_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/lease"
)

func pool(network string, bits int, first, last string) lease.Pool {
	return lease.Pool{Network: prefix(network), SubnetLen: bits, Min: netip.MustParseAddr(first), Max: netip.MustParseAddr(last)}
}

func TestNetworksAndTheirDefaults(t *testing.T) {
	byDefault := lease.Backend{Type: "vxlan", Raw: []byte(`{"Type":"vxlan"}`)}
	for _, test := range []struct {
		name, text string
		want       lease.Network
	}{
		{"a network alone", `{"Network":"10.3.0.0/16"}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), Backend: byDefault}},
		{"host bits are masked", `{"Network":"10.3.7.9/16"}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), Backend: byDefault}},
		{"a /22 still has /24 subnets", `{"Network":"10.3.0.0/22"}`,
			lease.Network{V4: pool("10.3.0.0/22", 24, "10.3.1.0", "10.3.3.0"), Backend: byDefault}},
		{"a smaller one has subnets two bits longer", `{"Network":"10.3.0.0/23"}`,
			lease.Network{V4: pool("10.3.0.0/23", 25, "10.3.0.128", "10.3.1.128"), Backend: byDefault}},
		{"the smallest", `{"Network":"10.3.0.0/28"}`,
			lease.Network{V4: pool("10.3.0.0/28", 30, "10.3.0.4", "10.3.0.12"), Backend: byDefault}},
		{"everything is given", `{"Network":"10.3.0.0/16","SubnetLen":28,"SubnetMin":"10.3.5.0","SubnetMax":"10.3.8.16","Backend":{"Type":"Host-GW","X":1}}`,
			lease.Network{V4: pool("10.3.0.0/16", 28, "10.3.5.0", "10.3.8.16"), Backend: lease.Backend{Type: "host-gw", Raw: []byte(`{"Type":"Host-GW","X":1}`)}}},
		{"one subnet is enough", `{"Network":"10.3.0.0/16","SubnetMin":"10.3.5.0","SubnetMax":"10.3.5.0"}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.5.0", "10.3.5.0"), Backend: byDefault}},
		{"keys in any case", `{"nETWORK":"10.3.0.0/16","backend":{"TYPE":"VXLAN"}}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), Backend: lease.Backend{Type: "vxlan", Raw: []byte(`{"TYPE":"VXLAN"}`)}}},
		{"null is not given", `{"Network":"10.3.0.0/16","SubnetLen":null,"Backend":null}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), Backend: byDefault}},
		{"both families", `{"EnableIPv6":true,"Network":"10.3.0.0/16","IPv6Network":"fc00::/48"}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), V6: pool("fc00::/48", 64, "fc00:0:0:1::", "fc00:0:0:ffff::"), Backend: byDefault}},
		{"IPv6 alone, small", `{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/124"}`,
			lease.Network{V6: pool("fc00::/124", 126, "fc00::4", "fc00::c"), Backend: byDefault}},
		{"IPv6 with everything given", `{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/16","IPv6SubnetLen":80,"IPv6SubnetMin":"fc00:0:0:1::","IPv6SubnetMax":"fc00:0:0:2::"}`,
			lease.Network{V6: pool("fc00::/16", 80, "fc00:0:0:1::", "fc00:0:0:2::"), Backend: byDefault}},
		{"keys without a meaning", `{"EnableNFTables":true,"Network":"10.3.0.0/16","IPv6Network":"fc00::/48","IPv6SubnetLen":64}`,
			lease.Network{V4: pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0"), Backend: byDefault,
				Ignored: []string{"EnableNFTables", "IPv6Network", "IPv6SubnetLen"}}},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			got, err := lease.ParseNetwork([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			got.Backend.Raw = bytes.TrimSpace(got.Backend.Raw)
			if d := cmp.Diff(got, test.want, comparable...); d != "" {
				t.Errorf("(-got +want)\n%s", d)
			}
		})
	}
}

func TestNetworksThatAreRefused(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{``, "1:1: unexpected end of JSON input"},
		{`[]`, "1:1: not an object: { expected"},
		{`null`, "1:1: not an object: { expected"},
		{"{\n  \"Network\": 10.3.0.0/16\n}", "2:18: invalid character '.' after object key:value pair"},
		{`{"Network":"10.3.0.0/16"} {}`, "1:27: invalid character '{' after top-level value"},
		{`{"Network":"10.3.0.0/16",` + "\n" + ` "Subnetlen2": 24}`, `2:2: unknown key "Subnetlen2": did you mean "SubnetLen"?`},
		{`{"Netwrok":"10.3.0.0/16"}`, `1:2: unknown key "Netwrok": did you mean "Network"?`},
		{`{"Colour":"green"}`, `1:2: unknown key "Colour": known are EnableIPv4, EnableIPv6, Network, SubnetLen, SubnetMin, SubnetMax, IPv6Network, IPv6SubnetLen, IPv6SubnetMin, IPv6SubnetMax, Backend, Signature, EnableNFTables`},
		{`{"Network":"10.3.0.0/16", "network":"10.4.0.0/16"}`, `1:27: key "network" is there a second time`},
		{`{"a\"b": 1}`, `1:2: unknown key "a\"b": known are`},
		{`{}`, "Network: not given"},
		{`{"EnableIPv6":true,"Network":"10.3.0.0/16"}`, "IPv6Network: not given"},
		{`{"EnableIPv4":false}`, "neither EnableIPv4 nor EnableIPv6 is true"},
		{`{"EnableIPv4":"yes"}`, `1:15: EnableIPv4: "yes" is not true or false`},
		{`{"Network":"10.3.0.0"}`, `1:12: Network: "10.3.0.0" is not a network like "10.50.0.0/16"`},
		{`{"Network":"fc00::/48"}`, "1:12: Network: fc00::/48 is of the other address family"},
		{`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"10.3.0.0/16"}`, "1:53: IPv6Network: 10.3.0.0/16 is of the other address family"},
		{`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"::ffff:10.3.0.0/112"}`, "IPv6Network: ::ffff:10.3.0.0/112 is of the other address family"},
		{`{"Network":"10.3.0.0/29"}`, "1:12: Network: a /29 is too small, /28 is the smallest network"},
		{`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/125"}`, "IPv6Network: a /125 is too small, /124 is the smallest network"},
		{`{"Network":"10.3.0.0/16","SubnetLen":17}`, "1:38: SubnetLen: 17 is not within 18 and 30, the lengths possible in a /16"},
		{`{"Network":"10.3.0.0/16","SubnetLen":31}`, "SubnetLen: 31 is not within 18 and 30"},
		{`{"Network":"10.3.0.0/16","SubnetLen":24.5}`, "SubnetLen: 24.5 is not a whole number"},
		{`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetLen":127}`, "IPv6SubnetLen: 127 is not within 50 and 126"},
		{`{"Network":"10.3.0.0/16","SubnetMin":"10.4.0.0"}`, "1:38: SubnetMin: 10.4.0.0 is not in 10.3.0.0/16"},
		{`{"Network":"10.3.0.0/16","SubnetMin":"10.3.0.1"}`, "SubnetMin: 10.3.0.1 does not start a /24: 10.3.0.0 does"},
		{`{"Network":"10.3.0.0/16","SubnetMax":"10.3.1.128"}`, "SubnetMax: 10.3.1.128 does not start a /24: 10.3.1.0 does"},
		{`{"Network":"10.3.0.0/16","SubnetMax":"fc00::"}`, "SubnetMax: fc00:: is not in 10.3.0.0/16"},
		{`{"Network":"10.3.0.0/16","SubnetMin":"10.3.9.0","SubnetMax":"10.3.8.0"}`, "SubnetMin: there is no subnet from 10.3.9.0 to 10.3.8.0"},
		{`{"Network":"10.3.0.0/16","SubnetMax":"10.3.0.0"}`, "SubnetMax: there is no subnet from 10.3.1.0 to 10.3.0.0"},
		{`{"Network":"10.3.0.0/16","Backend":"vxlan"}`, "1:36: Backend: not an object"},
		{`{"Network":"10.3.0.0/16","Backend":{}}`, "1:36: Backend: no Type in it"},
		{`{"Network":"10.3.0.0/16","Backend":{"Type":7}}`, "1:44: Type: 7 is not a string"},
		{`{"Network":"10.3.0.0/16","Backend":{"Type":"vxlan","TYPE":"host-gw"}}`, `1:52: key "TYPE" is there a second time`},
	} {
		_, err := lease.ParseNetwork([]byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), "parse network config: ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %v\nwant parse network config: %s", test.text, err, test.want)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add([]byte(`{"Network":"10.3.0.0/16","SubnetLen":28,"SubnetMin":"10.3.5.0","SubnetMax":"10.3.8.16","Backend":{"Type":"vxlan"}}`))
	f.Add([]byte(`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/124","IPv6SubnetMin":"fc00::4"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := lease.ParseNetwork(text)
		if err != nil {
			return
		}
		for _, p := range []lease.Pool{n.V4, n.V6} {
			if p.Size() == 0 {
				continue
			}
			if first, last := p.At(0), p.At(p.Size()-1); !p.Contains(first) || !p.Contains(last) || first.Addr() != p.Min {
				t.Errorf("%s: pool %+v goes from %s to %s", text, p, first, last)
			}
		}
		if n.V4.Size() == 0 && n.V6.Size() == 0 {
			t.Errorf("%s: no subnets", text)
		}
	})
}
