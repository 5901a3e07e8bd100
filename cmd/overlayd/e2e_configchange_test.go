package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// While five nodes ping each other the network config becomes one that is refused, one of the same type, one of another type, and
// by rollback what it was. No daemon starts anew, and no ping is lost.
func TestFiveNodesKeepTalkingWhileTheConfigIsEdited(t *testing.T) {
	t.Parallel()
	before := network(onlyV4, `{"Type": "vxlan"}`)
	w := newWorldOver(t, before, 5, false)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	first := w.wantInUse(nodes, "vxlan", "1450 flannel.1")
	daemons := map[*cluster.Node]int{}
	for _, n := range nodes {
		s, err := n.Status(w.ctx)
		must(t, err)
		daemons[n] = s.Daemon.PID
	}
	step := func(what string, do func()) {
		for _, l := range w.unharmed(nodes, do) {
			t.Errorf("%s: %s", what, l)
		}
		w.reach(nodes...)
	}

	step("a bad edit", func() {
		w.put(defaultPrefix+"/config", `{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": "one"}}`)
		w.wantRefused(nodes, first, "VNI")
	})
	step("a good edit", func() { w.change(nodes, network(onlyV4, `{"Type": "vxlan", "MTU": 1400}`)) })
	w.wantInUse(nodes, "vxlan", "1350 flannel.1")
	step("another type", func() {
		w.change(nodes, network(onlyV4, `{"Type": "wireguard"}`))
		w.wantInUse(nodes, "wireguard", "1420 flannel-wg")
	})
	step("a rollback", func() {
		w.followed(nodes, func() {
			w.run("config", "rollback", "--etcd-endpoints", w.Endpoint(), strconv.FormatInt(first, 10))
		})
		w.wantInUse(nodes, "vxlan", "1450 flannel.1")
	})

	var history configHistory
	must(t, json.Unmarshal([]byte(w.run("config", "history", "-o", "json", "--etcd-endpoints", w.Endpoint())), &history))
	if got := history.Configs[0].Config; got != string(before) {
		t.Errorf("in the end the config is %s, want %s", got, before)
	}
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if s.Daemon.PID != daemons[n] {
				return fmt.Errorf("its daemon is process %d, and was %d", s.Daemon.PID, daemons[n])
			}
			return nil
		})
	}
}

// wantInUse waits until all nodes say that they use that backend and have no problem, with these links alone, and returns the
// revision of the config.
func (w *world) wantInUse(nodes []*cluster.Node, backend, links string) (revision int64) {
	w.Helper()
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			c := s.Config
			if c.Backend != backend || c.Problem != "" || s.Node.State != hooks.NodeUp || revision != 0 && c.Revision != revision {
				return fmt.Errorf("it is %q with backend %s of revision %d, and says %q", s.Node.State, c.Backend, c.Revision, c.Problem)
			}
			revision = c.Revision
			return nil
		})
		w.awaitLinks(n, links)
	}
	return revision
}

// awaitLinks waits until the node has these native links alone, each behind its MTU.
func (w *world) awaitLinks(n *cluster.Node, links string) {
	w.Helper()
	w.until(fmt.Sprintf("%s has %q alone", n, links), func() error {
		text, err := n.Shell("for l in $(ls /sys/class/net | grep flannel); do cat /sys/class/net/$l/mtu; echo $l; done | xargs")
		if got := strings.TrimSpace(text); got != links || err != nil {
			return fmt.Errorf("it has %s, %v", got, err)
		}
		return nil
	})
}

// wantRefused waits until all nodes say why they refuse the config, while they use that of the revision.
func (w *world) wantRefused(nodes []*cluster.Node, revision int64, why string) {
	w.Helper()
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			c := s.Config
			if !strings.HasPrefix(c.Problem, "the last good network config stays: ") || !strings.Contains(c.Problem, why) || c.Revision != revision {
				return fmt.Errorf("it uses revision %d, and says %q", c.Revision, c.Problem)
			}
			return nil
		})
		if text := w.status(n); !strings.Contains(strings.Join(strings.Fields(text), " "), "the last good network config stays") {
			w.Errorf("overlayd status says on %s\n%s", n, text)
		}
	}
}
