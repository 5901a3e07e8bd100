package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// dockerd is Docker's daemon, which keeps all that it makes in the node's own /run. Only its options of the network are as on a
// machine of its own.
const dockerd = `. /run/docker_opts.env
echo '{"deprecated-key-path": "/run/docker/key.json"}' >/run/docker/daemon.json
exec dockerd --config-file /run/docker/daemon.json --data-root /run/docker/data --exec-root /run/docker/exec --pidfile /run/docker/pid --host unix:///run/docker/sock \
  --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /%s \
  $DOCKER_OPTS >%s 2>&1`

// docker is its client, on the same node.
const docker = "HOME=/run DOCKER_BUILDKIT=0 docker --host unix:///run/docker/sock "

func TestContainersOfDockerReachEachOtherAndTheWorld(t *testing.T) {
	t.Parallel()
	tools(t, "dockerd", "containerd", "runc", "docker", "iptables", "go")
	image := podDir(t)
	must(t, os.WriteFile(filepath.Join(image, "Dockerfile"), []byte("FROM scratch\nCOPY pod /pod\nENTRYPOINT [\"/pod\"]\n"), 0o600))
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	servers := make([]netip.Addr, 2)
	for i, n := range w.Nodes() {
		n.Args = append(n.Args, "--ip-masq", "--sysctl")
		must(t, n.Start())
		w.await(n, func(s control.Status) error {
			if s.Node.State != hooks.NodeUp {
				return fmt.Errorf("it is %q", s.Node.State)
			}
			return nil
		})
		w.startDocker(n)
		w.docker(n, "build --tag pod "+image)
		w.docker(n, "run --detach --name server pod serve")
		servers[i] = netip.MustParseAddr(w.docker(n, "inspect --format '{{.NetworkSettings.IPAddress}}' server"))
	}
	for _, n := range w.Nodes() {
		w.await(n, func(s control.Status) error {
			if len(s.Peers) != 1 || s.Peers[0].State != hooks.PeerUp {
				return fmt.Errorf("peers are %+v", s.Peers)
			}
			return nil
		})
	}
	for i, n := range w.Nodes() {
		answer := w.docker(n, fmt.Sprintf("run --rm pod ask %s:80", servers[1-i]))
		wantSeen(t, answer, netip.PrefixFrom(servers[i], 24).Masked())
		if got := w.askedBy(n); got != n.Address() {
			t.Errorf("a container of %s is seen by the world as %s, want %s", n, got, n.Address())
		}
	}
}

// startDocker starts Docker's daemon on the node with the options that overlayd wrote for it, and ends it with the test.
func (w *world) startDocker(n *cluster.Node) {
	w.Helper()
	group := strings.ReplaceAll(w.TempDir(), "/", "-")
	w.mountCgroups(n, group)
	_, err := n.Shell("mkdir /run/docker && overlayd docker-opts -c -d /run/docker_opts.env")
	must(w.T, err)
	w.startEngine(n, func(log string) string { return fmt.Sprintf(dockerd, group, log) }, docker+"version",
		docker+"rm --force server; kill $(cat /run/docker/pid)")
}

// docker has the node's Docker do something, and returns what it said.
func (w *world) docker(n *cluster.Node, line string) string {
	w.Helper()
	out, err := n.Shell(docker + line)
	must(w.T, err)
	return strings.TrimSpace(out)
}

// askedBy returns the address that this process sees when a container of the node asks it.
func (w *world) askedBy(n *cluster.Node) netip.Addr {
	w.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(w.Address(), 0).String())
	must(w.T, err)
	accepted := make(chan netip.Addr, 1)
	go func() {
		defer close(accepted)
		if conn, err := listener.Accept(); err == nil {
			accepted <- netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr()
			conn.Close()
		}
	}()
	defer func() { listener.Close(); <-accepted }()
	w.docker(n, "run --rm pod ask "+listener.Addr().String())
	return <-accepted
}
