package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/cluster"
)

// migrate runs overlayd migrate in the node, with the flags of its daemon's next start.
func (w *world) migrate(n *cluster.Node, flags string) (string, error) {
	w.Helper()
	return n.Shell("overlayd migrate --etcd-endpoints " + w.Endpoint() + " --state-dir /run/state " + flags)
}

// state is what of a node the tests of migrations compare: links with their numbers and addresses, and the subnet file's first lines.
func (w *world) state(n *cluster.Node) string {
	w.Helper()
	text, err := n.Shell(`for l in $(ls /sys/class/net | grep flannel); do echo $l $(cat /sys/class/net/$l/ifindex /sys/class/net/$l/address); done
		grep ^FLANNEL.*SUBNET /run/flannel/subnet.env`)
	must(w.T, err)
	return text
}

// A cluster of flannel's goes over to overlayd node by node, with nodes of both kinds joining while it is mixed, and one node goes back.
func TestAFlannelClusterIsMovedWithoutALostPacket(t *testing.T) {
	t.Parallel()
	tools(t, "iptables", "ip6tables", "nft")
	for _, tt := range []struct{ families, backend string }{
		{dual, `{"Type": "vxlan"}`},
		{dual, `{"Type": "host-gw"}`},
	} {
		t.Run(string(network(tt.families, tt.backend)), func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(tt.families, tt.backend), 5, true)
			nodes := w.Nodes()
			olds := nodes[:3]
			w.upAsFlannel(olds...)
			w.answered(olds...)
			w.wantNoLoss(w.unharmed(olds, func() {
				for i, n := range olds {
					w.move(n)
					if i == 0 { // while the cluster is mixed
						w.asOverlayd(nodes[3])
						w.up(nodes[3])
						w.upAsFlannel(nodes[4])
						w.answered(nodes...)
					}
				}
				w.moveBack(olds[1])
			}))
			w.answered(nodes...)
		})
	}
}

// move puts overlayd in flannel's place on the node.
func (w *world) move(n *cluster.Node) {
	w.Helper()
	before := w.state(n)
	said, err := w.migrate(n, "--now")
	if err == nil || !strings.Contains(err.Error(), "flanneld runs as process") {
		w.Fatalf("beside a running flanneld it says %v\n%s", err, said)
	}
	must(w.T, n.Stop(w.ctx))
	peers := len(w.joined()) - 1
	said, err = w.migrate(n, "--now")
	if want := fmt.Sprintf("%d of %d are reached by ", peers, peers); err != nil || !strings.Contains(said, want) {
		w.Fatalf("it does not say %q: %v\n%s", want, err, said)
	}
	w.asOverlayd(n)
	w.up(n)
	w.answered(w.joined()...)
	removed, err := w.migrate(n, "--finish")
	if rules := w.ruleset(n); err != nil || !strings.Contains(removed, "nft delete chain ip nat FLANNEL-POSTRTG\n") || strings.Contains(rules, "FLANNEL") {
		w.Errorf("%v: it removes\n%sof\n%s", err, removed, rules)
	}
	if diff := cmp.Diff(before, w.state(n)); diff != "" {
		w.Errorf("%s (-flannel +overlayd):\n%s", n, diff)
	}
}

// moveBack puts flannel in overlayd's place.
func (w *world) moveBack(n *cluster.Node) {
	w.Helper()
	before := w.state(n)
	must(w.T, n.Stop(w.ctx))
	w.upAsFlannel(n)
	w.answered(w.joined()...)
	if diff := cmp.Diff(before, w.state(n)); diff != "" {
		w.Errorf("%s (-overlayd +flannel):\n%s", n, diff)
	}
}

// joined are the nodes that have a subnet.
func (w *world) joined() (all []*cluster.Node) {
	for _, n := range w.Nodes() {
		if n.Subnets() != "" {
			all = append(all, n)
		}
	}
	return all
}
