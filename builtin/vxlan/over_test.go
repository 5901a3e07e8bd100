package vxlan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

const (
	overV4 = "ip link add flannel.1 mtu 1450 address " + own4 + " up type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning\n"
	overV6 = "ip link add flannel-v6.1 mtu 1430 address " + own6 + " up type vxlan id 1 local 2001:db8::1 dev eth0 dstport 8472 nolearning\n"
)

// Which links there are follows from the node's addresses, and what they carry from the network.
func TestLinksGoOverTheFamiliesOfTheNodesAddresses(t *testing.T) {
	const on4, on6 = "ip address add 10.50.1.0/32 dev ", "ip address add fd50:0:0:1::/128 dev "
	for _, tt := range []struct {
		subnets, at nativetest.Families
		want        string
	}{
		{nativetest.OnlyV4, nativetest.OnlyV6, overV6 + on4 + "flannel-v6.1\n"},
		{nativetest.OnlyV6, nativetest.OnlyV4, overV4 + on6 + "flannel.1 nodad\n"},
		{nativetest.Dual, nativetest.OnlyV6, overV6 + on4 + "flannel-v6.1\n" + on6 + "flannel-v6.1 nodad\n"},
		{nativetest.Dual, nativetest.OnlyV4, overV4 + on4 + "flannel.1\n" + on6 + "flannel.1 nodad\n"},
		{nativetest.OnlyV4, nativetest.Dual, overV4 + overV6 + on4 + "flannel.1\n"},
		{nativetest.OnlyV6, nativetest.Dual, overV4 + overV6 + on6 + "flannel-v6.1 nodad\n"},
	} {
		n := tt.subnets.NodeAt(tt.at, "vxlan", 1)
		objects, err := plan(t, `{}`).Node(n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, nativetest.Text(objects)); diff != "" {
			t.Errorf("%s at %s (-want +got):\n%s", tt.subnets, tt.at, diff)
		}
		data, err := plan(t, `{}`).Data(n)
		if has := (nativetest.Families{V4: data.V4 != nil, V6: data.V6 != nil}); err != nil || has != tt.at {
			t.Errorf("%s at %s: tells %s and %s, %v", tt.subnets, tt.at, data.V4, data.V6, err)
		}
	}
}

func TestAPeerIsBehindTheLinkOverTheFamilyThatBothHave(t *testing.T) {
	const (
		data4 = `{"VNI":1,"VtepMAC":"02:00:00:00:00:08"}`
		data6 = `{"VNI":1,"VtepMAC":"02:00:00:00:06:08"}`
	)
	mark := map[string]string{"/24": " metric 12809 proto 111", "/64": " proto 111"}
	// half is a subnet of the family behind the link over one.
	half := func(base, bits, link, mac, at, more string) string {
		return "ip neighbour add " + base + " lladdr " + mac + " dev " + link + " nud permanent\n" +
			"bridge fdb add " + mac + " dev " + link + " dst " + at + " self permanent\n" +
			"ip route add " + base + bits + " via " + base + " dev " + link + " onlink" + more + mark[bits] + "\n"
	}
	by4 := func(base, bits, more string) string {
		return half(base, bits, "flannel.1", "02:00:00:00:00:08", "192.0.2.8", more)
	}
	by6 := func(base, bits, more string) string {
		return half(base, bits, "flannel-v6.1", "02:00:00:00:06:08", "2001:db8::8", more)
	}
	const four, six = "10.50.8.0", "fd50:0:0:8::"
	for _, tt := range []struct {
		subnets, own, peer nativetest.Families
		want, err          string
	}{
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV6, by6(four, "/24", ""), ""},
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Dual, by6(four, "/24", ""), ""},
		{nativetest.OnlyV4, nativetest.Dual, nativetest.OnlyV6, by6(four, "/24", " src 10.50.1.0"), ""},
		{nativetest.OnlyV4, nativetest.Dual, nativetest.Dual, by4(four, "/24", ""), ""},
		{nativetest.OnlyV4, nativetest.Dual, nativetest.OnlyV4, by4(four, "/24", ""), ""},
		{nativetest.OnlyV6, nativetest.OnlyV4, nativetest.OnlyV4, by4(six, "/64", ""), ""},
		{nativetest.OnlyV6, nativetest.Dual, nativetest.OnlyV4, by4(six, "/64", " src fd50:0:0:1::"), ""},
		{nativetest.Dual, nativetest.OnlyV6, nativetest.OnlyV6, by6(four, "/24", "") + by6(six, "/64", ""), ""},
		{nativetest.Dual, nativetest.Dual, nativetest.OnlyV6, by6(four, "/24", " src 10.50.1.0") + by6(six, "/64", ""), ""},
		{nativetest.OnlyV4, nativetest.OnlyV4, nativetest.OnlyV6, "",
			"its public address 2001:db8::8 is of IPv6, of which this node has none: the two have no address family in common"},
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV4, "",
			"its public address 192.0.2.8 is of IPv4, of which this node has none: the two have no address family in common"},
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Families{}, "", "its lease has no public IPv4 address"},
	} {
		objects, err := plan(t, `{}`).Peer(tt.subnets.NodeAt(tt.own, "vxlan", 1), new(tt.subnets.LeaseAt(tt.peer, "vxlan", 8, data4, data6)))
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s from %s to %s: %v", tt.subnets, tt.own, tt.peer, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, nativetest.Text(objects)); err != nil || diff != "" {
			t.Errorf("%s from %s to %s: %v (-want +got):\n%s", tt.subnets, tt.own, tt.peer, err, diff)
		}
	}
}

func TestDirectRoutingTakesAnIPv6GatewayForIPv4(t *testing.T) {
	n := nativetest.OnlyV4.NodeAt(nativetest.OnlyV6, "vxlan", 1)
	objects, err := plan(t, `{"DirectRouting": true}`).Peer(n, new(nativetest.OnlyV4.LeaseAt(nativetest.OnlyV6, "vxlan", 7, "", "")))
	if got := nativetest.Text(objects); err != nil || got != "ip route add 10.50.7.0/24 via inet6 2001:db8::7 dev eth0 metric 12808 proto 111\n" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestDirectRoutingLeavesIPv6OverIPv4ToTheTunnel(t *testing.T) {
	n := nativetest.OnlyV6.NodeAt(nativetest.OnlyV4, "vxlan", 1)
	peer := nativetest.OnlyV6.LeaseAt(nativetest.OnlyV4, "vxlan", 7, `{"VtepMAC":"02:00:00:00:00:07"}`, "")
	if objects, err := plan(t, `{"DirectRouting": true}`).Peer(n, &peer); err != nil || len(objects) != 3 {
		t.Errorf("got %s, %v", nativetest.Text(objects), err)
	}
}

func TestAPeerWithoutDataForItsFamilyIsRefused(t *testing.T) {
	peer := nativetest.OnlyV4.LeaseAt(nativetest.OnlyV6, "vxlan", 8, `{"VtepMAC":"02:00:00:00:00:08"}`, "")
	_, err := plan(t, `{}`).Peer(nativetest.OnlyV4.NodeAt(nativetest.OnlyV6, "vxlan", 1), &peer)
	if err == nil || !strings.Contains(err.Error(), "does not say the address of its VTEP") {
		t.Errorf("got %v", err)
	}
}
