package lease_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/lease"
)

func path(subnet, ip, data string) lease.Path {
	p := lease.Path{Subnet: prefix(subnet)}
	if ip != "" {
		p.PublicIP = netip.MustParseAddr(ip)
	}
	if data != "" {
		p.Data = []byte(data)
	}
	return p
}

// at is a half without a subnet.
func at(ip, data string) lease.Path {
	p := path("0.0.0.0/0", ip, data)
	p.Subnet = netip.Prefix{}
	return p
}

var comparable = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestValuesAreFlannelsBytes(t *testing.T) {
	const key4, key6, both = "10.5.1.0-24", "0.0.0.0-0&fc00:1::-64", "10.5.1.0-24&fc00:1::-64"
	for _, test := range []struct {
		name, key, value string
		lease            lease.Lease
	}{
		{"an address alone", key4, `{"PublicIP":"1.2.3.4","PublicIPv6":null}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", "")}},
		{"nothing", key4, `{"PublicIP":"0.0.0.0","PublicIPv6":null}`,
			lease.Lease{V4: path("10.5.1.0/24", "", "")}},
		{"vxlan", key4, `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}`), BackendType: "vxlan"}},
		{"vxlan of both families", both,
			`{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":1},"BackendV6Data":{"VNI":2}}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `{"VNI":1}`), V6: path("fc00:1::/64", "2001:db8::1", `{"VNI":2}`), BackendType: "vxlan"}},
		{"IPv6 alone", key6, `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"extension","BackendV6Data":"mac"}`,
			lease.Lease{V6: path("fc00:1::/64", "2001:db8::1", `"mac"`), BackendType: "extension"}},
		{"an IPv4 subnet at an IPv6 address", key4,
			`{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"vxlan-over-ipv6","BackendV6Data":{"VNI":1}}`,
			lease.Lease{V4: path("10.5.1.0/24", "", ""), V6: at("2001:db8::1", `{"VNI":1}`), BackendType: "vxlan"}},
		{"an IPv4 subnet at addresses of both families", key4,
			`{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":1},"BackendV6Data":{"VNI":1}}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `{"VNI":1}`), V6: at("2001:db8::1", `{"VNI":1}`), BackendType: "vxlan"}},
		{"both families at an IPv6 address", both,
			`{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"wireguard-over-ipv6","BackendData":{"Port":1},"BackendV6Data":{"Port":2}}`,
			lease.Lease{V4: path("10.5.1.0/24", "", `{"Port":1}`), V6: path("fc00:1::/64", "2001:db8::1", `{"Port":2}`), BackendType: "wireguard"}},
		{"both families at an IPv4 address", both, `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw-over-ipv4"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", ""), V6: path("fc00:1::/64", "", ""), BackendType: "host-gw"}},
		{"an IPv6 subnet at an IPv4 address", key6, `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan-over-ipv4","BackendData":{"VNI":1}}`,
			lease.Lease{V4: at("1.2.3.4", `{"VNI":1}`), V6: path("fc00:1::/64", "", ""), BackendType: "vxlan"}},
		{"leases alone at an IPv6 address", key4, `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1"}`,
			lease.Lease{V4: path("10.5.1.0/24", "", ""), V6: at("2001:db8::1", "")}},
		{"a node's identity comes last", key4, `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension","BackendData":"a\nb","NodeID":"f00"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `"a\nb"`), BackendType: "extension", NodeID: "f00"}},
		{"nothing is escaped for HTML", key4, `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"a<b","BackendData":"<&>"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `"<&>"`), BackendType: "a<b"}},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			value, err := lease.EncodeValue(test.lease)
			if err != nil || string(value) != test.value {
				t.Errorf("encoded: got %s, %v, want %s", value, err, test.value)
			}
			got, err := lease.DecodeValue(test.key, []byte(test.value))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, test.lease, comparable...); d != "" {
				t.Errorf("decoded (-got +want)\n%s", d)
			}
		})
	}
}

func TestValuesThatOthersWrote(t *testing.T) {
	for _, test := range []struct {
		name, key, value string
		want             lease.Lease
	}{
		{"without data", "10.5.1.0-24", `{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":null}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", ""), BackendType: "vxlan"}},
		{"without an address", "10.5.1.0-24", `{}`, lease.Lease{V4: path("10.5.1.0/24", "", "")}},
		{"with null for an address", "10.5.1.0-24", `{"PublicIP":null}`, lease.Lease{V4: path("10.5.1.0/24", "", "")}},
		{"of a later version", "10.5.1.0-24", ` {"PublicIP":"1.2.3.4", "Colour":"green"} `,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", "")}},
		{"with what is no address of a family without a subnet", "10.5.1.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":"192.0.2.1"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", "")}},
		{"with data of a family without subnet and address", "10.5.1.0-24", `{"PublicIP":"1.2.3.4","BackendV6Data":"x"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", "")}},
		{"with an extension's data, IPv6 alone", "0.0.0.0-0&fc00:1::-64", `{"PublicIPv6":"2001:db8::1","BackendType":"extension","BackendData":"mac"}`,
			lease.Lease{V6: path("fc00:1::/64", "2001:db8::1", `"mac"`), BackendType: "extension"}},
		{"with an extension's data, both families", "10.5.1.0-24&fc00:1::-64", `{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendData":"mac"}`,
			lease.Lease{V4: path("10.5.1.0/24", "1.2.3.4", `"mac"`), V6: path("fc00:1::/64", "2001:db8::1", "")}},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			got, err := lease.DecodeValue(test.key, []byte(test.value))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, test.want, comparable...); d != "" {
				t.Errorf("(-got +want)\n%s", d)
			}
		})
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":                   ``,
		"null":                      `null`,
		"a list":                    `[]`,
		"half an object":            `{"PublicIP":`,
		"text behind":               `{} x`,
		"a number for an address":   `{"PublicIP":16909060}`,
		"shell text for an address": `{"PublicIP":"$(reboot)"}`,
		"the other family":          `{"PublicIP":"2001:db8::1"}`,
		"IPv4 in IPv6":              `{"PublicIP":"::ffff:1.2.3.4"}`,
		"an object for the type":    `{"BackendType":{}}`,
		"too many bytes":            strings.Repeat(" ", lease.MaxValue) + `{}`,
	} {
		if l, err := lease.DecodeValue("10.5.1.0-24", []byte(value)); err == nil {
			t.Errorf("%s: got %v, want an error", name, l)
		}
	}
	if _, err := lease.DecodeValue("10.5.1.0-24", []byte(`{"PublicIP":"`+strings.Repeat("x", 1<<15)+`"}`)); err == nil || len(err.Error()) > 300 {
		t.Errorf("a long address: want a short error, got %v", err)
	}
	if l, err := lease.DecodeValue("0.0.0.0-0&fc00::-64", []byte(`{"PublicIPv6":"fe80::1%eth0"}`)); err == nil {
		t.Errorf("a zone: got %v, want an error", l)
	}
	if v, err := lease.EncodeValue(lease.Lease{V4: path("10.5.1.0/24", "", "no json")}); err == nil {
		t.Errorf("encoding data that is not JSON: got %s, want an error", v)
	}
}

func FuzzDecodeValue(f *testing.F) {
	f.Add("10.5.1.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null}`)
	f.Add("10.5.1.0-24&fc00:1::-64", `{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendData":{"VNI":1},"BackendV6Data":"x"}`)
	f.Add("0.0.0.0-0&fc00:1::-64", `{"BackendData":"x","NodeID":"y"}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		l, err := lease.DecodeValue(key, []byte(value))
		if err != nil {
			return
		}
		again, err := lease.EncodeValue(l)
		if err != nil {
			t.Fatal(err)
		}
		l2, err := lease.DecodeValue(key, again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		third, err := lease.EncodeValue(l2)
		if err != nil || string(third) != string(again) {
			t.Errorf("%s is written as %s, then as %s, %v", value, again, third, err)
		}
	})
}
