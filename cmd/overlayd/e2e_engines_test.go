package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// podDir makes a directory with the program of a container, and nothing else.
func podDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "pod"), "testdata/pod/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the container's program: %v\n%s", err, out)
	}
	return dir
}

// subnets waits until two nodes are up for each other, with a config for CNI in the file, and returns what they have.
func (w *world) subnets(cni string) []netip.Prefix {
	w.Helper()
	all := make([]netip.Prefix, 2)
	for i, n := range w.Nodes() {
		w.await(n, func(s control.Status) error {
			if s.Node.State == hooks.NodeUp {
				all[i] = s.Node.Paths[0].Subnet
			}
			if len(s.Peers) != 1 || s.Peers[0].State != hooks.PeerUp {
				return fmt.Errorf("peers are %+v", s.Peers)
			}
			return nil
		})
		w.until("the config for CNI is there", func() error {
			_, err := n.Shell("test -s " + cni)
			return err
		})
	}
	return all
}

// startEngine starts a container engine on the node, waits until its client answers, and ends it with the test. The command is given
// a file for what the engine says.
func (w *world) startEngine(n *cluster.Node, command func(log string) string, ready, stop string) {
	w.Helper()
	log := filepath.Join(w.TempDir(), "log")
	ctx, ended := context.WithCancelCause(context.Background())
	go func() {
		_, err := n.Shell(command(log))
		ended(errors.Join(err, errors.New("the engine has ended")))
	}()
	w.Cleanup(func() {
		if _, err := n.Shell(stop); err == nil {
			<-ctx.Done()
		}
		if w.Failed() {
			text, _ := os.ReadFile(log)
			w.Logf("the engine on %s said\n%s", n, text)
		}
	})
	w.until("the engine answers", func() error {
		if ctx.Err() != nil {
			w.Fatal(context.Cause(ctx))
		}
		_, err := n.Shell(ready)
		return err
	})
}

// mountCgroups gives the node's containers a place for their cgroups, and clears the group with the test.
func (w *world) mountCgroups(n *cluster.Node, group string) {
	w.Helper()
	if _, err := n.Shell("mount -t cgroup2 cgroup2 /sys/fs/cgroup"); err != nil {
		w.Skip(err)
	}
	w.Cleanup(func() {
		if _, err := n.Shell("! test -e /sys/fs/cgroup/" + group + " || find /sys/fs/cgroup/" + group + " -depth -type d -exec rmdir {} +"); err != nil {
			w.Error(err)
		}
	})
}

// wantSeen looks at what a container was told by one of another node: that it has its own address of the subnet, and the overlay's MTU.
func wantSeen(t *testing.T, answer string, subnet netip.Prefix) {
	t.Helper()
	var mtu int
	var from string
	_, err := fmt.Sscan(answer, &mtu, &from)
	must(t, err)
	address, err := netip.ParseAddrPort(from)
	must(t, err)
	if !subnet.Contains(address.Addr()) || address.Addr() == subnet.Addr().Next() || mtu != 1450 {
		t.Errorf("a container in %s is seen by one elsewhere as %s, and has an MTU of %d", subnet, address, mtu)
	}
}
