package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease/etcd"
)

// patience is how long a test waits for what should take a second. The machine may be busy with other tests, or emulated.
const patience = 4 * time.Minute

// example is the text of an example config, and its file.
func example(t *testing.T, name string) (text []byte, file string) {
	t.Helper()
	file = "../../examples/" + name + ".json"
	text, err := os.ReadFile(file)
	must(t, err)
	return text, file
}

// A world is a cluster of real daemons, for one test.
type world struct {
	*testing.T
	*cluster.Cluster
	ctx context.Context // ends when the test has waited long enough
}

// worlds counts the clusters of this process: each has a cable and an underlay of its own.
var worlds atomic.Uint32

// newWorld makes a cluster with the network config and connects so many nodes, none of them started. When the test ends,
// all of it is removed; daemons that ended by themselves, panicked or raced make the test fail.
func newWorld(t *testing.T, config []byte, nodes int) *world {
	t.Helper()
	return newWorldOver(t, config, nodes, false)
}

// newWorldOver is newWorld whose underlay has IPv6 too, if so wanted.
func newWorldOver(t *testing.T, config []byte, nodes int, dual bool) *world {
	t.Helper()
	if dual {
		return newWorldOn(t, config, nodes, "4", "6")
	}
	return newWorldOn(t, config, nodes, "4")
}

// newWorldOn is newWorld whose underlay is of the families given, "4" and "6", of which etcd is reached by the first.
func newWorldOn(t *testing.T, config []byte, nodes int, families ...string) *world {
	t.Helper()
	binary, err := exec.LookPath("overlayd")
	must(t, err)
	number := worlds.Add(1)
	dir := t.TempDir()
	var underlays []netip.Prefix
	for _, f := range families {
		underlay := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(number), 0}), 24) // of the range that RFC 2544 sets aside for benchmarks
		if f == "6" {
			underlay = netip.MustParsePrefix(fmt.Sprintf("2001:db8:0:%x::/64", number))
		}
		underlays = append(underlays, underlay)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	c, err := cluster.New(ctx, cluster.Options{
		Config: config, Binary: binary, Dir: dir, Cable: fmt.Sprint("cable", number), Underlays: underlays,
		Logger: slog.New(slog.DiscardHandler), Ended: func(err error) { t.Error(err) },
	})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		readLogs(t, c)
	})
	w := &world{t, c, ctx}
	for range nodes {
		_, err := c.Add()
		must(t, err)
	}
	must(t, cluster.Connected(ctx, c.Nodes()))
	return w
}

// readLogs looks for what no daemon should ever say, and shows what they said when the test has failed.
func readLogs(t *testing.T, c *cluster.Cluster) {
	for _, n := range c.Nodes() {
		text, err := os.ReadFile(n.Log())
		must(t, err)
		for _, bad := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if bytes.Contains(text, []byte(bad)) {
				t.Errorf("%s: %s", n, bad)
			}
		}
		if t.Failed() {
			t.Logf("%s said\n%s", n, text[max(0, len(text)-8<<10):])
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// up starts the nodes that are given, and waits until each has a subnet.
func (w *world) up(nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		must(w.T, n.Start())
	}
	for _, n := range nodes {
		must(w.T, n.Join(w.ctx))
	}
}

// reach waits until all of the nodes reach each other.
func (w *world) reach(nodes ...*cluster.Node) {
	w.Helper()
	must(w.T, cluster.Reach(w.ctx, patience, cluster.Pairs(nodes, nodes), func(*cluster.Node) {}))
}

// await waits until the node's status is as wanted.
func (w *world) await(n *cluster.Node, wanted func(control.Status) error) {
	w.Helper()
	if err := n.Await(w.ctx, wanted); err != nil {
		w.Fatalf("%s: %v", n, err)
	}
}

// put writes to the cluster's etcd what no overlayd would.
func (w *world) put(key, value string) {
	w.Helper()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{w.Endpoint()}})
	must(w.T, err)
	defer client.Close()
	_, err = client.Put(w.ctx, key, value)
	must(w.T, err)
}

// delete deletes a key from the cluster's etcd, if it is there.
func (w *world) delete(key string) {
	w.Helper()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{w.Endpoint()}})
	must(w.T, err)
	defer client.Close()
	_, err = client.Delete(w.ctx, key)
	must(w.T, err)
}

// run runs overlayd to its end, which must be a success, and returns what it printed.
func (w *world) run(args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.ctx, "overlayd", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		w.Fatalf("overlayd %s: %v\n%s%s", strings.Join(args, " "), err, stdout, &stderr)
	}
	return string(stdout)
}

// status is what "overlayd status" says of the node.
func (w *world) status(n *cluster.Node) string {
	w.Helper()
	return w.run("status", "--run-dir", fmt.Sprintf("/proc/%d/root%s", n.PID(), defaultRunDir))
}
