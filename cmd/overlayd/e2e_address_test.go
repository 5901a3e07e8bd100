package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// A hook that needs to know where its node is: what it writes down is looked at.
const followsAddress = `{"Network": "10.50.0.0/16", "Backend": {"Type": "extension",
	"PreStartupCommand": "echo PreStartup $REASON $PUBLIC_IP >>ran; echo $PUBLIC_IP",
	"PostStartupCommand": "echo PostStartup $REASON $PUBLIC_IP $SUBNET >>ran",
	"SubnetAddCommand": "read TOLD; echo SubnetAdd $REASON $NODE_PUBLIC_IP $TOLD >>ran; ip route add $SUBNET via $PUBLIC_IP",
	"SubnetRemoveCommand": "ip route del $SUBNET via $PUBLIC_IP"}}`

func TestANodeThatGetsAnotherAddressKeepsItsSubnetAndIsReachedThere(t *testing.T) {
	t.Parallel()
	tools(t, "nsenter", "ip", "bridge")
	example, _ := example(t, "vxlan")
	for _, tt := range []struct {
		name, config string
		look         func(w *world, moved, other *cluster.Node, from, to netip.Addr)
	}{
		{"hooks", followsAddress, func(w *world, moved, _ *cluster.Node, _, to netip.Addr) {
			ran, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/run/state/ran", moved.PID()))
			must(w.T, err)
			for _, want := range []string{"PreStartup change %s", "PostStartup change %s " + moved.Subnets(), "SubnetAdd change %s "} {
				if want = fmt.Sprintf(want, to); !strings.Contains(string(ran), want) {
					w.Errorf("no hook ran as %q:\n%s", want, ran)
				}
			}
		}},
		{"vxlan by hooks", string(example), nil},
		{"vxlan", `{"Network": "10.50.0.0/16"}`, func(w *world, moved, other *cluster.Node, from, to netip.Addr) {
			if link := w.inside(moved.PID(), "ip", "-d", "link", "show", "flannel.1"); !strings.Contains(link, "local "+to.String()+" ") {
				w.Errorf("link does not send from %s:\n%s", to, link)
			}
			if fdb := w.inside(other.PID(), "bridge", "fdb", "show", "dev", "flannel.1"); strings.Contains(fdb, from.String()+" ") {
				w.Errorf("FDB still has %s:\n%s", from, fdb)
			}
		}},
		{"host-gw", `{"Network": "10.50.0.0/16", "Backend": {"Type": "host-gw"}}`, nil},
		{"wireguard", `{"Network": "10.50.0.0/16", "Backend": {"Type": "wireguard"}}`, nil},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []byte(tt.config), 2)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			moved, other := nodes[0], nodes[1]
			before := moved.Subnets()
			from := moved.Address()
			a := from.As4()
			a[3] = 200
			to := netip.AddrFrom4(a)
			w.inside(moved.PID(), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries") // as DHCP clients want it
			w.inside(moved.PID(), "ip", "addr", "add", to.String()+"/24", "dev", "eth0")
			w.inside(moved.PID(), "ip", "addr", "del", from.String()+"/24", "dev", "eth0")
			w.await(other, func(s control.Status) error {
				for _, p := range s.Peers {
					if p.Paths[0].Subnet.String() == before && p.Paths[0].PublicIP == to && p.State == "up" {
						return nil
					}
				}
				return fmt.Errorf("it does not know %s at %s: %+v", before, to, s.Peers)
			})
			w.await(moved, func(s control.Status) error {
				if len(s.Node.Paths) != 1 || s.Node.Paths[0].PublicIP != to || s.Node.State != "up" {
					return fmt.Errorf("it does not say that it is at %s: %+v", to, s.Node)
				}
				return nil
			})
			w.reach(nodes...)
			if after := moved.Subnets(); after != before {
				t.Errorf("subnet was %s, and is %s", before, after)
			}
			if tt.look != nil {
				tt.look(w, moved, other, from, to)
			}
		})
	}
}

func TestTheOverlaysMTUFollowsTheUnderlays(t *testing.T) {
	t.Parallel()
	tools(t, "nsenter", "ip", "bridge")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16"}`), 1)
	n := w.Nodes()[0]
	w.up(n)
	w.inside(n.PID(), "ip", "link", "set", "eth0", "mtu", "1400")
	w.await(n, func(s control.Status) error {
		if s.Node.MTU != 1350 || s.Node.State != "up" {
			return fmt.Errorf("MTU is %d and the node %s", s.Node.MTU, s.Node.State)
		}
		return nil
	})
	file, err := os.ReadFile(filepath.Join(fmt.Sprintf("/proc/%d/root", n.PID()), defaultSubnetFile))
	if must(t, err); !strings.Contains(string(file), "FLANNEL_MTU=1350\n") {
		t.Errorf("subnet file says\n%s", file)
	}
	if link := w.inside(n.PID(), "ip", "link", "show", "flannel.1"); !strings.Contains(link, "mtu 1350 ") {
		t.Errorf("link is\n%s", link)
	}
}

// inside runs a program in the network namespace of a process, and returns what it printed.
func (w *world) inside(pid int, argv ...string) string {
	w.Helper()
	args := append([]string{"-t", fmt.Sprint(pid), "-n", "--"}, argv...)
	out, err := exec.CommandContext(w.ctx, "nsenter", args...).CombinedOutput()
	if err != nil {
		w.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
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
