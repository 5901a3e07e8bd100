package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// What the tests find in the environment: the directory with what was built of flannel for them, or why it was not.
const (
	flannelPrograms = "OVERLAYD_TEST_FLANNEL"
	flannelTrouble  = "OVERLAYD_TEST_FLANNEL_TROUBLE"
)

// buildFlannel builds a node of flannel's own packages, and its CNI plugin, whose modules are not to be had inside the namespaces that
// tests run in. The tests that need them find them in the environment, where they stay until remove is called.
func buildFlannel() (remove func()) {
	if os.Getenv(flannelPrograms) != "" { // by the process outside
		return func() {}
	}
	dir, err := os.MkdirTemp("", "flannel-")
	os.Setenv(flannelPrograms, dir)
	for _, of := range []struct{ module, pkg, program string }{
		{"flannelnode", ".", "flanneld"},
		{"flannelcni", "github.com/containernetworking/plugins/plugins/meta/flannel", "flannel"},
	} {
		if err != nil {
			break
		}
		build := exec.Command("go", "build", "-o", filepath.Join(dir, of.program), of.pkg)
		build.Dir = filepath.Join("..", "..", "internal", of.module)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
		var said []byte
		if said, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build internal/%s: %w\n%s", of.module, err, said)
		}
	}
	if err != nil {
		os.Setenv(flannelTrouble, err.Error())
	}
	return func() { os.RemoveAll(dir) }
}

// flannelDir is the directory with the programs that were built, flanneld and the CNI plugin flannel.
func flannelDir(t *testing.T) string {
	t.Helper()
	if trouble := os.Getenv(flannelTrouble); trouble != "" {
		t.Fatal(trouble)
	}
	return os.Getenv(flannelPrograms)
}

// asFlannel makes the nodes run flannel from their next start on.
func (w *world) asFlannel(nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		n.Program = filepath.Join(flannelDir(w.T), "flanneld")
		n.Args = []string{"--etcd-endpoints", w.Endpoint(), "--ip-masq"}
	}
}

// upAsFlannel starts the nodes, one after the other, since those that start together may get one subnet from flannel, and waits until
// each has its own.
func (w *world) upAsFlannel(nodes ...*cluster.Node) {
	w.Helper()
	w.asFlannel(nodes...)
	for _, n := range nodes {
		must(w.T, n.Start())
		must(w.T, n.JoinAsFlannel(w.ctx))
	}
}

// asOverlayd makes the nodes run overlayd from their next start on.
func (w *world) asOverlayd(nodes ...*cluster.Node) {
	for _, n := range nodes {
		n.Program, n.Args = "", append(w.Args(), "--ip-masq", "--forward-rules")
	}
}

// answered waits until all of the nodes reach each other, whatever they run.
func (w *world) answered(nodes ...*cluster.Node) {
	w.Helper()
	must(w.T, cluster.Answered(w.ctx, patience, cluster.Pairs(nodes, nodes)))
}
