package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// Nodes that have addresses of one family alone carry the other's subnets over it.
func TestNodesOfOneFamilyCarryTheOthersSubnets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		families, backend, under string
		mtu                      int
	}{
		{onlyV4, `{"Type": "vxlan"}`, "6", 1430},
		{onlyV4, `{"Type": "vxlan", "DirectRouting": true}`, "6", 1500},
		{onlyV4, `{"Type": "host-gw"}`, "6", 1500},
		{onlyV4, `{"Type": "wireguard"}`, "6", 1420},
		{onlyV4, `{"Type": "wireguard", "Mode": "auto"}`, "6", 1420},
		{onlyV4, `{"Type": "extension", "SubnetAddCommand": "ip route add $SUBNET via ${PUBLIC_IP:-inet6 $PUBLIC_IPV6}"}`, "6", 1500},
		{onlyV6, `{"Type": "vxlan"}`, "4", 1450},
		{onlyV6, `{"Type": "wireguard"}`, "4", 1420},
		{dual, `{"Type": "vxlan"}`, "6", 1430},
		{dual, `{"Type": "host-gw"}`, "6", 1500},
		{dual, `{"Type": "wireguard"}`, "6", 1420},
	} {
		t.Run(string(network(tt.families, tt.backend))+" over IPv"+tt.under, func(t *testing.T) {
			t.Parallel()
			w := newWorldOn(t, network(tt.families, tt.backend), 5, tt.under)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			w.wantPaths(cluster.Pairs(nodes, nodes), func(cluster.Pair) int { return tt.mtu })
			if text := w.status(nodes[0]); strings.Contains(text, "0.0.0.0") || strings.Count(text, nodes[1].Address().String()) == 0 {
				t.Errorf("status says\n%s", text)
			}
		})
	}
}

// withoutIPv4 takes the nodes' IPv4 addresses on the underlay, which is the second one.
func (w *world) withoutIPv4(nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		_, err := n.Shell("ip address del " + netip.PrefixFrom(n.Addresses()[1], 24).String() + " dev eth0")
		must(w.T, err)
	}
}

// Of nodes with both families and nodes with IPv6 alone, each pair uses what both have.
func TestNodesOfBothFamiliesAndOfOneReachEachOther(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		backend   string
		mtu, over int // of the paths between nodes with IPv4, and of all others
	}{
		{`{"Type": "vxlan"}`, 1450, 1430},
		{`{"Type": "host-gw"}`, 1500, 1500},
		{`{"Type": "wireguard"}`, 1420, 1420},
	} {
		t.Run(tt.backend, func(t *testing.T) {
			t.Parallel()
			w := newWorldOn(t, network(onlyV4, tt.backend), 4, "6", "4")
			nodes := w.Nodes()
			both, six := nodes[:2], nodes[2:]
			w.withoutIPv4(six...)
			w.up(both...)
			w.reach(both...)
			if at := both[0].SubnetFile().MTU; at != tt.mtu {
				t.Errorf("MTU %d before there are nodes with IPv6 alone, want %d", at, tt.mtu)
			}
			unharmed := func(nodes []*cluster.Node, do func()) { w.wantNoLoss(w.unharmed(nodes, do)) }
			if tt.backend == `{"Type": "wireguard"}` && !makes(t, "wireguard") { // in userspace, it loses some whatever is done to a peer
				unharmed = func(_ []*cluster.Node, do func()) { do() }
			}
			unharmed(both, func() { // who tell both addresses from now on
				w.up(six...)
				w.reach(nodes...)
			})
			paths := func(p cluster.Pair) int {
				if p.From.Number() <= 2 && p.To.Number() <= 2 {
					return tt.mtu
				}
				return tt.over
			}
			w.wantPaths(cluster.Pairs(nodes, nodes), paths)
			w.await(both[0], func(s control.Status) error {
				if want := min(tt.mtu, tt.over); s.Node.MTU != want || s.Health.State != control.OK {
					return fmt.Errorf("it promises an MTU of %d, want %d, and its health is %+v", s.Node.MTU, want, s.Health)
				}
				return nil
			})
			if text := w.status(both[0]); !strings.Contains(text, both[0].Addresses()[0].String()) || !strings.Contains(text, both[0].Addresses()[1].String()) {
				t.Errorf("status tells not both addresses:\n%s", text)
			}
			by4 := both[1].Addresses()[1].String() // where a node without IPv4 does not reach it
			if text, err := six[0].Shell("overlayd explain " + by4); err != nil || !strings.Contains(text, both[1].Subnets()) {
				t.Errorf("explain %s: %v\n%s", by4, err, text)
			}
			unharmed(nodes, func() {
				must(t, both[0].Stop(w.ctx))
				w.up(both[0])
				w.awaitPeersUp(both[0], 3)
			})
			last := six[1]
			_, err := last.Shell("ip address add " + netip.PrefixFrom(last.Addresses()[1], 24).String() + " dev eth0")
			must(t, err)
			w.await(both[0], func(s control.Status) error {
				for _, p := range s.Peers {
					if p.Paths[0].PublicIP == last.Addresses()[1] && slices.Equal(p.AlsoAt, last.Addresses()[:1]) {
						return nil
					}
				}
				return fmt.Errorf("its peers are %+v", s.Peers)
			})
			w.reach(nodes...)
		})
	}
}

// Two nodes without a family in common are set aside by each other, with the reason, and nobody else is harmed.
func TestNodesWithoutAFamilyInCommonSaySo(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, network(onlyV4, fmt.Sprintf(`{"Type": %q}`, backend)), 2)
			w.put("/coreos.com/network/subnets/10.50.99.0-24", fmt.Sprintf(`{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::99",`+
				`"BackendType":"%s-over-ipv6","BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:99"},"NodeID":"far"}`, backend))
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			w.await(nodes[0], func(s control.Status) error {
				for _, p := range s.Peers {
					if p.NodeID == "far" && p.State == hooks.PeerSetAside && strings.Contains(p.Error, "no address family in common") {
						return nil
					}
				}
				return fmt.Errorf("its peers are %+v", s.Peers)
			})
			text := w.status(nodes[0])
			if !strings.Contains(text, "2001:db8::99") || strings.Contains(text, "0.0.0.0") {
				t.Errorf("status says\n%s", text)
			}
		})
	}
}

// flannel has no nodes without an IPv4 address. Its nodes pass over the leases of such, and go on.
func TestFlannelsNodesPassOverNodesWithoutAnIPv4Address(t *testing.T) {
	t.Parallel()
	for kind, keys := range map[string]string{"vxlan": "", "host-gw": "", "extension": `, "SubnetAddCommand": "ip route replace $SUBNET via $PUBLIC_IP"`} {
		backend := fmt.Sprintf(`{"Type": %q%s}`, kind, keys)
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorldOn(t, network(onlyV4, backend), 4, "6", "4")
			nodes := w.Nodes()
			theirs, both, six := nodes[:2], nodes[2], nodes[3]
			w.withoutIPv4(six)
			w.upAsFlannel(theirs...)
			w.up(both, six)
			w.answered(nodes[:3]...)
			if kind != "extension" { // whose command knows one family
				w.answered(both, six) // after which both tells its IPv6 address too
			}
			for _, n := range theirs {
				w.until(n.String()+" has read the lease", func() error {
					log, err := os.ReadFile(n.Log())
					if err == nil && !strings.Contains(string(log), "type="+kind+"-over-ipv6") {
						err = errors.New("it does not say that it passes it over")
					}
					return err
				})
				routes, err := n.Shell("ip route show table all; bridge fdb show; ip neigh show")
				if err != nil || strings.Contains(routes, strings.TrimSuffix(six.Subnets(), "0/24")) || strings.Contains(routes, "dst 0.0.0.0") {
					t.Errorf("%s has of it %v\n%s", n, err, routes)
				}
			}
			w.answered(nodes[:3]...)
		})
	}
}
