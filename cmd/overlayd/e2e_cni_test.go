package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/netns"
)

// cniPath is where Debian has the standard plugins.
const cniPath = "/usr/lib/cni"

// A cniList is a CNI network config, and where the plugins are that it names.
type cniList struct {
	path       []string
	CNIVersion string
	Name       string
	Plugins    []map[string]any
}

// readCNI reads the config, and has the plugins keep what they remember in the node's own /run.
func readCNI(t *testing.T, text string, path ...string) *cniList {
	t.Helper()
	l := &cniList{path: append(path, cniPath)}
	must(t, json.Unmarshal([]byte(text), l))
	ipam, ok := l.Plugins[0]["ipam"].(map[string]any)
	if !ok {
		ipam = map[string]any{}
	}
	ipam["dataDir"] = "/run/cni/networks"
	l.Plugins[0]["ipam"] = ipam
	if l.Plugins[0]["type"] == "flannel" {
		l.Plugins[0]["dataDir"] = "/run/cni/flannel"
	}
	return l
}

// A pod is a namespace that the real plugins have attached to a node.
type pod struct {
	*netns.Namespace
	addr netip.Addr
	list *cniList
	env  string
}

// attach makes a pod on the node, by the CNI config, as a container runtime does: each plugin gets the result of the one before.
// A port of the node leads to a port of the pod.
func (w *world) attach(n *cluster.Node, list *cniList, nodePort, podPort int) pod {
	w.Helper()
	ns, err := netns.New()
	must(w.T, err)
	w.Cleanup(func() { ns.Close() })
	p := pod{Namespace: ns, list: list, env: fmt.Sprintf("CNI_CONTAINERID=pod%d CNI_NETNS=/proc/%d/fd/%d CNI_IFNAME=eth0 CNI_PATH=%s",
		nodePort, os.Getpid(), ns.Fd(), strings.Join(list.path, ":"))}
	result := ""
	for _, plugin := range list.Plugins {
		plugin["cniVersion"], plugin["name"] = list.CNIVersion, list.Name
		if result != "" {
			plugin["prevResult"] = json.RawMessage(result)
		}
		if plugin["type"] == "portmap" {
			plugin["runtimeConfig"] = map[string]any{"portMappings": []any{map[string]any{"hostPort": nodePort, "containerPort": podPort, "protocol": "tcp"}}}
		}
		result = w.plugin(n, p, "ADD", plugin)
	}
	var attached struct {
		IPs []struct{ Address netip.Prefix }
	}
	must(w.T, json.Unmarshal([]byte(result), &attached))
	p.addr = attached.IPs[0].Address.Addr()
	return p
}

// detach takes the pod from the node, by the plugins that attached it, the last one first.
func (w *world) detach(n *cluster.Node, p pod) {
	w.Helper()
	for _, plugin := range slices.Backward(p.list.Plugins) {
		w.plugin(n, p, "DEL", plugin)
	}
}

// plugin has one plugin carry out the command, and returns what it printed.
func (w *world) plugin(n *cluster.Node, p pod, command string, config map[string]any) string {
	w.Helper()
	text, err := json.Marshal(config)
	must(w.T, err)
	file := filepath.Join(w.TempDir(), "config")
	must(w.T, os.WriteFile(file, text, 0o600))
	program := filepath.Join(cniPath, fmt.Sprint(config["type"]))
	for _, dir := range p.list.path {
		if at := filepath.Join(dir, fmt.Sprint(config["type"])); executable(at) {
			program = at
			break
		}
	}
	out, err := n.Shell(fmt.Sprintf("%s CNI_COMMAND=%s %s <%s", p.env, command, program, file))
	if err != nil {
		w.Fatalf("%v: %s\nwith %s", err, out, text)
	}
	return out
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}

// serve answers connections to the pod's port with the address that they come from, until the test ends.
func (p pod) serve(t *testing.T, port int) {
	t.Helper()
	var listener net.Listener
	must(t, p.Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(p.addr, uint16(port)).String())
		return err
	}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, conn.RemoteAddr().String())
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-served })
}

// sees returns the address that the server at the address sees when this process connects to it from where do runs.
func sees(t *testing.T, do func(func() error) error, server netip.AddrPort) string {
	t.Helper()
	var text []byte
	must(t, do(func() error {
		conn, err := net.DialTimeout("tcp", server.String(), 20*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		text, err = io.ReadAll(conn)
		return err
	}))
	return netip.MustParseAddrPort(string(text)).Addr().String()
}

func TestPodsAttachedByTheStandardPluginsReachEachOtherAndTheWorld(t *testing.T) {
	t.Parallel()
	w := newPodWorld(t, "--cni-conf", "/run/overlayd.conflist")
	w.tryPods(func(n *cluster.Node) *cniList {
		text, err := n.Shell("cat /run/overlayd.conflist")
		must(t, err)
		return readCNI(t, text)
	})
	n := w.Nodes()[0]
	_, err := n.Shell("rm /run/overlayd.conflist")
	must(t, err)
	w.until("the CNI config is back", func() error { _, err := n.Shell("test -s /run/overlayd.conflist"); return err })
	must(t, n.Stop(w.ctx))
	out, err := n.Shell("overlayd cleanup --state-dir /run/state --cni-conf /run/overlayd.conflist")
	must(t, err)
	if !strings.Contains(out, "rm /run/overlayd.conflist\n") {
		t.Errorf("a cleanup leaves the CNI config:\n%s", out)
	}
}

func TestPodsAttachedByFlannelsPluginReachEachOtherAndTheWorld(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/deploy/10-flannel.conflist")
	must(t, err)
	w := newPodWorld(t)
	w.tryPods(func(*cluster.Node) *cniList { return readCNI(t, string(text), flannelDir(t)) })
}

// newPodWorld makes a world with two nodes, on which there are the programs that attach pods.
func newPodWorld(t *testing.T, args ...string) *world {
	t.Helper()
	tools(t, filepath.Join(cniPath, "bridge"), filepath.Join(cniPath, "host-local"), filepath.Join(cniPath, "portmap"), "iptables")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	for _, n := range w.Nodes() {
		n.Args = append(n.Args, slices.Concat([]string{"--ip-masq", "--sysctl"}, args)...)
	}
	return w
}

// tryPods starts the nodes and attaches a pod to each, by the config that is read there once the node is up. Who reaches whom, and is
// seen as whom, is tried before the pods are taken away again.
func (w *world) tryPods(read func(*cluster.Node) *cniList) {
	w.Helper()
	var pods []pod
	for i, n := range w.Nodes() {
		must(w.T, n.Start())
		w.await(n, func(s control.Status) error {
			if s.Node.State != hooks.NodeUp {
				return fmt.Errorf("it is %q", s.Node.State)
			}
			return nil
		})
		pods = append(pods, w.attach(n, read(n), 8080+i, 80))
		pods[i].serve(w.T, 80)
	}
	for _, n := range w.Nodes() {
		w.await(n, func(s control.Status) error {
			if len(s.Peers) != 1 || s.Peers[0].State != hooks.PeerUp {
				return fmt.Errorf("peers are %+v", s.Peers)
			}
			return nil
		})
	}
	here := func(f func() error) error { return f() }
	for i, n := range w.Nodes() {
		this, that := pods[i], pods[1-i]
		if got := sees(w.T, this.Do, netip.AddrPortFrom(that.addr, 80)); got != this.addr.String() {
			w.Errorf("a pod of %s is seen by one elsewhere as %s, want %s", n, got, this.addr)
		}
		if got := sees(w.T, here, netip.AddrPortFrom(n.Address(), uint16(8080+i))); got != w.Address().String() {
			w.Errorf("by a port of %s its pod sees this machine as %s, want %s", n, got, w.Address())
		}
		if got := seenHere(w.T, w, this); got != n.Address().String() {
			w.Errorf("a pod of %s is seen by the world as %s, want %s", n, got, n.Address())
		}
	}
	for i, n := range w.Nodes() {
		w.detach(n, pods[i])
		if out, err := n.Shell("ip -br link show master cni0; ls /run/cni/networks/* | grep ^10.50; iptables -t nat -S | grep '808[01]'; true"); err != nil || out != "" {
			w.Errorf("a pod that is gone leaves on %s: %v\n%s", n, err, out)
		}
	}
}

// seenHere returns the address that this process sees when the pod connects to it.
func seenHere(t *testing.T, w *world, p pod) string {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(w.Address(), 0).String())
	must(t, err)
	defer listener.Close()
	must(t, p.Do(func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 20*time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}))
	conn, err := listener.Accept()
	must(t, err)
	defer conn.Close()
	return netip.MustParseAddrPort(conn.RemoteAddr().String()).Addr().String()
}
