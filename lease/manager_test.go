package lease_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

func TestARestartedNodeKeepsItsSubnet(t *testing.T) {
	inWorld(t, "", func(w *world) {
		first := w.acquire(w.manager("a"), node(1))
		moved := node(9) // another address and other data
		moved.V4.Data = []byte(`"other"`)
		second := w.acquire(w.manager("a"), moved)
		if second.V4.Subnet != first.V4.Subnet || second.V4.PublicIP != moved.V4.PublicIP || string(second.V4.Data) != `"other"` {
			w.Errorf("got %+v after %+v", second, first)
		}
		w.holds(first.Key() + " a")
	})
}

func TestANodeReturnsToItsEarlierSubnetAfterItsLeaseExpired(t *testing.T) {
	for _, subnet := range []string{"10.3.1.0/24", "10.3.2.0/24", "10.3.3.0/24", "10.3.4.0/24"} {
		inWorld(t, "", func(w *world) {
			if got := w.acquire(w.manager("a", prefix(subnet)), node(1)); got.V4.Subnet != prefix(subnet) {
				w.Errorf("got %s, want %s", got, subnet)
			}
		})
	}
}

func TestAnEarlierSubnetThatIsHeldByAnotherIsLeftAlone(t *testing.T) {
	inWorld(t, "", func(w *world) {
		a := w.acquire(w.manager("a"), node(1))
		b := w.acquire(w.manager("b", a.V4.Subnet), node(2))
		if b.V4.Subnet == a.V4.Subnet {
			w.Errorf("both nodes got %s", a)
		}
	})
}

func TestALeaseThatFlannelLeftIsTakenOver(t *testing.T) {
	inWorld(t, "", func(w *world) {
		flannel := w.manager("")
		got := w.acquire(flannel, node(1))
		w.acquire(flannel, node(2))
		if mine := w.acquire(w.manager("a"), node(1)); mine.V4.Subnet != got.V4.Subnet {
			w.Errorf("got %s, want flannel's %s", mine, got)
		}
	})
}

func TestALeaseOfAnotherIdentityIsNotTakenOver(t *testing.T) {
	inWorld(t, "", func(w *world) {
		a := w.acquire(w.manager("a"), node(1))
		if b := w.acquire(w.manager("b"), node(1)); b.V4.Subnet == a.V4.Subnet {
			w.Errorf("a node with the same public address took %s over", a)
		}
	})
}

func TestAReservationIsUsedAndStays(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Put("10.3.3.0-24", `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
		m := w.manager("a")
		if got := w.acquire(m, node(1)); got.V4.Subnet != prefix("10.3.3.0/24") {
			w.Errorf("got %s, want the reserved subnet", got)
		}
		w.holds("10.3.3.0-24 a*")
		stop := w.holding(m, ignore)
		time.Sleep(72 * time.Hour)
		if err := stop(); !errors.Is(err, context.Canceled) {
			w.Errorf("hold: %v", err)
		}
		if err := m.Release(w.Context()); err != nil {
			w.Error(err)
		}
		w.holds("10.3.3.0-24 a*")
	})
}

func TestAReservationThatDoesNotFitIsNeitherUsedNorDeleted(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Put("10.9.3.0-24", `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
		if w.try(w.manager("a"), node(1), time.Minute) {
			w.Error("acquired")
		}
		w.holds("10.9.3.0-24 *")
		w.logged("10.9.3.0-24", "does not fit the network")
	})
}

func TestALeaseThatDoesNotFitIsGivenBack(t *testing.T) {
	inWorld(t, "", func(w *world) {
		old := w.acquire(w.manager("a"), node(1))
		w.network, _ = lease.ParseNetwork([]byte(`{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0","IPv6Network":"fc00::/48"}`))
		both := w.acquire(w.manager("a"), node(1))
		if both.V4.Subnet != old.V4.Subnet || !w.network.V6.Contains(both.V6.Subnet) {
			w.Errorf("turning IPv6 on: got %s after %s, want the IPv4 subnet to stay", both, old)
		}
		w.holds(both.Key() + " a")
		w.network, _ = lease.ParseNetwork([]byte(`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48"}`))
		six := w.acquire(w.manager("a"), node(1))
		if six.V6.Subnet != both.V6.Subnet || six.V4.Subnet.IsValid() {
			w.Errorf("turning IPv4 off: got %+v after %s", six, both)
		}
		w.holds(six.Key() + " a")
	})
}

func TestIPv6AloneTellsNodesApart(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.network, _ = lease.ParseNetwork([]byte(`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48"}`))
		a, b := w.acquire(w.manager(""), node(1)), w.acquire(w.manager(""), node(2))
		if a.Key() == b.Key() {
			w.Errorf("both got %s", a)
		}
		if again := w.acquire(w.manager("a"), node(1)); again.Key() != a.Key() {
			w.Errorf("got %s, want %s by its public address", again, a)
		}
	})
}

func TestNodesThatStartAtOnceAllGetASubnet(t *testing.T) {
	for _, more := range []string{"", `,"EnableIPv6":true,"IPv6Network":"fc00::/124"`} { // three IPv6 subnets
		inWorld(t, more, func(w *world) {
			n := 4
			if more != "" {
				n = 3
			}
			results := make(chan lease.Lease, n)
			for i := range n {
				go func() {
					got, err := w.manager(fmt.Sprint("node", i)).Acquire(w.Context(), node(byte(i+1)))
					if err != nil {
						w.Error(err)
					}
					results <- got
				}()
			}
			seen := map[netip.Prefix]bool{}
			for range n {
				for p := range (<-results).Paths() {
					if seen[p.Subnet] {
						w.Errorf("%s went to two nodes", p.Subnet)
					}
					seen[p.Subnet] = true
				}
			}
		})
	}
}

func TestAFullNetworkIsWaitedFor(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Put("10.3.1.0-24", `{"PublicIP":"192.0.2.100"}`)
		w.store.Put("10.3.2.0-24", `garbage`)
		for i := range byte(2) {
			w.acquire(w.manager(string('a'+rune(i))), node(i+1))
		}
		late := w.manager("late")
		if w.try(late, node(9), time.Hour) {
			w.Error("acquired from a full network")
		}
		w.logged("no free subnet: all 4 from 10.3.1.0/24 to 10.3.4.0 are taken by 4 leases, 1 of them reservations, and 0 expire within 1h0m0s unless renewed")
		if n := strings.Count(w.log.String(), "no free subnet"); n != 1 {
			w.Errorf("logged %d times, want once", n)
		}
		if !w.try(late, node(9), 24*time.Hour) { // the leases that nobody holds expire
			w.Error("not acquired after others expired")
		}
	})
}

func TestAStoreThatIsDownIsWaitedFor(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Break(errors.New("nobody there"))
		m := w.manager("a")
		if w.try(m, node(1), time.Hour) {
			w.Error("acquired from a store that is down")
		}
		if n := strings.Count(w.log.String(), "nobody there"); n != 1 {
			w.Errorf("logged %d times, want once", n)
		}
		time.AfterFunc(time.Minute, func() { w.store.Break(nil) })
		w.acquire(m, node(1))
		w.logged("acquire lease: works again")
	})
}

func TestReleaseGivesTheSubnetBack(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		if err := m.Release(w.Context()); err != nil {
			w.Errorf("nothing to release: %v", err)
		}
		own := w.acquire(m, node(1))
		w.store.Put("10.3.9.0-24", `{"PublicIP":"192.0.2.9"}`)
		if err := m.Release(w.Context()); err != nil {
			w.Error(err)
		}
		w.holds("10.3.9.0-24 *")
		w.acquire(m, node(1))
		w.store.Put(own.Key(), `{"PublicIP":"192.0.2.99"}`)
		if err := m.Release(w.Context()); err != nil {
			w.Errorf("lost already: %v", err)
		}
	})
}

func TestDataThatIsNotJSONIsRefused(t *testing.T) {
	inWorld(t, "", func(w *world) {
		want := node(1)
		want.V4.Data = []byte("aa:bb:cc")
		if l, err := w.manager("a").Acquire(w.Context(), want); err == nil {
			w.Errorf("got %v, want an error", l)
		}
		w.holds()
	})
}

func TestSubnetsStayWhenTheNetworkGivesAwayOthers(t *testing.T) {
	for name, change := range map[string]string{
		"another range":                `{"Network":"10.3.0.0/16","SubnetMin":"10.3.8.0","SubnetMax":"10.3.9.0"}`,
		"larger ones":                  `{"Network":"10.3.0.0/16","SubnetLen":22}`,
		"smaller ones":                 `{"Network":"10.3.0.0/16","SubnetLen":26,"SubnetMax":"10.3.2.0"}`,
		"IPv6 too":                     `{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0","IPv6Network":"fc00::/48"}`,
		"IPv6 too, and from elsewhere": `{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMin":"10.3.9.0","IPv6Network":"fc00::/48"}`,
		"a network around the old one": `{"Network":"10.0.0.0/8"}`,
		"IPv6 too, and none is left":   `{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0","IPv6Network":"fc00::/62"}`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inWorld(t, "", func(w *world) {
				var before []lease.Lease
				for i := range byte(4) { // all there are
					before = append(before, w.acquire(w.manager(fmt.Sprint(i)), node(i)))
				}
				w.network = parseNetwork(t, change)
				for i := range byte(4) {
					now := w.manager(fmt.Sprint(i))
					if !w.try(now, node(i), time.Minute) {
						if name != "IPv6 too, and none is left" {
							w.Errorf("node %d has none", i)
						}
						continue
					}
					if got := now.Own(); got.V4.Subnet != before[i].V4.Subnet || got.V6.Subnet.IsValid() != (w.network.V6.Size() > 0) {
						w.Errorf("node %d had %s, and has %s", i, before[i], got)
					}
				}
				s, err := w.store.Load(w.Context())
				if err != nil || s.Records.Len() != 4 {
					w.Errorf("the store holds %v, %v", s.Records, err)
				}
				late := w.manager("late")
				if name != "IPv6 too" && name != "IPv6 too, and none is left" && !w.try(late, node(9), time.Minute) {
					w.Error("no subnet is left for one more")
				} else if l := late.Own(); l.String() != "" && !w.network.V4.Contains(l.V4.Subnet) {
					w.Errorf("a new node got %s", l)
				}
			})
		})
	}
}
