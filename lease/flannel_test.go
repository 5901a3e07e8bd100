package lease_test

import (
	"strings"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

// Each value is what a backend of flannel's writes, byte for byte. Reading it and writing it again changes nothing.
func TestWhatFlannelsBackendsWriteIsWrittenAlike(t *testing.T) {
	for _, test := range []struct{ name, key, value string }{
		{"udp", "10.5.34.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null}`},
		{"alloc without an address", "10.5.34.0-24", `{"PublicIP":"0.0.0.0","PublicIPv6":null}`},
		{"vxlan", "10.5.34.0-24",
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`},
		{"vxlan of both families", "10.5.34.0-24&fc00:1:2:3::-64",
			`{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"},"BackendV6Data":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:00"}}`},
		{"vxlan of IPv6 alone", "0.0.0.0-0&fc00:1:2:3::-64",
			`{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:00"}}`},
		{"vxlan of an old version, without a VNI", "10.5.34.0-24",
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`},
		{"host-gw", "10.5.34.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw"}`},
		{"host-gw of both families", "10.5.34.0-24&fc00:1:2:3::-64", `{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"host-gw"}`},
		{"wireguard", "10.5.34.0-24",
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"pFwhWvQ7YfF+fDF/9ATv2uQzgx9kWhPpiqPqO3uxsCs=","Port":51820}}`},
		{"wireguard of both families", "10.5.34.0-24&fc00:1:2:3::-64",
			`{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1","BackendType":"wireguard","BackendData":{"PublicKey":"pFwhWvQ7YfF+fDF/9ATv2uQzgx9kWhPpiqPqO3uxsCs=","Port":51820},"BackendV6Data":{"PublicKey":"pFwhWvQ7YfF+fDF/9ATv2uQzgx9kWhPpiqPqO3uxsCs=","Port":51821}}`},
		{"extension", "10.5.34.0-24",
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension","BackendData":"52:54:00:12:34:56"}`},
		{"extension with two lines", "10.5.34.0-24",
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension","BackendData":"52:54:00:12:34:56\nkey=+/="}`},
		{"extension without a PreStartupCommand", "10.5.34.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension"}`},
		{"ipip", "10.5.34.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"ipip"}`},
		{"ipsec", "10.5.34.0-24", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"ipsec"}`},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) { rewritten(t, test.key, test.value, test.value) })
	}
}

// What older versions left out, or wrote otherwise, is written as the newest does.
func TestWhatOldVersionsWroteIsRead(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"an address alone", `{"PublicIP":"1.2.3.4"}`, `{"PublicIP":"1.2.3.4","PublicIPv6":null}`},
		{"null for data", `{"PublicIP":"1.2.3.4","BackendType":"host-gw","BackendData":null}`,
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw"}`},
		{"null for the data of both families", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":null,"BackendV6Data":null}`,
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan"}`},
		{"a MAC address alone", `{"PublicIP":"1.2.3.4","BackendType":"vxlan","BackendData":{"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`,
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`},
		{"data without a type", `{"PublicIP":"1.2.3.4","BackendData":{"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`,
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendData":{"VtepMAC":"aa:bb:cc:dd:ee:ff"}}`},
		{"another order", `{"BackendData":"x","BackendType":"extension","PublicIP":"1.2.3.4"}`,
			`{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"extension","BackendData":"x"}`},
		{"a field of another program", `{"PublicIP":"1.2.3.4","PublicIPv6":null,"Hostname":"a"}`, `{"PublicIP":"1.2.3.4","PublicIPv6":null}`},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) { rewritten(t, "10.5.34.0-24", test.value, test.want) })
	}
}

// rewritten compares what becomes of a key and its value when they are read and written again.
func rewritten(t *testing.T, key, value, want string) {
	t.Helper()
	l, err := lease.DecodeValue(key, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	got, err := lease.EncodeValue(l)
	if err != nil || string(got) != want || l.Key() != key {
		t.Errorf("%s of %s, %v\n got %s\nwant %s", l.Key(), key, err, got, want)
	}
}
