package lease_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

const bothFamilies = `,"EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetMax":"fc00:0:0:4::"`

func TestSubnetsOfBothFamiliesGoTogether(t *testing.T) {
	inWorld(t, bothFamilies, func(w *world) {
		for i := range byte(4) {
			l := w.acquire(w.manager(fmt.Sprint("node", i)), node(i+1))
			if l.V4.Subnet.Addr().As4()[2] != l.V6.Subnet.Addr().As16()[7] {
				w.Errorf("got %s, want subnets of one index", l)
			}
		}
	})
}

func TestFreeSubnetsOfDifferentIndexAreUsedToo(t *testing.T) {
	inWorld(t, bothFamilies, func(w *world) {
		for _, key := range []string{"10.3.1.0-24", "10.3.2.0-24", "10.3.3.0-24", "0.0.0.0-0&fc00:0:0:4::-64"} {
			w.store.Put(key, `{}`)
		}
		if l := w.acquire(w.manager("a"), node(1)); l.V4.Subnet != prefix("10.3.4.0/24") {
			w.Errorf("got %s", l)
		}
	})
}

func TestWhatANodeHadIsKeptFamilyByFamily(t *testing.T) {
	for _, test := range []struct {
		name, taken string
		had         []netip.Prefix
		v4, v6      string // "" for any
	}{
		{"both", "", []netip.Prefix{prefix("10.3.2.0/24"), prefix("fc00:0:0:3::/64")}, "10.3.2.0/24", "fc00:0:0:3::/64"},
		{"IPv4, with the IPv6 subnet of its index", "", []netip.Prefix{prefix("10.3.2.0/24")}, "10.3.2.0/24", "fc00:0:0:2::/64"},
		{"IPv4, though that is taken", "0.0.0.0-0&fc00:0:0:2::-64", []netip.Prefix{prefix("10.3.2.0/24")}, "10.3.2.0/24", ""},
		{"IPv6", "", []netip.Prefix{prefix("fc00:0:0:3::/64")}, "10.3.3.0/24", "fc00:0:0:3::/64"},
		{"IPv6, though IPv4 is taken", "10.3.2.0-24", []netip.Prefix{prefix("10.3.2.0/24"), prefix("fc00:0:0:2::/64")}, "", "fc00:0:0:2::/64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inWorld(t, bothFamilies, func(w *world) {
				if test.taken != "" {
					w.store.Put(test.taken, `{}`)
				}
				l := w.acquire(w.manager("a", test.had...), node(1))
				for _, half := range []struct {
					got  netip.Prefix
					want string
				}{{l.V4.Subnet, test.v4}, {l.V6.Subnet, test.v6}} {
					if half.want != "" && half.got != prefix(half.want) {
						w.Errorf("got %s, want %s", l, half.want)
					}
				}
			})
		})
	}
}

func TestALeaseThatMeetsAnOlderOneIsGivenBackAtTheNextStart(t *testing.T) {
	inWorld(t, bothFamilies, func(w *world) {
		own := w.acquire(w.manager("a"), node(1))
		other := lease.Lease{V4: lease.Path{Subnet: prefix("10.3.200.0/24")}, V6: own.V6}
		w.store.Put(other.Key(), `{}`)
		if again := w.acquire(w.manager("a"), node(2)); again.Key() != own.Key() { // which is written after the other's
			w.Errorf("got %s, want %s, which is the older", again, own)
		}
		if next := w.acquire(w.manager("a"), node(2)); next.V4.Subnet != own.V4.Subnet || next.V6.Subnet == own.V6.Subnet {
			w.Errorf("got %s after %s, want the IPv4 subnet alone to stay", next, own)
		}
	})
}

func TestALostLeasesFreeHalfIsKept(t *testing.T) {
	inWorld(t, bothFamilies, func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		stop := w.holding(m, ignore)
		w.store.Break(errors.New("nobody there"))
		w.store.Remove(own.Key())
		thief := lease.Lease{V6: own.V6}
		w.store.Put(thief.Key(), `{}`)
		w.store.Break(nil)
		time.Sleep(time.Minute)
		if err := stop(); !errors.Is(err, lease.ErrLost) {
			w.Errorf("hold: got %v, want ErrLost", err)
		}
		if next := w.acquire(m, node(1)); next.V4.Subnet != own.V4.Subnet || next.V6.Subnet == own.V6.Subnet {
			w.Errorf("got %s after %s, want the IPv4 subnet to stay", next, own)
		}
	})
}
