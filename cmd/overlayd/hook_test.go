package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHookPlanSaysWhatWouldChangeAndTouchesNothing(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge")
	w := worldOf(t, "vxlan", 2)
	n, other := w.Nodes()[0], w.Nodes()[1]
	_, config := example(t, "vxlan")
	before := w.effects(n)
	mac, err := other.Shell("cat /sys/class/net/flannel-vxlan/address")
	must(t, err)
	for name, tt := range map[string]struct{ peer, want string }{
		"a peer that is there": {
			fmt.Sprintf("%s,%s,%s", other.Subnets(), other.Address(), strings.TrimSpace(mac)), "",
		},
		"a new peer": {"10.50.7.0/24,192.0.2.7,02:00:00:00:00:07", `ip route add 10.50.7.0/24 via 10.50.7.0 dev flannel-vxlan onlink
ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:07 dev flannel-vxlan nud permanent
bridge fdb add 02:00:00:00:00:07 dev flannel-vxlan dst 192.0.2.7 self permanent
`},
	} {
		root := fmt.Sprintf("/proc/%d/root", n.PID())
		got, err := n.Shell(fmt.Sprintf("overlayd hook plan SubnetAdd --config %s --run-dir %s --peer %s",
			config, root+defaultRunDir, tt.peer))
		must(t, err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(before, w.effects(n)); diff != "" {
		t.Errorf("the plan has changed (-before +after):\n%s", diff)
	}
}

func TestHookRunShowsWhatAHookMakesInAScratchNamespace(t *testing.T) {
	t.Parallel()
	_, config := example(t, "vxlan")
	w := &world{T: t, ctx: t.Context()}
	got := w.run("hook", "run", "subnetadd", "--config", config, "--peer", "10.50.7.0/24,192.0.2.7,02:00:00:00:00:07", "--log-level", "warn")
	_, owned, _ := strings.Cut(got, "\n") // the first line tells the link's address
	want := `ip route add 10.50.7.0/24 via 10.50.7.0 dev flannel-vxlan onlink
ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:07 dev flannel-vxlan nud permanent
bridge fdb add 02:00:00:00:00:07 dev flannel-vxlan dst 192.0.2.7 self permanent
ip link add flannel-vxlan type vxlan id 1 dstport 8472 nolearning
ip address add 10.50.1.0/32 dev flannel-vxlan
`
	if diff := cmp.Diff(want, owned); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
}
