package hookrunner

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

func path(subnet, publicIP string) lease.Path {
	return lease.Path{Subnet: netip.MustParsePrefix(subnet), PublicIP: netip.MustParseAddr(publicIP)}
}

func TestEachHookHasTheContractsEnvironmentAndNoOther(t *testing.T) {
	t.Setenv("ETCD_PASSWORD", "secret")
	dual := hooks.Node{
		Networks:  []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16"), netip.MustParsePrefix("fd00::/48")},
		Lease:     lease.Lease{V4: path("10.50.3.0/24", "192.0.2.3"), V6: path("fd00:0:0:3::/64", "2001:db8::3")},
		Interface: "eth0", MTU: 1500,
	}
	early := dual
	early.Lease = lease.Lease{V4: lease.Path{PublicIP: dual.Lease.V4.PublicIP}, V6: lease.Path{PublicIP: dual.Lease.V6.PublicIP}}
	other := lease.Lease{V4: path("10.50.7.0/24", "192.0.2.7"), V6: path("fd00:0:0:7::/64", "2001:db8::7")}

	only4, only6, half := dual, dual, other
	only4.Networks = dual.Networks[:1]
	only6.Networks = dual.Networks[1:]
	half.V4 = lease.Path{}
	at46, at6, other6 := only4, only4, other
	at46.Lease.V6.Subnet, at6.Lease.V6.Subnet, other6.V6.Subnet = netip.Prefix{}, netip.Prefix{}, netip.Prefix{}
	at6.Lease.V4.PublicIP, other6.V4.PublicIP = netip.Addr{}, netip.Addr{}

	const node4, node6 = "NODE_PUBLIC_IP=192.0.2.3 NODE_SUBNET=10.50.3.0/24", "NODE_IPV6SUBNET=fd00:0:0:3::/64 NODE_PUBLIC_IPV6=2001:db8::3"
	const own4, own6 = "PUBLIC_IP=192.0.2.3 SUBNET=10.50.3.0/24", "IPV6SUBNET=fd00:0:0:3::/64 PUBLIC_IPV6=2001:db8::3"
	const peer4, peer6 = "PUBLIC_IP=192.0.2.7 SUBNET=10.50.7.0/24", "IPV6SUBNET=fd00:0:0:7::/64 PUBLIC_IPV6=2001:db8::7"
	const net4, net6 = "NETWORK=10.50.0.0/16", "IPV6NETWORK=fd00::/48"
	tests := []struct {
		name   string
		hook   hooks.Hook
		node   hooks.Node
		peer   lease.Lease
		reason hooks.Reason
		want   []string
	}{
		{"before the lease is held", hooks.PreStartup, early, other, hooks.Start, []string{net4, net6,
			"PUBLIC_IP=192.0.2.3 PUBLIC_IPV6=2001:db8::3 NODE_PUBLIC_IP=192.0.2.3 NODE_PUBLIC_IPV6=2001:db8::3"}},
		{"once it is", hooks.PostStartup, dual, other, hooks.Config, []string{net4, net6, own4, own6, node4, node6}},
		{"a peer", hooks.SubnetAdd, dual, other, hooks.Repair, []string{net4, net6, peer4, peer6, node4, node6}},
		{"a peer with one family", hooks.SubnetAdd, dual, half, hooks.Join, []string{net4, net6, peer6, node4, node6}},
		{"a peer that leaves", hooks.SubnetRemove, dual, other, hooks.Leave, []string{net4, net6, peer4, peer6, node4, node6}},
		{"the end", hooks.Shutdown, dual, other, hooks.Stop, []string{net4, net6, own4, own6, node4, node6}},
		{"IPv4 alone", hooks.SubnetAdd, only4, other, hooks.Join, []string{net4, peer4, node4}},
		{"IPv4 alone at an IPv6 address", hooks.SubnetAdd, at6, other6, hooks.Join, []string{net4, "SUBNET=10.50.7.0/24 PUBLIC_IPV6=2001:db8::7",
			"NODE_SUBNET=10.50.3.0/24 NODE_PUBLIC_IPV6=2001:db8::3"}},
		{"IPv4 alone at both", hooks.PostStartup, at46, other, hooks.Start, []string{net4, own4, node4, "PUBLIC_IPV6=2001:db8::3 NODE_PUBLIC_IPV6=2001:db8::3"}},
		{"IPv6 alone", hooks.SubnetAdd, only6, other, hooks.Join, []string{net6, peer6, node6}},
	}
	for _, tt := range tests {
		// A real shell adds variables of its own, but not to what it was started with.
		for shell, command := range map[string]string{"builtin": "env > env", "/bin/sh": `tr '\0' '\n' < /proc/$$/environ > env`} {
			t.Run(tt.name+" in "+shell, func(t *testing.T) {
				r := newRunner(t, backend(commandKey(tt.hook), command, "Shell", shell), Options{})
				if _, err := hookOf(r, tt.hook, hooks.Call{Reason: tt.reason, Node: tt.node}, tt.peer); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(filepath.Join(r.options.Dir, "env"))
				if err != nil {
					t.Fatal(err)
				}
				want := append(strings.Fields(strings.Join(tt.want, " ")), "IFACE=eth0", "IFACE_MTU=1500",
					"EVENT="+string(tt.hook), "REASON="+string(tt.reason), "HOME="+r.options.Dir, "TMPDIR=/tmp", "LANG=C",
					"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
				slices.Sort(want)
				have := strings.Split(strings.TrimSpace(string(got)), "\n")
				slices.Sort(have)
				if diff := cmp.Diff(want, have); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}
