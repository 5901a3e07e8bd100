package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// While the nodes go from one config to the next they ping each other. The old way is there until the new one works, where both
// can be at once, and is gone in the end.
func TestNodesFollowFromOneNativeConfigToTheNext(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	for _, tt := range []struct{ from, to, links string }{
		{`{"Type": "vxlan"}`, `{"Type": "wireguard"}`, "1420 flannel-wg 1420 flannel-wg-v6"},
		{`{"Type": "wireguard"}`, `{"Type": "host-gw"}`, ""},
		{`{"Type": "host-gw"}`, `{"Type": "vxlan"}`, "1430 flannel-v6.1 1450 flannel.1"},
		{`{"Type": "vxlan"}`, `{"Type": "vxlan", "VNI": 2, "MTU": 1400, "Learning": true, "DirectRouting": true}`, "1330 flannel-v6.2 1350 flannel.2"},
	} {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(dual, tt.from), 3, true)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			began := time.Now()
			w.wantNoLoss(w.unharmed(nodes, func() {
				w.change(nodes, network(dual, tt.to))
				for _, n := range nodes {
					w.awaitLinks(n, tt.links)
				}
			}))
			t.Logf("complete after %v", time.Since(began))
			w.reach(nodes...)
		})
	}
}

// A node that left while others went from one type to another leaves nothing on them, though it never followed.
func TestAPeerThatLeavesOnTheWayToAnotherTypeLeavesNothing(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorldOver(t, network(onlyV4, `{"Type": "vxlan"}`), 3, false)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	gone, stay := nodes[2], nodes[:2]
	subnet := gone.Subnets()
	must(t, gone.Stop(w.ctx))
	w.put(defaultPrefix+"/config", string(network(onlyV4, `{"Type": "host-gw"}`)))
	for _, n := range stay {
		w.await(n, func(s control.Status) error {
			for _, p := range s.Peers {
				if p.Paths[0].Subnet.String() == subnet && strings.Contains(p.Error, `its backend is "vxlan", and this node's is "host-gw"`) {
					return nil
				}
			}
			return fmt.Errorf("it does not say that %s has not followed", subnet)
		})
		if text, err := n.Shell("ip route show " + subnet); err != nil || !strings.Contains(text, "dev flannel.1") {
			t.Errorf("%s has %q, %v, want the old route", n, text, err)
		}
	}
	w.delete(subnetsKey + strings.ReplaceAll(subnet, "/", "-"))
	for _, n := range stay {
		w.until(fmt.Sprintf("%s has nothing of it, nor the old link", n), func() error {
			text, err := n.Shell("ip route show " + subnet + "; ls /sys/class/net | grep flannel; true")
			if err != nil || text != "" {
				return fmt.Errorf("it has %s, %v", text, err)
			}
			return nil
		})
	}
	w.reach(stay...)
}

// rotationRoom is how long packets can wait for a new key on the busiest way here: WireGuard keeps 128 for each peer, and the node
// sends one and answers one every 10 ms.
const rotationRoom = 500 * time.Millisecond

// No packet is lost where WireGuard has room for those that wait, unless handshakes meet: rarely, and where processors are busy.
func TestAKeyIsRotatedWhilePacketsPass(t *testing.T) {
	t.Parallel()
	tools(t, "wg", "nsenter")
	w := newWorldOver(t, network(dual, `{"Type": "wireguard"}`), 3, true)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	without, slow := 0, 0
	for i := 0; i < 8 && without < 2 && slow < 2; i++ {
		rotated, began := nodes[i%2], time.Now()
		losses := w.unharmed(nodes, func() { w.rotate(rotated, nodes) })
		took := w.rotationTook(rotated, nodes, began)
		t.Logf("the others knew of the new key of %s after %v: %d ways lost packets %v", rotated, took, len(losses), losses)
		switch {
		case len(losses) == 0:
			without++
		case took > rotationRoom:
			slow++
		}
	}
	if without == 0 && slow < 2 {
		t.Error("each rotation lost packets")
	}
	w.reach(nodes...)
}

// rotationTook is how long after the node noticed its new key the last of the others had taken it up, by their logs.
func (w *world) rotationTook(rotated *cluster.Node, nodes []*cluster.Node, began time.Time) time.Duration {
	w.Helper()
	var noticed, known time.Time
	for _, n := range nodes {
		said, at := "reason=change", &known
		if n == rotated {
			said, at = "another WireGuard key", &noticed
		}
		text, err := os.ReadFile(n.Log())
		must(w.T, err)
		for line := range strings.Lines(string(text)) {
			stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			if when, err := time.Parse(time.RFC3339, stamp); err == nil && strings.Contains(line, said) && when.After(began) && when.After(*at) {
				*at = when
			}
		}
	}
	if noticed.IsZero() || known.IsZero() {
		w.Fatalf("the logs do not tell of a rotation after %v", began)
	}
	return known.Sub(noticed)
}

// rotate gives a node another key, and waits until the others have shaken hands under it.
func (w *world) rotate(rotated *cluster.Node, nodes []*cluster.Node) {
	w.Helper()
	old, err := rotated.Shell("wg show flannel-wg public-key")
	must(w.T, err)
	key := w.insideOf(rotated, "overlayd", "wg", "rotate", "--state-dir", "/run/state")
	if key == old {
		w.Error("the key is the same")
	}
	for _, n := range nodes {
		if n == rotated {
			continue
		}
		w.until(fmt.Sprintf("%s knows the new key alone", n), func() error {
			peers, err := n.Shell("wg show all peers; wg show all latest-handshakes | grep '" + strings.TrimSpace(key) + "'")
			if strings.Contains(peers, strings.TrimSpace(old)) || strings.Count(peers, strings.TrimSpace(key)) != 4 || strings.Contains(peers, "\t0\n") {
				return fmt.Errorf("it has\n%s%v", peers, err)
			}
			return nil
		})
	}
}

// insideOf runs a program in the namespaces of the node's daemon, and returns what it printed.
func (w *world) insideOf(n *cluster.Node, argv ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.ctx, "nsenter", append([]string{"-t", fmt.Sprint(n.PID()), "-n", "-m", "--"}, argv...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("%q: %v: %s", argv, err, &stderr)
	}
	return string(out)
}

func TestANodeThatIsKilledOnItsWayFromOneConfigToTheNextGoesOnFromThere(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorldOver(t, network(dual, `{"Type": "vxlan"}`), 3, true)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	w.wantNoLoss(w.unharmed(nodes, func() {
		w.put(defaultPrefix+"/config", string(network(dual, `{"Type": "vxlan", "VNI": 2}`)))
		w.until("the new link is there beside the old one", func() error {
			_, err := nodes[1].Shell("ip link show flannel.1 && ip link show flannel.2")
			return err
		})
		nodes[1].Kill()
		w.up(nodes[1])
		w.until("the old links are gone", func() error {
			text, err := nodes[1].Shell("ls /sys/class/net | grep flannel | xargs")
			if got := strings.TrimSpace(text); got != "flannel-v6.2 flannel.2" || err != nil {
				return fmt.Errorf("it has %s, %v", got, err)
			}
			return nil
		})
	}))
	w.reach(nodes...)
}
