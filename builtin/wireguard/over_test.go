package wireguard

import (
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

// A link reaches its peers by either family.
func TestTheEndpointIsOfAFamilyThatBothNodesHave(t *testing.T) {
	const (
		four, six = "allowed-ips 10.50.7.0/24", "allowed-ips fd50:0:0:7::/64"
		by4, by6  = "endpoint 192.0.2.7:4444", "endpoint [2001:db8::7]:4444"
		apart     = "the two have no address family in common"
	)
	for _, tt := range []struct {
		config             string
		subnets, own, peer nativetest.Families
		want               []string
	}{
		{`{}`, nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV6, []string{"flannel-wg ", by6, four}},
		{`{}`, nativetest.OnlyV4, nativetest.Dual, nativetest.OnlyV6, []string{"flannel-wg ", by6, four}},
		{`{}`, nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Dual, []string{"flannel-wg ", by6, four}},
		{`{}`, nativetest.OnlyV4, nativetest.Dual, nativetest.Dual, []string{"flannel-wg ", by4, four}},
		{`{}`, nativetest.OnlyV6, nativetest.OnlyV4, nativetest.OnlyV4, []string{"flannel-wg-v6 ", "endpoint 192.0.2.7:6666", six}},
		{`{}`, nativetest.Dual, nativetest.OnlyV6, nativetest.OnlyV6, []string{"flannel-wg ", by6, four, "flannel-wg-v6 ", "endpoint [2001:db8::7]:6666", six}},
		{`{"Mode": "auto"}`, nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV6, []string{"flannel-wg ", by6, four}},
		{`{"Mode": "auto"}`, nativetest.Dual, nativetest.Dual, nativetest.OnlyV6, []string{"flannel-wg ", by6, four + ",fd50:0:0:7::/64"}},
		{`{"Mode": "ipv6"}`, nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Dual, []string{"flannel-wg ", by6, four}},
		{`{}`, nativetest.OnlyV4, nativetest.OnlyV6, nativetest.OnlyV4, []string{apart}},
		{`{"Mode": "auto"}`, nativetest.OnlyV4, nativetest.OnlyV4, nativetest.OnlyV6, []string{apart}},
	} {
		p, n := plan(t, tt.config), tt.subnets.NodeAt(tt.own, "wireguard", 1)
		if err := p.Check(n); err != nil {
			t.Error(err)
		}
		objects, err := p.Peer(n, new(tt.subnets.LeaseAt(tt.peer, "wireguard", 7, data4, data6)))
		got := nativetest.Text(objects)
		if err != nil {
			got = err.Error()
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s %s from %s to %s: got %s, want %q", tt.config, tt.subnets, tt.own, tt.peer, got, want)
			}
		}
	}
}
