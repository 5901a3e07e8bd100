package hostgw

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

func TestAPeerIsARouteForEachFamily(t *testing.T) {
	for families, want := range map[nativetest.Families]string{
		nativetest.OnlyV4: "ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0 metric 12808 proto 111\n",
		nativetest.OnlyV6: "ip route add fd50:0:0:7::/64 via 2001:db8::7 dev eth0 proto 111\n",
		nativetest.Dual: "ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0 metric 12808 proto 111\n" +
			"ip route add fd50:0:0:7::/64 via 2001:db8::7 dev eth0 proto 111\n",
	} {
		t.Run(families.String(), func(t *testing.T) {
			objects, err := Plan{}.Peer(families.Node("host-gw", 1), new(nativetest.Dual.Lease("host-gw", 7, "", "")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, nativetest.Text(objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANodeTellsNothingAndNeedsNothing(t *testing.T) {
	n := nativetest.Dual.Node("host-gw", 1)
	data, err := Plan{}.Data(n)
	if data.V4 != nil || data.V6 != nil || err != nil {
		t.Errorf("tells %s, %s, %v", data.V4, data.V6, err)
	}
	objects, err := Plan{}.Node(n)
	if len(objects) != 0 || err != nil {
		t.Errorf("needs %v, %v", objects, err)
	}
}

func TestAPeerThatIsNowhereOrHereIsRefused(t *testing.T) {
	n := nativetest.OnlyV4.Node("host-gw", 1)
	nowhere, here := nativetest.OnlyV4.Lease("host-gw", 7, "", ""), nativetest.OnlyV4.Lease("host-gw", 7, "", "")
	nowhere.V4.PublicIP = n.Lease.V6.PublicIP
	here.V4.PublicIP = n.Lease.V4.PublicIP
	if _, err := (Plan{}).Peer(n, &nowhere); err == nil || err.Error() != "its lease has no public IPv4 address" {
		t.Errorf("nowhere: %v", err)
	}
	if _, err := (Plan{}).Peer(n, &here); err == nil || err.Error() != "its public address 192.0.2.1 is this node's own" {
		t.Errorf("here: %v", err)
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	if _, err := Parse([]byte(`{"type": "host-gw"}`)); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(`{"Type": "host-gw", "MTU": 1400}`)); err == nil || !strings.HasPrefix(err.Error(), `1:21: unknown key "MTU"`) {
		t.Errorf("got %v", err)
	}
}
