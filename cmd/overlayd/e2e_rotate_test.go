package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/cluster"
)

// Packets go past the links whose key is replaced, so that none is lost, one node after the other and all at once. It runs alone: on a
// slow machine with others beside it, packets are lost for want of processors.
func TestKeysAreRotatedWhilePacketsPass(t *testing.T) {
	tools(t, "wg", "nsenter")
	families, count := dual, 3
	if makes(t, "wireguard") { // in a machine that may be emulated
		families, count = onlyV4, 2
	}
	w := newWorldOver(t, network(families, `{"Type": "wireguard"}`), count, true)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	w.ctx = ctx
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	w.rotateUnharmed(nodes[0])
	w.rotateUnharmed(nodes...)
	w.reach(nodes...)
}

// rotateUnharmed rotates, during which no packet may be lost in the overlay unless the machine loses some on the underlay, too: it
// tries again then.
func (w *world) rotateUnharmed(rotated ...*cluster.Node) {
	w.Helper()
	for range 3 {
		beside, err := cluster.StartStream(w.ctx, cluster.Underlays(w.Nodes()))
		must(w.T, err)
		defer beside.Stop()
		losses := w.unharmed(w.Nodes(), func() { w.rotate(rotated...) })
		lost := beside.Stop()
		if len(lost) == 0 {
			w.wantNoLoss(losses)
		}
		if len(lost) == 0 || len(losses) == 0 {
			return
		}
		w.Logf("the machine loses packets by itself: %v", lost)
	}
	w.Skip("the machine loses packets by itself, so that nothing can be said")
}

// rotate gives nodes other keys, and waits until all nodes know these alone, have shaken hands under them, and have no detour left.
func (w *world) rotate(rotated ...*cluster.Node) {
	w.Helper()
	olds, keys := make([]string, len(rotated)), make([]string, len(rotated))
	var g errgroup.Group
	for i, n := range rotated {
		text, err := n.Shell("wg show flannel-wg public-key")
		must(w.T, err)
		olds[i] = strings.TrimSpace(text)
		g.Go(func() error {
			text, err := w.insideOf(n, "overlayd", "wg", "rotate", "--state-dir", "/run/state")
			keys[i] = strings.TrimSpace(text)
			return err
		})
	}
	must(w.T, g.Wait())
	for i, key := range keys {
		if key == olds[i] || key == "" {
			w.Errorf("the key of %s was %s, and is %s", rotated[i], olds[i], key)
		}
		for _, n := range w.Nodes() {
			want := len(n.SubnetFile().Subnets) // on each link it is the link's own
			if n != rotated[i] {
				want *= 2 // it is told and has shaken hands
			}
			w.until(fmt.Sprintf("%s knows the new key of %s alone", n, rotated[i]), func() error {
				text, err := n.Shell("wg show all public-key; wg show all peers; wg show all latest-handshakes | grep -v '\t0$'; ls /sys/class/net")
				if strings.Contains(text, olds[i]) || strings.Count(text, key) != want || strings.Contains(text, "flannel-wg-x") {
					return fmt.Errorf("it has\n%s%v", text, err)
				}
				return nil
			})
		}
	}
}

// insideOf runs a program in the namespaces of the node's daemon, and returns what it printed.
func (w *world) insideOf(n *cluster.Node, argv ...string) (string, error) {
	cmd := exec.CommandContext(w.ctx, "nsenter", append([]string{"-t", fmt.Sprint(n.PID()), "-n", "-m", "--"}, argv...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%q: %w: %s", argv, err, &stderr)
	}
	return string(out), err
}
