package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// effects is what the example's hooks have made in the node, as the real tools tell it.
func (w *world) effects(n *cluster.Node) string {
	w.Helper()
	text, err := n.Shell(`ip -4 route show table all | grep -v 'table local' | grep 10.50
		ip -o -4 addr | grep 10.50
		for l in $(ls /sys/class/net | grep flannel); do ip -o link show $l; ip neigh show dev $l nud permanent; done
		bridge fdb | grep dst
		command -v wg >/dev/null && wg show all allowed-ips
		true`)
	must(w.T, err)
	lines := strings.Split(individual.ReplaceAllString(text, "~"), "\n")
	slices.Sort(lines)
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// What differs from one link, or one key, to the next, and what is not overlayd's.
var individual = regexp.MustCompile(`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b|[A-Za-z0-9+/]{43}=|(?m)^\d+: |^.*pods0.*$`)

// tools skips the test where a program that it looks at the kernel with is not installed.
func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
}

func TestWhatSomebodyTakesAwayComesBack(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	for example, damages := range map[string][]string{
		"vxlan": {
			"ip route flush dev flannel-vxlan",
			"ip neigh flush dev flannel-vxlan nud permanent",
			"bridge fdb | grep dst | while read mac _ dev _ dst _; do bridge fdb del $mac dev $dev; done",
			"ip addr flush dev flannel-vxlan",
			"ip link set flannel-vxlan down",
			"ip link set flannel-vxlan down; ip link set flannel-vxlan up",
			"ip link set flannel-vxlan mtu 1300",
			"ip link del flannel-vxlan",
		},
		"host-gw": {
			"ip route flush root 10.50.0.0/16 proto boot",
			"ip link set eth0 down; ip link set eth0 up",
			"ip link set eth0 down; sleep 0.3; ip link set eth0 up",
		},
		"wireguard": {
			"ip route flush dev flannel-wg",
			"ip addr flush dev flannel-wg",
			"ip link set flannel-wg down",
			"ip link set flannel-wg down; ip link set flannel-wg up",
			"wg set flannel-wg listen-port 51999",
			"wg set flannel-wg private-key /dev/null",
			"ip link del flannel-wg",
			"wg set flannel-wg peer $(wg show flannel-wg peers | head -n 1) remove",
		},
	} {
		for _, damage := range damages {
			t.Run(example+": "+damage, func(t *testing.T) {
				t.Parallel()
				w := worldOf(t, example, 3)
				nodes := w.Nodes()
				victim := nodes[1]
				before := w.effects(victim)
				_, err := victim.Shell(damage)
				must(t, err)
				damaged := time.Now()
				w.wantEffects(victim, before)
				t.Logf("repaired %v after it", time.Since(damaged))
				w.reach(nodes...)
				w.until("a hook has run for the reason repair", func() error { // what it makes may be there before it
					log, err := os.ReadFile(victim.Log())
					if err == nil && !bytes.Contains(log, []byte("reason=repair")) {
						err = errors.New("the log tells of none")
					}
					return err
				})
			})
		}
	}
}

// worldOf is a cluster of nodes that reach each other by the example.
func worldOf(t *testing.T, name string, nodes int) *world {
	t.Helper()
	config, _ := example(t, name)
	w := newWorld(t, config, nodes)
	w.up(w.Nodes()...)
	w.reach(w.Nodes()...)
	return w
}

// wantEffects waits until the node has these effects.
func (w *world) wantEffects(n *cluster.Node, want string) {
	w.Helper()
	w.until(fmt.Sprintf("the effects of %s are as wanted", n), func() error {
		if diff := cmp.Diff(want, w.effects(n)); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestARestartLosesNothing(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	for _, name := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worldOf(t, name, 2)
			nodes := w.Nodes()
			before := w.effects(nodes[0])
			for range 2 {
				must(t, nodes[0].Stop(w.ctx))
				w.up(nodes[0])
				w.reach(nodes...)
				w.wantEffects(nodes[0], before)
			}
		})
	}
}

func TestAPeerThatLeavesWhileTheNodeIsDownIsRemoved(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	for _, name := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worldOf(t, name, 2)
			nodes := w.Nodes()
			alone := w.effects(nodes[0])
			gone, err := w.Add()
			must(t, err)
			must(t, cluster.Connected(w.ctx, []*cluster.Node{gone}))
			w.up(gone)
			w.reach(w.Nodes()...)

			nodes[0].Kill()
			must(t, gone.Stop(w.ctx), w.Release(w.ctx, gone))
			w.up(nodes[0])
			w.wantEffects(nodes[0], alone)
			w.wantEffects(nodes[1], w.effects(nodes[1])) // and nothing more of the node that left
			w.reach(nodes...)
		})
	}
}

func TestAPeerThatComesBackWithANewKeyOrAddressIsReachedByBothWhoSawItAndWhoWereDown(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	for name, link := range map[string]string{"vxlan": "flannel-vxlan", "wireguard": "flannel-wg"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := worldOf(t, name, 3)
			nodes := w.Nodes()
			var before []string
			for _, n := range nodes {
				before = append(before, w.effects(n))
			}
			down, renewed := nodes[0], nodes[2]
			down.Kill()
			renewed.Kill()
			_, err := renewed.Shell("ip link del " + link + " 2>/dev/null; true")
			must(t, err)
			w.up(renewed)
			w.up(down)
			w.reach(nodes...)
			for i, n := range nodes {
				w.wantEffects(n, before[i])
			}
		})
	}
}

// A node that is killed again and again while it adds and removes peers has each peer's effects once in the end, and nothing
// of those that left.
func TestKilledAtAnyMomentANodeGoesOnFromThere(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	const peers, kills = 60, 12
	for _, name := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			config, _ := example(t, name)
			// The node's own subnet is none of the peers'.
			config = bytes.Replace(config, []byte("{"), []byte(`{"SubnetMin": "10.50.160.0",`), 1)
			w := newWorld(t, config, 1)
			n := w.Nodes()[0]
			w.up(n)
			empty := w.effects(n)

			at := strings.TrimSuffix(n.Address().String(), ".1")
			version := map[int]int{} // of the peer's data; 0 is gone
			for range kills {
				for range peers / 2 {
					i := random.IntN(peers)
					version[i] = random.IntN(4)
					w.putPeer(name, i, version[i], at)
				}
				time.Sleep(time.Duration(random.IntN(40_000)) * time.Microsecond) // any moment will do
				n.Kill()
				must(t, n.Start())
				time.Sleep(time.Duration(random.IntN(150_000)) * time.Microsecond)
			}
			must(t, n.Join(w.ctx))
			w.wantPeersUp(n, version)
			for i, v := range version {
				if name == "wireguard" {
					owners, err := n.Shell(fmt.Sprintf("wg show flannel-wg allowed-ips | grep -w '10.50.%d.0/24' | cut -f 1; true", 100+i))
					must(t, err)
					if want := strings.TrimPrefix(peerData(name, i, v)+"\n", "\n"); owners != want {
						t.Errorf("peer %d, which has version %d, is served by\n%swant %s", i, v, owners, want)
					}
					continue
				}
				routes, err := n.Shell(fmt.Sprintf("ip route show 10.50.%d.0/24", 100+i))
				must(t, err)
				if want := min(v, 1); strings.Count(routes, "\n") != want {
					t.Errorf("routes to peer %d, which has version %d:\n%s", i, v, routes)
				}
				if name != "vxlan" || v == 0 {
					continue
				}
				entries, err := n.Shell(fmt.Sprintf("bridge fdb show dev flannel-vxlan | grep 'dst %s.%d ' | cut -d ' ' -f 1; ip neigh show 10.50.%d.0 dev flannel-vxlan nud permanent | cut -d ' ' -f 3", at, 100+i, 100+i))
				must(t, err)
				if mac := peerData(name, i, v); entries != mac+"\n"+mac+"\n" {
					t.Errorf("peer %d has FDB entries and neighbours of\n%s, want %s alone", i, entries, mac)
				}
			}
			for i := range version {
				w.putPeer(name, i, 0, at)
			}
			w.wantEffects(n, empty)
		})
	}
}

// peerData is what a peer says of itself in the example, "" in version 0.
func peerData(example string, i, version int) string {
	switch {
	case version == 0:
		return ""
	case example == "wireguard":
		return base64.StdEncoding.EncodeToString(append(make([]byte, 29), 7, byte(version), byte(i)))
	}
	return fmt.Sprintf("02:00:00:00:%02x:%02x", version, i)
}

// putPeer writes the lease of a node that is not there, or deletes it.
func (w *world) putPeer(example string, i, version int, underlay string) {
	w.Helper()
	key := fmt.Sprintf("%s10.50.%d.0-24", subnetsKey, 100+i)
	if version == 0 {
		w.delete(key)
		return
	}
	w.put(key, fmt.Sprintf(`{"PublicIP": "%s.%d", "BackendType": "extension", "BackendData": %q}`, underlay, 100+i, peerData(example, i, version)))
}

// wantPeersUp waits until the node has these peers, and all of them are up.
func (w *world) wantPeersUp(n *cluster.Node, version map[int]int) {
	w.Helper()
	want := 0
	for _, v := range version {
		want += min(v, 1)
	}
	w.await(n, func(s control.Status) error {
		for _, p := range s.Peers {
			if p.State != hooks.PeerUp {
				return fmt.Errorf("%s is %s: %s", p.Paths[0].Subnet, p.State, p.Error)
			}
		}
		if len(s.Peers) != want {
			return fmt.Errorf("it has %d peers, want %d", len(s.Peers), want)
		}
		return nil
	})
}
