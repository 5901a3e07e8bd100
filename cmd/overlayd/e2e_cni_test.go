package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
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

// A pod is a namespace that the real plugins have attached to a node.
type pod struct {
	*netns.Namespace
	addr netip.Addr
}

// attach makes a pod on the node, by the CNI config that its daemon wrote, as a container runtime does: each plugin gets the result
// of the one before. A port of the node leads to a port of the pod.
func (w *world) attach(n *cluster.Node, nodePort, podPort int) pod {
	w.Helper()
	text, err := n.Shell("cat /run/overlayd.conflist")
	must(w.T, err)
	var list struct {
		CNIVersion string
		Name       string
		Plugins    []map[string]any
	}
	must(w.T, json.Unmarshal([]byte(text), &list))
	ns, err := netns.New()
	must(w.T, err)
	w.Cleanup(func() { ns.Close() })
	id := fmt.Sprint("pod", nodePort)
	dir := w.TempDir()
	var result json.RawMessage
	for i, plugin := range list.Plugins {
		plugin["cniVersion"], plugin["name"] = list.CNIVersion, list.Name
		if result != nil {
			plugin["prevResult"] = result
		}
		if plugin["type"] == "portmap" {
			plugin["runtimeConfig"] = map[string]any{"portMappings": []any{map[string]any{"hostPort": nodePort, "containerPort": podPort, "protocol": "tcp"}}}
		}
		config, err := json.Marshal(plugin)
		must(w.T, err)
		file := filepath.Join(dir, fmt.Sprint(i))
		must(w.T, os.WriteFile(file, config, 0o600))
		out, err := n.Shell(fmt.Sprintf("CNI_COMMAND=ADD CNI_CONTAINERID=%s CNI_NETNS=/proc/%d/fd/%d CNI_IFNAME=eth0 CNI_PATH=%s %s/%s <%s",
			id, os.Getpid(), ns.Fd(), cniPath, cniPath, plugin["type"], file))
		if err != nil {
			w.Fatalf("%v: %s\nwith %s", err, out, config)
		}
		result = json.RawMessage(out)
	}
	var attached struct {
		IPs []struct{ Address netip.Prefix }
	}
	must(w.T, json.Unmarshal(result, &attached))
	return pod{ns, attached.IPs[0].Address.Addr()}
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
	tools(t, filepath.Join(cniPath, "bridge"), filepath.Join(cniPath, "host-local"), filepath.Join(cniPath, "portmap"), "iptables")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	var pods []pod
	for i, n := range w.Nodes() {
		n.Args = append(n.Args, "--ip-masq", "--sysctl", "--cni-conf", "/run/overlayd.conflist")
		must(t, n.Start())
		w.await(n, func(s control.Status) error {
			if s.Node.State != hooks.NodeUp {
				return fmt.Errorf("it is %q", s.Node.State)
			}
			return nil
		})
		pods = append(pods, w.attach(n, 8080+i, 80))
		pods[i].serve(t, 80)
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
		if got := sees(t, this.Do, netip.AddrPortFrom(that.addr, 80)); got != this.addr.String() {
			t.Errorf("a pod of %s is seen by one elsewhere as %s, want %s", n, got, this.addr)
		}
		if got := sees(t, here, netip.AddrPortFrom(n.Address(), uint16(8080+i))); got != w.Address().String() {
			t.Errorf("by a port of %s its pod sees this machine as %s, want %s", n, got, w.Address())
		}
		if got := seenHere(t, w, this); got != n.Address().String() {
			t.Errorf("a pod of %s is seen by the world as %s, want %s", n, got, n.Address())
		}
	}
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
