package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// awaitPeer waits until the node says that the peer is in the state, with that in its error.
func (w *world) awaitPeer(n, peer *cluster.Node, state hooks.PeerState, why string) (p control.Peer) {
	w.Helper()
	w.await(n, func(s control.Status) error {
		for _, p = range s.Peers {
			if control.Lease(p.Paths).String() != peer.Subnets() {
				continue
			}
			if p.State != state || !strings.Contains(p.Error, why) {
				return fmt.Errorf("%s is %s (%s) there, want %s (%s)", peer, p.State, p.Error, state, why)
			}
			return nil
		}
		return fmt.Errorf("it has no peer %s", peer)
	})
	return p
}

func TestAPeerThatFallsSilentIsUnreachable(t *testing.T) {
	t.Parallel()
	tools(t, "nft", "ip")
	for _, backend := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, network(onlyV4, fmt.Sprintf(`{"Type": %q}`, backend)), 3)
			nodes := w.Nodes()
			for _, n := range nodes {
				n.Args = append(n.Args, "--probe-interval", "100ms")
			}
			w.up(nodes...)
			w.reach(nodes...)
			looks, silent, other := nodes[0], nodes[1], nodes[2]
			w.await(looks, func(s control.Status) error {
				for _, p := range s.Peers {
					if p.Reach == nil || p.Reach.RoundTrip <= 0 {
						return fmt.Errorf("no round trip is known to %s", control.Lease(p.Paths))
					}
				}
				return nil
			})
			damage, mend := "ip link set eth0 down", "ip link set eth0 up"
			if backend == "vxlan" { // the node answers, and its tunnel does not
				damage, mend = "nft add table inet test && nft 'add chain inet test in {type filter hook input priority 0;}' && nft add rule inet test in udp dport 8472 drop", "nft delete table inet test"
			}
			_, err := silent.Shell(damage)
			must(t, err)
			w.awaitPeer(looks, silent, hooks.PeerUnreachable, "overlayd ping "+silent.Subnets())
			w.awaitPeer(looks, other, hooks.PeerUp, "")
			if text := w.status(looks); !strings.Contains(text, "unreachable") || !strings.Contains(text, "degraded") {
				t.Errorf("overlayd status says\n%s", text)
			}
			_, err = silent.Shell(mend)
			must(t, err)
			w.awaitPeer(looks, silent, hooks.PeerUp, "")
		})
	}
}

// A node does not ask where it is told not to, and a lease that the backend cannot serve is set aside.
func TestAPeerWithoutItsDataIsSetAside(t *testing.T) {
	t.Parallel()
	tools(t, "script")
	w := newWorld(t, network(onlyV4, `{"Type": "vxlan"}`), 2)
	nodes := w.Nodes()
	nodes[0].Args = append(nodes[0].Args, "--probe-interval", "0")
	w.up(nodes...)
	w.put(subnetsKey+"10.50.250.0-24", `{"PublicIP": "192.0.2.250", "BackendType": "vxlan"}`)
	w.await(nodes[0], func(s control.Status) error {
		for _, p := range s.Peers {
			if p.State == hooks.PeerSetAside && p.Error != "" && !p.NextTry.IsZero() {
				return nil
			}
		}
		return fmt.Errorf("its peers are %+v", s.Peers)
	})
	if text := w.status(nodes[0]); !strings.Contains(text, "set aside") || !strings.Contains(text, "next try in") || strings.Contains(text, "\x1b") {
		t.Errorf("overlayd status says\n%s", text)
	}
	for env, want := range map[string]bool{"TERM=xterm": true, "TERM=xterm NO_COLOR=1": false, "TERM=dumb": false} {
		text, err := nodes[0].Shell("env " + env + " script -qec 'overlayd status' /dev/null")
		if must(t, err); strings.Contains(text, "\x1b[31mset aside") != want || !strings.Contains(text, "set aside") {
			t.Errorf("on a terminal, with %s, overlayd status says\n%q", env, text)
		}
	}
}
