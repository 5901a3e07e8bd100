package hooks

import (
	"net/netip"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

// telling is Leases that say that the node is reached at an address.
type telling struct {
	Leases
	at netip.Addr
}

func (l telling) Own() lease.Lease { return lease.Lease{V4: lease.Path{PublicIP: l.at}} }

func TestHooksSeeTheAddressThatTheLeaseSaysByNow(t *testing.T) {
	before, now := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	node := Node{Interface: "eth0", Lease: lease.Lease{V4: lease.Path{PublicIP: before}}}
	for _, test := range []struct {
		name   string
		leases Leases
		want   netip.Addr
	}{{"leases that tell", telling{at: now}, now}, {"leases that do not", nil, before}} {
		r := runner{Options: Options{Leases: test.leases}}
		if got := r.current(node); got.Lease.V4.PublicIP != test.want || got.Interface != "eth0" {
			t.Errorf("%s: got %+v, want it at %s", test.name, got, test.want)
		}
	}
}
