package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
