package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/control"
)

func TestANodeThatGetsAnotherAddressKeepsItsSubnetAndIsReachedThere(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"nsenter", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this machine has no %s program", tool)
		}
	}
	config, _ := example(t, "host-gw")
	w := newWorld(t, config, 2)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	moved, other := nodes[0], nodes[1]
	before := moved.Subnets()
	from := netip.PrefixFrom(moved.Address(), 24)
	a := moved.Address().As4()
	a[3] = 200
	to := netip.PrefixFrom(netip.AddrFrom4(a), 24)
	status, err := moved.Status(w.ctx)
	must(t, err)
	dev := status.Node.Interface
	w.inside(moved.PID(), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/"+dev+"/promote_secondaries") // as DHCP clients want it
	w.inside(moved.PID(), "ip", "addr", "add", to.String(), "dev", dev)
	w.inside(moved.PID(), "ip", "addr", "del", from.String(), "dev", dev)
	w.await(other, func(s control.Status) error {
		for _, p := range s.Peers {
			if p.Paths[0].Subnet.String() == before && p.Paths[0].PublicIP == to.Addr() {
				return nil
			}
		}
		return fmt.Errorf("it does not know %s at %s: %+v", before, to.Addr(), s.Peers)
	})
	if after := moved.Subnets(); after != before {
		t.Errorf("subnet was %s, and is %s", before, after)
	}
	w.reach(nodes...)
	w.wantRoutes(1, nodes)
}

// inside runs a program in the network namespace of a process.
func (w *world) inside(pid int, argv ...string) {
	w.Helper()
	args := append([]string{"-t", fmt.Sprint(pid), "-n", "--"}, argv...)
	if out, err := exec.CommandContext(w.ctx, "nsenter", args...).CombinedOutput(); err != nil {
		w.Fatalf("%q: %v: %s", argv, err, out)
	}
}

func TestTheExternalInterfaceIsChosenAgainWhenRoutesChange(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "alloc"}}`), 1)
	n := w.Nodes()[0]
	w.up(n)
	_, err := n.Shell(`ip link add eth1 type veth peer far1 && ip link set far1 up && ip link set eth1 up &&
		ip addr add 203.0.113.5/24 dev eth1 && ip route replace default via 203.0.113.1 dev eth1`)
	must(t, err)
	w.until("it says that it has chosen eth1", func() error {
		log, err := os.ReadFile(n.Log())
		if err == nil && !strings.Contains(string(log), `interface=eth1 by="default route" addresses=203.0.113.5`) {
			err = fmt.Errorf("it says\n%s", log)
		}
		return err
	})
}
