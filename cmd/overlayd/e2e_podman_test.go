package main

import (
	"fmt"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// podman keeps all that it makes in the node's own /run, and takes its network from what overlayd wrote for CNI. Its containers
// have a directory for an image, and no cgroup.
const podman = `HOME=/run CONTAINERS_CONF=/run/podman/conf podman --root /run/podman/root --runroot /run/podman/run --tmpdir /run/podman/tmp \
--storage-driver vfs `

// setUpPodman has it find Debian's programs wherever they are, and runs these with their libraries.
const setUpPodman = `mount -t tmpfs tmpfs /var/lib
mkdir /run/podman
for program in conmon crun; do
  printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s\nexec %s "$@"\n' "$LD_LIBRARY_PATH" "$(command -v $program)" >/run/podman/$program
  chmod +x /run/podman/$program
done
cat >/run/podman/conf <<'END'
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
conmon_path = ["/run/podman/conmon"]
runtime = "crun"
[engine.runtimes]
crun = ["/run/podman/crun"]
[network]
network_backend = "cni"
network_config_dir = "/run/cni"
cni_plugin_dirs = ["/usr/lib/cni"]
END`

func TestContainersOfPodmanReachEachOther(t *testing.T) {
	t.Parallel()
	tools(t, "podman", "conmon", "crun", "iptables", "go", "/usr/lib/cni/bridge")
	root := podDir(t)
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	shell := func(n *cluster.Node, line string) string {
		t.Helper()
		out, err := n.Shell(line)
		must(t, err)
		return out
	}
	for _, n := range w.Nodes() {
		w.mountCgroups(n, "none") // crun looks at it, and makes none
		shell(n, setUpPodman)
		n.Args = append(n.Args, "--ip-masq", "--sysctl", "--cni-conf", "/run/cni/10-overlayd.conflist")
		shell(n, "mkdir /run/cni")
		must(t, n.Start())
	}
	subnets := w.subnets("/run/cni/10-overlayd.conflist")
	server, client := w.Nodes()[0], w.Nodes()[1]
	const run = podman + "run --network overlayd --cgroups disabled "
	shell(server, run+"--detach --name server --rootfs "+root+" /pod serve")
	t.Cleanup(func() {
		if _, err := server.Shell(podman + "rm --force --time 0 server"); err != nil {
			t.Error(err)
		}
	})
	answer := shell(client, run+"--rm --rootfs "+root+fmt.Sprintf(" /pod ask %s:80", subnets[0].Addr().Next().Next()))
	wantSeen(t, answer, subnets[1])
}
