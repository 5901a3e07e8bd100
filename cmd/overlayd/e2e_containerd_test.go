package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
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

const startContainerd = `echo $$ >/run/containerd/pid
exec containerd --config /dev/null --root /run/containerd/root --state /run/containerd/state --address /run/containerd/sock >%s 2>&1`

func TestContainersOfContainerdReachEachOther(t *testing.T) {
	t.Parallel()
	tools(t, "containerd", "runc", "ctr", "iptables", "go", "/usr/lib/cni/bridge")
	root := podDir(t)
	group := strings.ReplaceAll(root, "/", "-")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	for _, n := range w.Nodes() {
		w.mountCgroups(n, group)
		_, err := n.Shell(containerd)
		must(t, err)
		n.Args = append(n.Args, "--ip-masq", "--sysctl", "--cni-conf", "/etc/cni/net.d/10-overlayd.conflist")
		must(t, n.Start())
		w.startEngine(n, func(log string) string { return fmt.Sprintf(startContainerd, log) }, ctr+"version", "kill $(cat /run/containerd/pid)")
	}
	subnets := w.subnets("/etc/cni/net.d/10-overlayd.conflist")
	server, client := w.Nodes()[0], w.Nodes()[1]
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
	wantSeen(t, answer, subnets[1])
}
