package lease_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// The tests named TestDefect, here and in other packages, and the script defect-12 of package hooks, show that a node does not do
// what flannel v0.28 does, which is said above each.

// A first list or a first look at the own lease that failed was not tried again: the node stayed without peers, or its
// lease expired.
func TestDefect02WhatFailsAtFirstIsTriedAgain(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		w.store.Put("10.3.9.0-24", `{"PublicIP":"192.0.2.9"}`)
		w.store.Break(errors.New("nobody there"))
		var s seen
		stop := w.holding(m, s.set)
		time.Sleep(time.Hour)
		w.store.Break(nil)
		time.Sleep(time.Minute)
		s.want(w.T, "10.3.9.0/24")
		time.Sleep(72 * time.Hour)
		w.holds(own.Key()+" a", "10.3.9.0-24 *")
		stop()
	})
}

// The second snapshot made of the own subnet a peer that had left, for which hooks were run.
func TestDefect03TheOwnSubnetIsNeverAPeer(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a", prefix("10.3.1.0/24"))
		own := w.acquire(m, node(1))
		stop := w.holding(m, func(peers []lease.Lease) {
			for _, p := range peers {
				if p.V4.Subnet.Overlaps(own.V4.Subnet) {
					w.Errorf("told of the own subnet: %s", p)
				}
			}
		})
		for i, again := range []func(){
			func() { w.store.Break(errors.New("nobody there")); synctest.Wait(); w.store.Break(nil) },
			func() { w.store.Remove(own.Key()) },
			func() { w.store.Put(own.Key(), `{"PublicIP":"192.0.2.1"}`) },
			func() { w.store.Put(own.Key()+"&fc00::-64", `{"PublicIP":"192.0.2.9"}`) },
		} {
			w.store.Put(fmt.Sprintf("10.3.%d.0-24", 10+i), `{"PublicIP":"192.0.2.9"}`)
			again()
			time.Sleep(time.Minute)
		}
		stop()
	})
}

// Turning IPv6 on deleted every IPv4 lease, and then panicked.
func TestDefect05TurningIPv6OnKeepsIPv4Subnets(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Put("10.3.4.0-24", `{"PublicIP":"192.0.2.9","PublicIPv6":null}`)
		ours, flannels := w.acquire(w.manager("a"), node(1)), w.acquire(w.manager(""), node(2))
		w.network, _ = lease.ParseNetwork([]byte(`{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0","IPv6Network":"fc00::/48"}`))
		a, b := w.acquire(w.manager("a"), node(1)), w.acquire(w.manager("b"), node(2))
		if a.V4.Subnet != ours.V4.Subnet || b.V4.Subnet != flannels.V4.Subnet {
			w.Errorf("got %s and %s after %s and %s", a, b, ours, flannels)
		}
		s, _ := w.store.Load(w.Context())
		if s.Records.Len() != 3 {
			w.Errorf("got %v, want the lease of IPv4 alone among three", s.List())
		}
	})
}

// With IPv6 alone, all nodes had the public address 0.0.0.0, by which the second took the first one's lease over.
func TestDefect06NodesOfIPv6AloneHaveLeasesOfTheirOwn(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.network, _ = lease.ParseNetwork([]byte(`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fc00::/48"}`))
		w.store.Put("0.0.0.0-0&fc00:0:0:7::-64", `{"PublicIP":"0.0.0.0","PublicIPv6":null}`)
		a, b := w.acquire(w.manager("a"), node(1)), w.acquire(w.manager("b"), node(2))
		if a.V6.Subnet == b.V6.Subnet || a.V6.Subnet == prefix("fc00:0:0:7::/64") || b.V6.Subnet == prefix("fc00:0:0:7::/64") {
			w.Errorf("got %s and %s beside fc00:0:0:7::/64", a, b)
		}
	})
}

// Losing a race for a subnet ended the daemon.
func TestDefect08ALostRaceIsRunAgain(t *testing.T) {
	inWorld(t, "", func(w *world) {
		all := make(chan error, 4)
		for i := range byte(4) { // for four subnets, all with the same wish
			go func() {
				_, err := w.manager(fmt.Sprint("node", i), prefix("10.3.1.0/24")).Acquire(w.Context(), node(i))
				all <- err
			}()
		}
		for range 4 {
			if err := <-all; err != nil {
				w.Error(err)
			}
		}
	})
}

// Only pairs of subnets were unique, so two nodes could have one IPv4 subnet beside different IPv6 subnets.
func TestDefect09NoIPv4SubnetGoesToTwoNodesOfBothFamilies(t *testing.T) {
	inWorld(t, `,"EnableIPv6":true,"IPv6Network":"fc00::/48"`, func(w *world) {
		all := make(chan lease.Lease, 4)
		for i := range byte(4) {
			go func() {
				l, err := w.manager(fmt.Sprint("node", i), prefix("10.3.1.0/24")).Acquire(w.Context(), node(i))
				if err != nil {
					w.Error(err)
				}
				all <- l
			}()
		}
		owner := map[netip.Prefix]lease.Lease{}
		for range 4 {
			l := <-all
			if o, twice := owner[l.V4.Subnet]; twice {
				w.Errorf("%s and %s", o, l)
			}
			owner[l.V4.Subnet] = l
		}
	})
}

// A renewal wrote over whoever had the subnet by then.
func TestDefect10ARenewalOverwritesNobody(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		w.store.Put(own.Key(), `{"PublicIP":"192.0.2.99","PublicIPv6":null}`)
		before, _ := w.store.Load(w.Context())
		if err := m.Hold(w.Context()); !errors.Is(err, lease.ErrLost) { // nobody watches
			w.Errorf("hold: got %v, want ErrLost", err)
		}
		if after, _ := w.store.Load(w.Context()); after.Revision != before.Revision {
			w.Errorf("written: revision %d, then %d", before.Revision, after.Revision)
		}
	})
}

// The backend in use without one in the config was not that of the documentation, and no subnet could be allocated from
// limits in the wrong order.
func TestDefect18ConfigsMeanWhatTheySay(t *testing.T) {
	n, err := lease.ParseNetwork([]byte(`{"Network":"10.3.0.0/16"}`))
	if err != nil || n.Backend.Type != "vxlan" {
		t.Errorf("without a backend: got %q, %v, want vxlan", n.Backend.Type, err)
	}
	_, err = lease.ParseNetwork([]byte(`{"Network":"10.3.0.0/16","SubnetMin":"10.3.9.0","SubnetMax":"10.3.8.0"}`))
	if want := "there is no subnet from 10.3.9.0 to 10.3.8.0"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("limits in the wrong order: got %v, want %q", err, want)
	}
}
