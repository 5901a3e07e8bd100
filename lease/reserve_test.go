package lease_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/leasetest"
)

func parseNetwork(t *testing.T, text string) lease.Network {
	t.Helper()
	n, err := lease.ParseNetwork([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// named is a reservation of the IPv4 subnet for a node with an address, an identity, or both.
func named(subnet, publicIP, nodeID string) lease.Lease {
	l := lease.Lease{V4: lease.Path{Subnet: netip.MustParsePrefix(subnet)}, NodeID: nodeID}
	if publicIP != "" {
		l.V4.PublicIP = netip.MustParseAddr(publicIP)
	}
	return l
}

func TestReserve(t *testing.T) {
	n := parseNetwork(t, `{"Network":"10.5.0.0/16","Backend":{"Type":"alloc"}}`)
	live := named("10.5.1.0/24", "192.0.2.1", "one")
	live.BackendType, live.V4.Data = "vxlan", []byte(`{"VNI":1}`)
	turned := live
	turned.V4.PublicIP = netip.MustParseAddr("192.0.2.9")
	for _, test := range []struct {
		name string
		ask  lease.Lease
		want lease.Lease
		err  string
	}{
		{"a free subnet by address", named("10.5.9.0/24", "192.0.2.9", ""), named("10.5.9.0/24", "192.0.2.9", ""), ""},
		{"a free subnet by identity", named("10.5.9.0/24", "", "nine"), named("10.5.9.0/24", "", "nine"), ""},
		{"the node's own lease by identity", named("10.5.1.0/24", "", "one"), live, ""},
		{"the node's own lease by address", named("10.5.1.0/24", "192.0.2.1", ""), live, ""},
		{"the node's own lease with another address", named("10.5.1.0/24", "192.0.2.9", "one"), turned, ""},
		{"a lease of flannel's by address", named("10.5.2.0/24", "192.0.2.2", "two"), named("10.5.2.0/24", "192.0.2.2", "two"), ""},
		{"another node's lease", named("10.5.1.0/24", "192.0.2.9", ""), lease.Lease{}, `reserve 10.5.1.0/24: subnet is taken by the node "one" at 192.0.2.1`},
		{"another node's lease behind the same address", named("10.5.1.0/24", "192.0.2.1", "nine"), lease.Lease{}, `by the node "one"`},
		{"a lease of flannel's by identity alone", named("10.5.2.0/24", "", "two"), lease.Lease{}, "by the node at 192.0.2.2"},
		{"another's reservation", named("10.5.3.0/24", "192.0.2.9", ""), lease.Lease{}, "by a reservation for the node at 192.0.2.3"},
		{"the place of garbage", named("10.5.4.0/24", "192.0.2.9", ""), lease.Lease{}, "by what is no lease"},
		{"a subnet of another network", named("10.6.1.0/24", "192.0.2.9", ""), lease.Lease{}, "reserve 10.6.1.0/24: not from 10.5.1.0 to 10.5.255.0"},
		{"a subnet of another length", named("10.5.9.0/25", "192.0.2.9", ""), lease.Lease{}, "reserve 10.5.9.0/25: the network's subnets have 24 bits"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			m := leasetest.NewMemory()
			if _, err := m.Create(t.Context(), lease.Snapshot{Revision: 1}, time.Hour, live); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Create(t.Context(), lease.Snapshot{Revision: 2}, time.Hour, named("10.5.2.0/24", "192.0.2.2", "")); err != nil {
				t.Fatal(err)
			}
			m.Put("10.5.3.0-24", `{"PublicIP":"192.0.2.3"}`)
			m.Put("10.5.4.0-24", "garbage")
			r, err := lease.Reserve(t.Context(), m, n, test.ask)
			switch {
			case test.err != "":
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want it to say %q", err, test.err)
				}
			case err != nil:
				t.Error(err)
			case !r.Reserved() || !r.Equal(test.want):
				t.Errorf("got %+v, want a reservation %+v", r, test.want)
			}
		})
	}
}

func TestAReservationIsTakenByItsNodeAndNoOther(t *testing.T) {
	n := parseNetwork(t, `{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.2.0"}`)
	m := leasetest.NewMemory()
	if _, err := lease.Reserve(t.Context(), m, n, named("10.5.1.0/24", "", "one")); err != nil {
		t.Fatal(err)
	}
	for _, node := range []struct{ id, want string }{{"two", "10.5.2.0/24"}, {"one", "10.5.1.0/24"}} {
		manager := lease.NewManager(m, n, lease.ManagerOptions{NodeID: node.id, Previous: []netip.Prefix{netip.MustParsePrefix("10.5.1.0/24")}})
		got, err := manager.Acquire(t.Context(), lease.Lease{V4: lease.Path{PublicIP: netip.MustParseAddr("192.0.2.1")}})
		if err != nil || got.String() != node.want {
			t.Errorf("node %s got %s, %v, want %s", node.id, got, err, node.want)
		}
	}
}

func TestReserveReportsTheStoresTrouble(t *testing.T) {
	broken := errors.New("broken")
	m := leasetest.NewMemory()
	m.Break(broken)
	n := parseNetwork(t, `{"Network":"10.5.0.0/16"}`)
	if _, err := lease.Reserve(t.Context(), m, n, named("10.5.1.0/24", "", "one")); !errors.Is(err, broken) {
		t.Errorf("got %v, want the store's error", err)
	}
}

func TestAudit(t *testing.T) {
	v4 := parseNetwork(t, `{"Network":"10.5.0.0/16"}`)
	both := parseNetwork(t, `{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fc00::/48"}`)
	for _, test := range []struct {
		name    string
		network lease.Network
		entries map[string]string
		want    []lease.Finding
	}{
		{"nothing is wrong with no leases", v4, nil, nil},
		{"neighbours are fine, and so are reservations", v4, map[string]string{
			"10.5.1.0-24": `{"PublicIP":"192.0.2.1"}`, "10.5.2.0-24": `{"PublicIP":"192.0.2.2","NodeID":"two"}`, "10.5.3.0-24": `{"NodeID":"three"}`,
		}, nil},
		{"what cannot be read is named", v4, map[string]string{"$(reboot)": "{}"}, []lease.Finding{
			{"unreadable", []string{"$(reboot)"}, `parse lease key: "$(reboot)" is not ADDRESS-LENGTH`},
		}},
		{"subnets of other networks, lengths and families are misplaced", v4, map[string]string{
			"10.5.0.0-24": "{}", "10.6.1.0-24": "{}", "10.5.1.0-25": "{}", "10.5.2.0-24&fc00:0:0:1::-64": "{}",
		}, []lease.Finding{
			{"misplaced", []string{"10.5.0.0-24"}, "10.5.0.0/24: not from 10.5.1.0 to 10.5.255.0"},
			{"misplaced", []string{"10.5.1.0-25"}, "10.5.1.0/25: the network's subnets have 24 bits, and none after them"},
			{"misplaced", []string{"10.5.2.0-24&fc00:0:0:1::-64"}, "fc00:0:0:1::/64: the network has no IPv6"},
			{"misplaced", []string{"10.6.1.0-24"}, "10.6.1.0/24: not from 10.5.1.0 to 10.5.255.0"},
		}},
		{"a family that is left out is missed", both, map[string]string{"10.5.1.0-24": "{}"}, []lease.Finding{
			{"misplaced", []string{"10.5.1.0-24"}, "no IPv6 subnet, and the network has fc00::/48"},
		}},
		{"overlaps are found in both families, of any length, and under garbage", both, map[string]string{
			"10.5.1.0-24&fc00:0:0:1::-64": `{}`, "10.5.2.0-24&fc00:0:0:1::-64": `{}`, "10.5.3.0-24&fc00:0:0:3::-64": `{}`, "10.5.3.0-24": "garbage",
		}, []lease.Finding{
			{"unreadable", []string{"10.5.3.0-24"}, "parse lease: invalid character 'g' looking for beginning of value"},
			{"overlap", []string{"10.5.3.0-24&fc00:0:0:3::-64", "10.5.3.0-24"}, "10.5.3.0/24 is held twice"},
			{"overlap", []string{"10.5.1.0-24&fc00:0:0:1::-64", "10.5.2.0-24&fc00:0:0:1::-64"}, "fc00:0:0:1::/64 is held twice"},
		}},
		{"a wide lease overlaps all that lie in it", parseNetwork(t, `{"Network":"10.5.0.0/16","SubnetLen":23}`), map[string]string{
			"10.5.2.0-23": "{}", "10.5.2.0-24": "{}", "10.5.3.0-24": "{}",
		}, []lease.Finding{
			{"misplaced", []string{"10.5.2.0-24"}, "10.5.2.0/24: the network's subnets have 23 bits, and none after them"},
			{"misplaced", []string{"10.5.3.0-24"}, "10.5.3.0/24: the network's subnets have 23 bits, and none after them"},
			{"overlap", []string{"10.5.2.0-23", "10.5.2.0-24"}, "10.5.2.0/24 lies in 10.5.2.0/23"},
			{"overlap", []string{"10.5.2.0-23", "10.5.3.0-24"}, "10.5.3.0/24 lies in 10.5.2.0/23"},
		}},
		{"one address and one node have one lease", v4, map[string]string{
			"10.5.1.0-24": `{"PublicIP":"192.0.2.1","NodeID":"one"}`, "10.5.2.0-24": `{"PublicIP":"192.0.2.1","NodeID":"two"}`,
			"10.5.3.0-24": `{"PublicIP":"192.0.2.3","NodeID":"one"}`,
		}, []lease.Finding{
			{"same public address", []string{"10.5.1.0-24", "10.5.2.0-24"}, "192.0.2.1 has 2 leases"},
			{"same node", []string{"10.5.1.0-24", "10.5.3.0-24"}, "one has 2 leases"},
		}},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			m := leasetest.NewMemory()
			for key, value := range test.entries {
				if value == "{}" { // of a node of its own
					value = fmt.Sprintf(`{"NodeID":%q}`, key)
				}
				m.Put(key, value)
			}
			s, err := m.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(lease.Audit(test.network, s, nil), test.want); d != "" {
				t.Errorf("findings (-got +want)\n%s", d)
			}
		})
	}
}

// Somebody may follow flannel's recipe for reservations without a look at who has the subnet.
func TestAReservationOverALiveLeaseWaitsUntilItsNodeHasMadeWay(t *testing.T) {
	inWorld(t, "", func(w *world) {
		b := w.manager("b")
		own := w.acquire(b, node(2))
		cut := make(chan error)
		go func() { cut <- b.Hold(w.Context()) }() // nobody watches, so it notices late
		synctest.Wait()
		w.store.Put(own.Key(), `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
		if w.try(w.manager("a"), node(1), time.Hour) {
			w.Error("a took it while b had it")
		}
		w.logged("the node that had the subnet before has not given it up")
		if err := <-cut; !errors.Is(err, lease.ErrLost) {
			w.Errorf("b holds it, and ended with %v", err)
		}
		if w.try(w.manager("a"), node(1), time.Minute) {
			w.Error("a took it before b was done with it")
		}
		if now := w.acquire(b, node(2)); now.Key() == own.Key() {
			w.Errorf("b has %s again", now)
		}
		if got := w.acquire(w.manager("a"), node(1)); got.Key() != own.Key() {
			w.Errorf("a got %s, want %s", got, own)
		}
	})
}

func TestAuditFindsLeasesWithoutANode(t *testing.T) {
	inWorld(t, "", func(w *world) {
		w.store.Put("10.3.3.0-24", "{}")
		own := w.acquire(w.manager("a"), node(1))
		flannels := w.acquire(w.manager(""), node(2))
		orphans := func() (keys []string) {
			s, err := w.store.Load(w.Context())
			if err != nil {
				w.Fatal(err)
			}
			expiries, err := w.store.Expiries(w.Context(), s.List()...)
			if err != nil {
				w.Fatal(err)
			}
			for _, f := range lease.Audit(w.network, s, expiries) {
				keys = append(keys, f.Kind+" "+f.Keys[0])
			}
			return keys
		}
		time.Sleep(15 * time.Hour)
		if d := cmp.Diff(orphans(), []string{"orphan 10.3.3.0-24"}); d != "" {
			w.Errorf("after 15 h (-got +want)\n%s", d)
		}
		time.Sleep(2 * time.Hour)
		if d := cmp.Diff(orphans(), []string{"orphan " + own.Key(), "orphan 10.3.3.0-24"}); d != "" {
			w.Errorf("after 17 h, with %s of flannel's (-got +want)\n%s", flannels, d)
		}
	})
}
