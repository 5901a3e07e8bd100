package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// What the tests find in the environment of a flannel that was built for them, or why it was not.
const (
	flannelProgram = "OVERLAYD_TEST_FLANNELD"
	flannelTrouble = "OVERLAYD_TEST_FLANNELD_TROUBLE"
)

// buildFlannel builds a node of flannel's own packages, which are not to be had inside the namespaces that tests run in. The tests that
// need it find it in the environment, where it stays until remove is called.
func buildFlannel() (remove func()) {
	if os.Getenv(flannelProgram) != "" { // by the process outside
		return func() {}
	}
	dir, err := os.MkdirTemp("", "flannel-")
	if err == nil {
		os.Setenv(flannelProgram, filepath.Join(dir, "flanneld"))
		build := exec.Command("go", "build", "-o", os.Getenv(flannelProgram), ".")
		build.Dir = filepath.Join("..", "..", "internal", "flannelnode")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
		var said []byte
		if said, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, said)
		}
	}
	if err != nil {
		os.Setenv(flannelTrouble, fmt.Sprintf("build internal/flannelnode: %v", err))
	}
	return func() { os.RemoveAll(dir) }
}

// flannel is the program that was built.
func flannel(t *testing.T) string {
	t.Helper()
	if trouble := os.Getenv(flannelTrouble); trouble != "" {
		t.Fatal(trouble)
	}
	return os.Getenv(flannelProgram)
}

// asFlannel makes the nodes run flannel from their next start on.
func (w *world) asFlannel(nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		n.Program = flannel(w.T)
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
