package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// connectEtcd cuts etcd off from all nodes, or connects it again. Packets to it are dropped.
func (w *world) connectEtcd(state string) {
	w.Helper()
	if out, err := exec.CommandContext(w.ctx, "ip", "link", "set", w.Cable, state).CombinedOutput(); err != nil {
		w.Fatalf("%v: %s", err, out)
	}
}

// overlay is all of a node's network that its daemon has made.
func overlay(n *cluster.Node) (string, error) {
	return n.Shell("ip -d link show flannel.1; ip addr show dev flannel.1; ip route; ip neigh show nud permanent; bridge fdb show dev flannel.1")
}

func TestADaemonThatStartsWithoutEtcdLeavesTheOverlayAsItIs(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16"}`), 2)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	before, err := overlay(nodes[0])
	must(t, err)

	w.connectEtcd("down")
	defer w.connectEtcd("up")
	nodes[0].Kill()
	unchanged := func(when string) {
		t.Helper()
		all := cluster.Pairs(nodes, nodes)
		if times := cluster.RoundTrips(w.ctx, all); len(times) != len(all) {
			t.Errorf("%s: of %v only %v answer every ping", when, all, times)
		}
		now, err := overlay(nodes[0])
		if must(t, err); now != before {
			t.Errorf("%s: the overlay was\n%s\nand is\n%s", when, before, now)
		}
	}
	for _, round := range []string{"waiting", "waiting again"} {
		must(t, nodes[0].Start())
		w.await(nodes[0], func(s control.Status) error {
			if !strings.HasPrefix(s.Etcd.Problem, "etcd is not reachable: ") {
				return fmt.Errorf("it does not say that etcd is not reachable: %q", s.Etcd.Problem)
			}
			return nil
		})
		unchanged(round)
		must(t, nodes[0].Stop(w.ctx))
		unchanged("stopped while it was " + round)
	}
	must(t, nodes[0].Start())
	w.connectEtcd("up")
	must(t, nodes[0].Join(w.ctx))
	w.until("all is as it was", func() error {
		if now, err := overlay(nodes[0]); err != nil || now != before {
			return errors.Join(err, fmt.Errorf("the overlay was\n%s\nand is\n%s", before, now))
		}
		return nil
	})
	w.reach(nodes...)
}

// tellsAll writes down which hooks ran, where, and why.
const tellsAll = `{"Network": "10.50.0.0/16", "SubnetMin": "10.50.1.0", "SubnetMax": "10.50.4.0", "Backend": {"Type": "extension",
	"PreStartupCommand": "echo PreStartup $REASON >>ran",
	"PostStartupCommand": "echo PostStartup $REASON $SUBNET >>ran",
	"SubnetAddCommand": "echo SubnetAdd $REASON $SUBNET >>ran; ip route add $SUBNET via $PUBLIC_IP",
	"SubnetRemoveCommand": "echo SubnetRemove $REASON $SUBNET >>ran; ip route del $SUBNET via $PUBLIC_IP",
	"ShutdownCommand": "echo Shutdown $REASON $SUBNET >>ran"}}`

// A daemon that is frozen, as when its machine is suspended, loses its lease without noticing: its clock stands still.
func TestANodeWhoseSubnetWentToAnotherMovesToANewOne(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, []byte(tellsAll), 3)
	nodes := w.Nodes()
	for _, n := range nodes {
		n.Args = append(n.Args, "--lease-ttl", "5s")
	}
	frozen, witness, heir := nodes[0], nodes[1], nodes[2]
	w.up(frozen, witness)
	w.reach(frozen, witness)
	lost := frozen.SubnetFile().Subnets[0]

	must(t, unix.Kill(frozen.PID(), unix.SIGSTOP))
	w.await(witness, func(s control.Status) error {
		if len(s.Peers) > 0 {
			return fmt.Errorf("it still knows %+v", s.Peers)
		}
		return nil
	})
	key := "/coreos.com/network/subnets/" + strings.ReplaceAll(lost.String(), "/", "-")
	w.put(key, fmt.Sprintf(`{"PublicIP":"%s","PublicIPv6":null}`, heir.Address()))
	w.up(heir)
	if got := heir.SubnetFile().Subnets[0]; got != lost {
		t.Fatalf("the heir has %s, not %s", got, lost)
	}
	w.reach(witness, heir)

	must(t, unix.Kill(frozen.PID(), unix.SIGCONT))
	w.await(frozen, func(s control.Status) error {
		if s.Node.State != hooks.NodeUp || len(s.Node.Paths) != 1 || s.Node.Paths[0].Subnet == lost {
			return fmt.Errorf("it is %s with %+v", s.Node.State, s.Node.Paths)
		}
		return nil
	})
	_, err := frozen.Shell("ip addr flush dev pods0") // the containers move too
	must(t, err)
	must(t, frozen.Join(w.ctx)) // reads the subnet file
	got := frozen.SubnetFile().Subnets[0]
	if got == lost || got == witness.SubnetFile().Subnets[0] {
		t.Errorf("the subnet file says %s after %s", got, lost)
	}
	w.reach(nodes...)
	ran, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/state/ran", frozen.PID()))
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(ran)), "\n")
	want := []string{
		"SubnetRemove leave " + witness.Subnets(), "Shutdown config " + lost.String(),
		"PreStartup config", "PostStartup config " + got.String(), "SubnetAdd start " + witness.Subnets(),
	}
	at := -1
	for _, line := range want { // in this order
		i := slices.Index(lines[at+1:], line)
		if i < 0 {
			t.Fatalf("no %q after line %d of\n%s", line, at+1, ran)
		}
		at += 1 + i
	}
}
