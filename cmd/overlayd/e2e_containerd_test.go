package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// ctr is containerd's client on the same node. Its containers have a directory for an image.
const ctr = "ctr --address /run/containerd/sock "

// containerd finds what overlayd wrote for CNI where it is by default, in an /etc and an /opt of the node's own; plugins remember
// addresses in /var/lib.
const containerd = `mkdir -p /run/etc /run/etc.work /run/containerd
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work /etc
mount -t tmpfs tmpfs /opt
mount -t tmpfs tmpfs /var/lib
mkdir -p /etc/cni/net.d /opt/cni
cp -r /usr/lib/cni /opt/cni/bin`

func TestContainersOfContainerdReachEachOther(t *testing.T) {
	t.Parallel()
	tools(t, "containerd", "runc", "ctr", "iptables", "go", "/usr/lib/cni/bridge")
	root := podDir(t)
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	for _, n := range w.Nodes() {
		if _, err := n.Shell("mount -t cgroup2 cgroup2 /sys/fs/cgroup"); err != nil {
			t.Skip(err)
		}
		_, err := n.Shell(containerd)
		must(t, err)
		n.Args = append(n.Args, "--ip-masq", "--sysctl", "--cni-conf", "/etc/cni/net.d/10-overlayd.conflist")
		must(t, n.Start())
		w.startContainerd(n)
	}
	subnets := make([]netip.Prefix, 2)
	for i, n := range w.Nodes() {
		w.await(n, func(s control.Status) error {
			if s.Node.State == hooks.NodeUp {
				subnets[i] = s.Node.Paths[0].Subnet
			}
			if len(s.Peers) != 1 || s.Peers[0].State != hooks.PeerUp {
				return fmt.Errorf("peers are %+v", s.Peers)
			}
			return nil
		})
		w.until("the config for CNI is there", func() error {
			_, err := n.Shell("test -s /etc/cni/net.d/10-overlayd.conflist")
			return err
		})
	}
	server, client := w.Nodes()[0], w.Nodes()[1]
	group := strings.ReplaceAll(root, "/", "-")
	t.Cleanup(func() {
		if _, err := w.Nodes()[0].Shell("find /sys/fs/cgroup/" + group + " -depth -type d -exec rmdir {} +"); err != nil {
			t.Error(err)
		}
	})
	run := func(n *cluster.Node, how, id, what string) string {
		t.Helper()
		out, err := n.Shell(ctr + "run --cni --cpu-shares 0 --cgroup /" + group + "/" + id + " " + how + " --rootfs " + root + " " + id + " /pod " + what)
		must(t, err)
		return out
	}
	run(server, "--detach", "server", "serve")
	t.Cleanup(func() {
		if _, err := server.Shell(ctr + "task delete --force server && " + ctr + "container delete server"); err != nil {
			t.Error(err)
		}
	})
	answer := run(client, "--rm", "client", fmt.Sprintf("ask %s:80", subnets[0].Addr().Next().Next()))
	var mtu int
	var from string
	_, err := fmt.Sscan(answer, &mtu, &from)
	must(t, err)
	address, err := netip.ParseAddrPort(from)
	must(t, err)
	if own := subnets[1]; !own.Contains(address.Addr()) || address.Addr() == own.Addr().Next() || mtu != 1450 {
		t.Errorf("a container in %s is seen by one elsewhere as %s, and has an MTU of %d", own, address, mtu)
	}
}

// startContainerd starts containerd on the node, and ends it with the test.
func (w *world) startContainerd(n *cluster.Node) {
	w.Helper()
	log := filepath.Join(w.TempDir(), "log")
	ctx, ended := context.WithCancelCause(context.Background())
	go func() {
		_, err := n.Shell("echo $$ >/run/containerd/pid; exec containerd --config /dev/null --root /run/containerd/root --state /run/containerd/state --address /run/containerd/sock >" + log + " 2>&1")
		ended(errors.Join(err, errors.New("containerd has ended")))
	}()
	w.Cleanup(func() {
		if _, err := n.Shell("kill $(cat /run/containerd/pid)"); err == nil {
			<-ctx.Done()
		}
		if w.Failed() {
			text, _ := os.ReadFile(log)
			w.Logf("containerd on %s said\n%s", n, text)
		}
	})
	w.until("containerd answers", func() error {
		if ctx.Err() != nil {
			w.Fatal(context.Cause(ctx))
		}
		_, err := n.Shell(ctr + "version")
		return err
	})
}
