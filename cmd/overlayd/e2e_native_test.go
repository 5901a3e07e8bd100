package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// What network configs have of address families.
const (
	onlyV4 = `"Network": "10.50.0.0/16"`
	onlyV6 = `"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd50::/48"`
	dual   = onlyV4 + `, "EnableIPv6": true, "IPv6Network": "fd50::/48"`
)

func network(families, backend string) []byte {
	return fmt.Appendf(nil, `{%s, "Backend": %s}`, families, backend)
}

// Pings and TCP, neither of which lets its packets be fragmented, use the whole of each path, and no more.
func TestNodesOfANativeBackendReachEachOtherByTheWholePath(t *testing.T) {
	t.Parallel()
	const psk = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, tt := range []struct {
		families, backend string
		mtu4, mtu6        int // of the tunnel
		direct            int // of the path between neighbours, 0 for the tunnel's
	}{
		{onlyV4, `{"Type": "vxlan"}`, 1450, 0, 0},
		{onlyV6, `{"Type": "vxlan"}`, 0, 1430, 0},
		{dual, `{"Type": "vxlan", "MTU": 1400, "Checksum": false, "Name": "ov", "Port": 4789, "GBP": true, "Learning": true}`, 1350, 1330, 0},
		{onlyV4, `{"Type": "vxlan", "DirectRouting": true}`, 1450, 0, 1500},
		{onlyV6, `{"Type": "vxlan", "DirectRouting": true}`, 0, 1430, 1500},
		{dual, `{"Type": "vxlan", "DirectRouting": true}`, 1450, 1430, 1500},
		{onlyV4, `{"Type": "host-gw"}`, 1500, 0, 1500},
		{onlyV6, `{"Type": "host-gw"}`, 0, 1500, 1500},
		{dual, `{"Type": "host-gw"}`, 1500, 1500, 1500},
		{onlyV4, `{"Type": "wireguard"}`, 1420, 0, 0},
		{onlyV6, `{"Type": "wireguard"}`, 0, 1420, 0},
		{dual, `{"Type": "wireguard", "PSK": "` + psk + `"}`, 1420, 1420, 0},
		{dual, `{"Type": "wireguard", "Mode": "ipv6"}`, 1420, 1420, 0},
	} {
		t.Run(string(network(tt.families, tt.backend)), func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(tt.families, tt.backend), 5, true)
			nodes := w.Nodes()
			routed := strings.Contains(tt.backend, "DirectRouting")
			if routed {
				w.divide(nodes[:2], nodes[2:])
			}
			w.up(nodes...)
			w.reach(nodes...)
			want := func(p cluster.Pair) int {
				switch {
				case tt.direct != 0 && (!routed || (p.From.Number() <= 2) == (p.To.Number() <= 2)):
					return tt.direct
				case p.Family() == "IPv4":
					return tt.mtu4
				}
				return tt.mtu6
			}
			w.wantPaths(cluster.Pairs(nodes, nodes), want)
			if strings.Contains(tt.backend, "wireguard") {
				w.wantOffloads(nodes[0])
			}
		})
	}
}

// wantOffloads looks whether WireGuard that runs in the daemon takes and gives packets of many segments.
func (w *world) wantOffloads(n *cluster.Node) {
	w.Helper()
	if s, err := n.Status(w.ctx); err != nil || s.Node.WireGuard != "userspace" {
		return // or it runs in the kernel, which does
	}
	text, err := n.Shell("command -v ip >/dev/null || exit 0; for l in $(ls /sys/class/net | grep flannel-wg); do ip -d link show $l; done")
	if err != nil || text != "" && !strings.Contains(text, "vnet_hdr on") {
		w.Errorf("%s: %v\n%s", n, err, text)
	}
}

// wantPaths measures each node's way to the next and to the one before, and sends TCP over all ways.
func (w *world) wantPaths(pairs []cluster.Pair, want func(cluster.Pair) int) {
	w.Helper()
	var g errgroup.Group
	byNode := map[*cluster.Node][]cluster.Pair{}
	for _, p := range pairs {
		byNode[p.From] = append(byNode[p.From], p)
		g.Go(func() error {
			if mtu, err := p.Transfer(w.ctx); err != nil || mtu != want(p) {
				return fmt.Errorf("%s: TCP takes the path for %d bytes wide, want %d: %v", p, mtu, want(p), err)
			}
			return nil
		})
	}
	for _, its := range byNode {
		g.Go(func() error { // a node's pings are one after the other
			for _, p := range its {
				if by := p.From.Number() - p.To.Number(); by*by > 1 {
					continue
				}
				if err := p.Takes(w.ctx, want(p)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		w.Error(err)
	}
}

// divide puts a router between the nodes of two groups, all of which stay neighbours of the router: this process's namespace.
func (w *world) divide(a, b []*cluster.Node) {
	w.Helper()
	w.forward()
	for _, from := range append(a[:len(a):len(a)], b...) {
		_, err := from.Shell("echo 0 | tee /proc/sys/net/ipv6/conf/*/accept_redirects /proc/sys/net/ipv4/conf/*/accept_redirects")
		must(w.T, err)
	}
	for _, from := range a {
		for _, to := range b {
			w.route(from, to, true)
			w.route(to, from, true)
		}
	}
}

// forward makes this process's namespace a router that tells nobody of shorter ways.
func (w *world) forward() {
	w.Helper()
	for file, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1",
		"ipv4/conf/all/send_redirects": "0", "ipv4/conf/" + w.Cable + "/send_redirects": "0",
	} {
		must(w.T, os.WriteFile("/proc/sys/net/"+file, []byte(value), 0))
	}
}

// route leads one node's packets to the other through the router, or no more.
func (w *world) route(from, to *cluster.Node, through bool) {
	w.Helper()
	for i, a := range to.Addresses() {
		router := w.Options.Addresses()[i]
		line := fmt.Sprintf("ip route del %s via %s", netip.PrefixFrom(a, a.BitLen()), router)
		if through {
			line = fmt.Sprintf("ip route add %s via %s", netip.PrefixFrom(a, a.BitLen()), router)
		}
		_, err := from.Shell(line)
		must(w.T, err)
	}
}

// unharmed does something to the nodes while all of them ping each other every 10 ms, and returns what was lost.
func (w *world) unharmed(nodes []*cluster.Node, do func()) []cluster.Loss {
	w.Helper()
	s, err := cluster.StartStream(w.ctx, cluster.Pairs(nodes, nodes))
	must(w.T, err)
	done := false
	defer func() {
		if !done {
			s.Stop()
		}
	}()
	do()
	done = true
	return s.Stop()
}

func (w *world) wantNoLoss(losses []cluster.Loss) {
	w.Helper()
	for _, l := range losses {
		w.Error(l)
	}
}

func TestDirectRoutingFollowsTheMachinesRoutes(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorldOver(t, network(dual, `{"Type": "vxlan", "DirectRouting": true}`), 3, true)
	w.forward()
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	a, b := nodes[0], nodes[1]
	w.wantWays(a, b, "dev eth0")
	w.wantNoLoss(w.unharmed(nodes, func() {
		w.route(a, b, true)
		w.wantWays(a, b, "onlink")
		w.wantWays(b, a, "dev eth0") // whose own way has not changed
		w.wantWays(a, nodes[2], "dev eth0")
		w.route(a, b, false)
		w.wantWays(a, b, "dev eth0")
	}))
	entries, err := a.Shell("bridge fdb show dev flannel.1 | grep dst; ip neigh show dev flannel.1 nud permanent")
	if err != nil || entries != "" {
		t.Errorf("left of the tunnel: %s%v", entries, err)
	}
}

// wantWays waits until all of one node's routes to the other have the words.
func (w *world) wantWays(from, to *cluster.Node, words string) {
	w.Helper()
	w.until(fmt.Sprintf("%s reaches %s by %s", from, to, words), func() error {
		for _, s := range to.SubnetFile().Subnets {
			family := map[bool]string{true: "-4", false: "-6"}[s.Addr().Is4()]
			text, err := from.Shell("ip " + family + " route show " + s.String())
			if err != nil || !strings.Contains(text, words) || strings.Count(text, "\n") != 1 {
				return fmt.Errorf("%q, %v", text, err)
			}
		}
		return nil
	})
}

func TestARestartOfANativeBackendLosesNoPacket(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{`{"Type": "vxlan"}`, `{"Type": "vxlan", "DirectRouting": true}`, `{"Type": "host-gw"}`, `{"Type": "wireguard"}`} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(dual, backend), 3, true)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			restarted := nodes[1]
			before, links := restarted.Subnets(), w.links(restarted)
			losses := w.unharmed(nodes, func() {
				for _, end := range []func(){
					func() { must(t, restarted.Stop(w.ctx)) },
					restarted.Kill,
					func() { must(t, restarted.Stop(w.ctx)); w.upgrade() },
				} {
					end()
					w.up(restarted)
					w.awaitPeersUp(restarted, 2)
				}
			})
			if after := restarted.Subnets(); after != before {
				t.Errorf("subnet was %s, and is %s", before, after)
			}
			if !strings.Contains(backend, "wireguard") || makes(t, "wireguard") { // in userspace it ends with the daemon
				w.wantNoLoss(losses)
				if diff := cmp.Diff(links, w.links(restarted)); diff != "" {
					t.Errorf("links (-before +after):\n%s", diff)
				}
			}
			log, err := os.ReadFile(restarted.Log())
			if at := "msg=\"hooks ran\" hook=SubnetAdd reason=start peers=2 failed=0"; err != nil || bytes.Count(log, []byte(at)) < 3 {
				t.Errorf("it did not add its peers at once: too few %s in its log: %v\n%s", at, err, log)
			}
			for _, l := range losses {
				t.Log(l)
			}
			w.reach(nodes...)
		})
	}
}

// links are the numbers, names and kinds of the node's links, and the public keys of those of WireGuard.
func (w *world) links(n *cluster.Node) string {
	w.Helper()
	text, err := n.Shell(`for l in $(ls /sys/class/net); do echo $(cat /sys/class/net/$l/ifindex) $l; done; wg show all public-key`)
	must(w.T, err)
	return text
}

func TestTheStatusTellsWhereWireGuardRuns(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	config, _ := example(t, "wireguard")
	for backend, config := range map[string][]byte{"native": network(onlyV4, `{"Type": "wireguard"}`), "hooks": config} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config, 1)
			n := w.Nodes()[0]
			w.up(n)
			where, words := "userspace", "WireGuard in this process"
			if makes(t, "wireguard") {
				where, words = "kernel", "WireGuard in the kernel"
			}
			status, err := n.Status(w.ctx)
			if text := w.status(n); err != nil || status.Node.WireGuard != where || !strings.Contains(text, words) {
				t.Errorf("it is in %q, %v, want %q; status says\n%s", status.Node.WireGuard, err, where, text)
			}
		})
	}
}

// upgrade makes daemons that are started from now on another program. This process must not write it: one that another test starts
// meanwhile would hold it open for a moment, and nobody can run a file that is being written.
func (w *world) upgrade() {
	w.Helper()
	old := w.Binary
	w.Binary = filepath.Join(w.TempDir(), "overlayd")
	output, err := exec.Command("cp", old, w.Binary).CombinedOutput()
	if err != nil {
		w.Fatalf("copy the program: %v: %s", err, output)
	}
}

// awaitPeersUp waits until all of so many peers are up.
func (w *world) awaitPeersUp(n *cluster.Node, count int) {
	w.Helper()
	w.await(n, func(s control.Status) error {
		for _, p := range s.Peers {
			if p.State != hooks.PeerUp {
				return fmt.Errorf("%s is %s: %s", p.Paths[0].Subnet, p.State, p.Error)
			}
		}
		if len(s.Peers) != count {
			return fmt.Errorf("it has %d peers, want %d", len(s.Peers), count)
		}
		return nil
	})
}

// An IPv4 overlay needs nothing of the underlay's IPv4 where WireGuard is to go over IPv6.
func TestIPv4PassesOverAnUnderlayOfIPv6Alone(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorldOver(t, network(onlyV4, `{"Type": "wireguard", "Mode": "ipv6"}`), 3, true)
	nodes := w.Nodes()
	for _, n := range nodes {
		for _, other := range nodes {
			if n != other {
				_, err := n.Shell("ip route add blackhole " + other.Address().String())
				must(t, err)
			}
		}
	}
	w.up(nodes...)
	w.reach(nodes...)
}
