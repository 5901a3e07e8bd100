package hostgw

import (
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

func TestTheGatewayIsOfAFamilyThatBothNodesHave(t *testing.T) {
	const (
		apart        = "the two have no address family in common"
		four         = "ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0 metric 12808 proto 111\n"
		six          = "ip route add fd50:0:0:7::/64 via 2001:db8::7 dev eth0 proto 111\n"
		sixAsGateway = "ip route add 10.50.7.0/24 via inet6 2001:db8::7 dev eth0 metric 12808 proto 111\n"
	)
	for _, tt := range []struct {
		subnets, own, peer nativetest.Families
		want               string
	}{
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV6, sixAsGateway},
		{nativetest.OnlyV4, nativetest.Dual, nativetest.OnlyV6, sixAsGateway},
		{nativetest.OnlyV4, nativetest.Dual, nativetest.Dual, four},
		{nativetest.Dual, nativetest.OnlyV6, nativetest.Dual, sixAsGateway + six},
		{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV4, apart},
	} {
		objects, err := Plan{}.Peer(tt.subnets.NodeAt(tt.own, "host-gw", 1), new(tt.subnets.LeaseAt(tt.peer, "host-gw", 7, "", "")))
		got := nativetest.Text(objects)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && !(tt.want == apart && strings.HasSuffix(got, apart)) {
			t.Errorf("%s from %s to %s: got %s, want %s", tt.subnets, tt.own, tt.peer, got, tt.want)
		}
	}
}

// A kernel takes a packet of IPv6 to no IPv4 gateway.
func TestIPv6OverIPv4IsRefused(t *testing.T) {
	n := nativetest.OnlyV6.NodeAt(nativetest.OnlyV4, "host-gw", 1)
	if err := (Plan{}).Check(n); err == nil || !strings.Contains(err.Error(), "IPv6 subnets need an IPv6 address") {
		t.Errorf("this node: %v", err)
	}
	_, err := Plan{}.Peer(nativetest.OnlyV6.NodeAt(nativetest.Dual, "host-gw", 1), new(nativetest.OnlyV6.LeaseAt(nativetest.OnlyV4, "host-gw", 7, "", "")))
	if err == nil || !strings.Contains(err.Error(), "IPv6 subnets need an IPv6 address") {
		t.Errorf("a peer: %v", err)
	}
}
