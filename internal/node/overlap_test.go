package node_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

func TestCheckOverlap(t *testing.T) {
	on := func(name string, texts ...string) node.Interface {
		i := node.Interface{Name: name}
		for _, text := range texts {
			i.Addresses = append(i.Addresses, plain(text))
		}
		return i
	}
	hardware := on("eth1", "10.50.3.7/24")
	hardware.Hardware = true
	external := on("eth0", "192.0.2.2/24", "2001:db8::2/64")
	for name, test := range map[string]struct {
		network    string
		interfaces []node.Interface
		want       string
	}{
		"a network apart from all others": {"10.50.0.0/16", []node.Interface{on("eth1", "10.51.0.1/16")}, ""},
		"a tunnel and a container bridge that an earlier run left": {
			"10.50.0.0/16", []node.Interface{on("flannel-vxlan", "10.50.7.0/32"), on("cni0", "10.50.7.1/24")}, "",
		},
		"the same for IPv6": {"fd00:50::/48", []node.Interface{on("cni0", "fd00:50:0:7::1/64", "fe80::1/64")}, ""},
		"an interface connected to the same network": {
			"10.50.0.0/16", []node.Interface{on("eth1", "10.50.3.7/16")},
			`network 10.50.0.0/16 overlaps 10.50.0.0/16, which interface "eth1" of this machine is connected to with address 10.50.3.7: choose another network`,
		},
		"an interface connected to a larger network": {
			"10.50.0.0/16", []node.Interface{on("br-lan", "10.1.2.3/8")},
			`network 10.50.0.0/16 overlaps 10.0.0.0/8, which interface "br-lan" of this machine is connected to with address 10.1.2.3: choose another network`,
		},
		"hardware connected to a part of the network": {
			"10.50.0.0/16", []node.Interface{hardware},
			`network 10.50.0.0/16 overlaps 10.50.3.0/24, which interface "eth1" of this machine is connected to with address 10.50.3.7: choose another network`,
		},
		"the external interface connected to a part of the network": {
			"192.0.0.0/8", nil,
			`network 192.0.0.0/8 overlaps 192.0.2.0/24, which interface "eth0" of this machine is connected to with address 192.0.2.2: choose another network`,
		},
		"the external interface's IPv6 network": {
			"2001:db8::/32", nil,
			`network 2001:db8::/32 overlaps 2001:db8::/64, which interface "eth0" of this machine is connected to with address 2001:db8::2: choose another network`,
		},
		"loopback": {
			"127.10.0.0/16", []node.Interface{on("lo", "127.0.0.1/8")},
			`network 127.10.0.0/16 overlaps 127.0.0.0/8, which interface "lo" of this machine is connected to with address 127.0.0.1: choose another network`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			facts := node.Facts{Interfaces: append([]node.Interface{external}, test.interfaces...)}
			var got string
			if err := facts.CheckOverlap(prefixes("172.31.0.0/16", test.network), node.External{Name: "eth0"}); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
