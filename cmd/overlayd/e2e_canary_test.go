package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// byHooks is a network config whose hooks route to other nodes, and more.
func byHooks(more string) []byte {
	return network(onlyV4, `{"Type": "extension", "SubnetAddCommand": "ip route add $SUBNET via $PUBLIC_IP", "ShutdownCommand": "true"`+more+`}`)
}

// withMark has hooks make a link, so that one sees where they ran.
const withMark = `, "PostStartupCommand": "ip link add br-mark type bridge"`

func TestSomeNodesTryAConfigBeforeTheOthers(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, byHooks(""), 3)
	nodes := w.Nodes()
	canary, others := nodes[0], nodes[1:]
	w.up(nodes...)
	w.reach(nodes...)
	base := w.revision(canary)

	w.stage(byHooks(withMark), canary)
	w.awaitCanary(canary, control.CanaryRunning, "")
	w.wantMark(canary)
	w.wantNoMark(base, others...)
	w.reach(nodes...)
	line := "config canary --wait 1m --etcd-endpoints " + w.Endpoint()
	text := w.run(strings.Fields(line)...)
	if !strings.Contains(text, "running") {
		t.Errorf("config canary says\n%s", text)
	}
	wantColumns(t, line, text)
	w.conforms(canary, line)
	w.refused(exitFailed, "some nodes are trying another config", "config", "put", w.file(byHooks(`, "MTU": 1400`)))

	canary.Kill()
	w.up(canary)
	w.awaitCanary(canary, control.CanaryRunning, "")
	w.wantMark(canary)

	w.run("config", "put", "--abandon", "--etcd-endpoints", w.Endpoint())
	w.awaitNoCanary(base, nodes...)
	w.wantNoMark(base, nodes...)
	w.reach(nodes...)

	w.stage(byHooks(withMark), canary)
	w.stage(byHooks(withMark), canary, others[0]) // one more
	for _, n := range nodes[:2] {
		w.awaitCanary(n, control.CanaryRunning, "")
	}
	w.run("config", "canary", "--wait", "1m", "--etcd-endpoints", w.Endpoint())
	before := w.wantMark(canary)
	w.run("config", "put", "--continue", "--etcd-endpoints", w.Endpoint())
	w.awaitNoCanary(0, nodes...)
	for _, n := range nodes {
		w.wantMark(n)
	}
	if after := w.wantMark(canary); after != before {
		t.Errorf("what had run the config before made its link anew: %s, and before %s", after, before)
	}
	w.reach(nodes...)
	w.refused(exitFailed, "nothing is staged that could replace", "config", "put", "--continue")
}

func TestANodeWhoseHooksFailGoesBackAndSaysSo(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	for _, hook := range []string{"PreStartup", "PostStartup", "SubnetAdd"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, byHooks(withMark), 3)
			nodes := w.Nodes()
			canary := nodes[0]
			w.up(nodes...)
			base := w.revision(canary)
			bad := bytes.Replace(byHooks(""), []byte(`"SubnetAddCommand": "ip route add $SUBNET via $PUBLIC_IP"`),
				[]byte(`"`+hook+`Command": "ip link add br-bad type bridge; echo KEY-MATERIAL >&2; exit 3"`), 1)

			w.stage(bad, canary)
			w.awaitCanary(canary, control.CanaryWentBack, "exit status 3: KEY-MATERIAL")
			w.awaitRevision(base, nodes...)
			w.reach(nodes...)
			if text, err := canary.Shell("ls /sys/class/net"); err != nil || strings.Contains(text, "br-bad") {
				t.Errorf("what failed left something: %s, %v", text, err)
			}
			said := w.refused(exitDegraded, "", "config", "canary", "--wait", "1m", "-o", "json")
			var v canaryView
			must(t, json.Unmarshal([]byte(said), &v))
			if n := v.Nodes[0]; n.State != control.CanaryWentBack || !strings.Contains(n.Error, hook) || strings.Contains(said, "KEY-MATERIAL\"") {
				t.Errorf("config canary says %s", said)
			}
			if strings.Contains(v.Nodes[0].Error, "KEY-MATERIAL") {
				t.Errorf("what the hook printed is in etcd: %s", v.Nodes[0].Error)
			}
			w.refused(exitDegraded, "not all nodes that are to try it run it", "config", "put", "--continue")

			// A restart tries again, and goes back as well.
			must(t, canary.Stop(w.ctx))
			w.up(canary)
			w.awaitCanary(canary, control.CanaryWentBack, "exit status 3")
			w.awaitRevision(base, canary)
			w.reach(nodes...)

			w.run("config", "put", "--continue", "--force", "--etcd-endpoints", w.Endpoint())
			for _, n := range nodes {
				w.awaitCanary(n, control.CanaryWentBack, "exit status 3")
			}
			w.awaitRevision(base, nodes...)
			w.reach(nodes...)
			w.until("all nodes have said so", func() error {
				said := w.refused(exitDegraded, "", "config", "canary")
				if n := strings.Count(said, "went back"); n != len(nodes) {
					return errors.New(said)
				}
				return nil
			})
			w.run("config", "put", w.file(byHooks(withMark)), "--etcd-endpoints", w.Endpoint())
			w.awaitNoCanary(0, nodes...)
			w.reach(nodes...)
		})
	}
}

// A node that cannot reach etcd when hooks fail goes back once it can, and says so then.
func TestANodeGoesBackWhenEtcdIsBack(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, byHooks(""), 3)
	nodes := w.Nodes()
	canary := nodes[0]
	w.up(nodes...)
	w.reach(nodes...)
	base := w.revision(canary)
	w.stage(bytes.Replace(byHooks(""), []byte("ip route add"), []byte("touch runs; until [ -e go ]; do sleep 0.1; done; exit 3;"), 1), canary)
	w.until("the hook runs", func() error {
		_, err := canary.Shell("test -e /run/state/runs")
		return err
	})
	etcd := w.Address().String()
	_, err := canary.Shell("ip route add blackhole " + etcd + "/32")
	must(t, err)
	_, err = canary.Shell("touch /run/state/go")
	must(t, err)
	w.awaitCanary(canary, control.CanaryWentBack, "exit status 3")
	if said := w.refused(exitDegraded, "", "config", "canary"); !strings.Contains(said, "waiting") {
		t.Errorf("without etcd it has said something:\n%s", said)
	}
	_, err = canary.Shell("ip route del blackhole " + etcd + "/32")
	must(t, err)
	w.awaitRevision(base, nodes...)
	w.reach(nodes...)
	w.until("it has said so", func() error {
		if said := w.refused(exitDegraded, "", "config", "canary"); !strings.Contains(said, "went back") {
			return errors.New(said)
		}
		return nil
	})
}

// While one node tries another MTU, and then all have it, no ping is lost.
func TestANativeConfigIsTriedWithoutLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, network(onlyV4, `{"Type": "vxlan"}`), 3)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	next := network(onlyV4, `{"Type": "vxlan", "MTU": 1400}`)
	w.wantNoLoss(w.unharmed(nodes, func() {
		w.stage(next, nodes[0])
		w.awaitCanary(nodes[0], control.CanaryRunning, "")
	}))
	w.awaitLinks(nodes[0], "1350 flannel.1")
	w.awaitLinks(nodes[1], "1450 flannel.1")
	w.run("config", "canary", "--wait", "1m", "--etcd-endpoints", w.Endpoint())
	w.wantNoLoss(w.unharmed(nodes, func() {
		w.run("config", "put", "--continue", "--etcd-endpoints", w.Endpoint())
		w.awaitNoCanary(0, nodes...)
		for _, n := range nodes {
			w.awaitLinks(n, "1350 flannel.1")
		}
	}))
	w.reach(nodes...)
}

// A node that cannot listen where the staged config says goes back to where it did.
func TestANodeGoesBackFromANativeConfig(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, network(onlyV4, `{"Type": "wireguard"}`), 3)
	nodes := w.Nodes()
	canary := nodes[0]
	w.up(nodes...)
	w.reach(nodes...)
	base := w.revision(canary)
	_, err := canary.Shell("ip link add occupies type vxlan id 77 dev eth0 dstport 51999 && ip link set occupies up")
	must(t, err)
	w.stage(network(onlyV4, `{"Type": "wireguard", "ListenPort": 51999}`), canary)
	w.awaitCanary(canary, control.CanaryWentBack, "51999")
	w.awaitRevision(base, nodes...)
	w.reach(nodes...)
}

func TestWhatAFlawedStageSaysHarmsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, byHooks(withMark), 2)
	nodes := w.Nodes()
	w.up(nodes...)
	base := w.revision(nodes[0])
	key := defaultPrefix + "/overlayd/config/staged"
	id := w.identity(nodes[0])
	another := fmt.Sprintf(`{"base": %d, "nodes": [%q], "value": %q}`, base+1, id, "e30=")
	for text, want := range map[string]string{
		"garbage": "",
		fmt.Sprintf(`{"base": %d, "nodes": [%q], "value": %q}`, base, id, "e30="): "refuses", // {}
		another: "",
		stagedText(base, id, network(onlyV4, `{"Type": "vxlan"}`)): "differ in", // which the other would set aside
		stagedText(base, "not this node", byHooks("")):             "",
	} {
		w.put(key, text)
		w.await(nodes[0], func(s control.Status) error {
			got := ""
			if s.Config.Canary != nil {
				got = s.Config.Canary.String()
			}
			if !strings.Contains(got, want) || want == "" && got != "" {
				return fmt.Errorf("it %s, want %q", got, want)
			}
			return nil
		})
		if text == another {
			w.refused(exitDegraded, "", "config", "canary", "--wait", "1h") // nobody will say anything
		}
	}
	w.awaitRevision(base, nodes...)
	w.wantMark(nodes[0])
	w.put(key, "garbage")
	w.refused(exitFailed, "this is no staged network config", "config", "canary", "--wait", "1h")
	w.run("config", "put", "--abandon", "--etcd-endpoints", w.Endpoint())
	w.refused(exitFailed, "nothing is staged", "config", "put", "--abandon")
	w.awaitNoCanary(base, nodes...)
	w.reach(nodes...)
}

func stagedText(base int64, id string, config []byte) string {
	text, _ := json.Marshal(map[string]any{"base": base, "nodes": []string{id}, "value": config})
	return string(text)
}

// revision is that of the config which the node uses.
func (w *world) revision(n *cluster.Node) int64 {
	w.Helper()
	s, err := n.Status(w.ctx)
	must(w.T, err)
	return s.Config.Revision
}

func (w *world) identity(n *cluster.Node) string {
	w.Helper()
	s, err := n.Status(w.ctx)
	must(w.T, err)
	return s.Daemon.NodeID
}

// file is the path of a file with the text.
func (w *world) file(text []byte) string {
	w.Helper()
	path := filepath.Join(w.TempDir(), "network.json")
	must(w.T, os.WriteFile(path, text, 0o600))
	return path
}

// stage has the nodes try the config before the others.
func (w *world) stage(config []byte, canaries ...*cluster.Node) {
	w.Helper()
	args := []string{"config", "put", w.file(config), "--etcd-endpoints", w.Endpoint()}
	for _, n := range canaries {
		args = append(args, "--canary", n.Subnets())
	}
	w.run(args...)
}

// refused runs overlayd to its end, which must be of that status and for that reason, and returns what it printed.
func (w *world) refused(status int, why string, args ...string) string {
	w.Helper()
	cmd := exec.CommandContext(w.ctx, "overlayd", append(args, "--etcd-endpoints", w.Endpoint())...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != status || !strings.Contains(stderr.String(), why) {
		w.Errorf("overlayd %s: %v, want status %d and %q\n%s%s", strings.Join(args, " "), err, status, why, stdout, &stderr)
	}
	return string(stdout)
}

// awaitCanary waits until the node says that it stands so to a staged config.
func (w *world) awaitCanary(n *cluster.Node, state control.CanaryState, why string) {
	w.Helper()
	w.await(n, func(s control.Status) error {
		if c := s.Config.Canary; c == nil || c.State != state || !strings.Contains(c.Error, why) {
			return fmt.Errorf("its canary is %+v, want it %s: %s", c, state, why)
		}
		return nil
	})
}

// awaitNoCanary waits until the nodes have no part in a roll-out any more, and are up with the config of the revision, 0 for any.
func (w *world) awaitNoCanary(revision int64, nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if s.Config.Canary != nil {
				return fmt.Errorf("its canary is %+v", s.Config.Canary)
			}
			return nil
		})
	}
	w.awaitRevision(revision, nodes...)
}

// awaitRevision waits until the nodes are ready with the config of the revision, 0 for any.
func (w *world) awaitRevision(revision int64, nodes ...*cluster.Node) {
	w.Helper()
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if revision != 0 && s.Config.Revision != revision || !s.Health.Ready {
				return fmt.Errorf("it uses revision %d, want %d, and is %v", s.Config.Revision, revision, s.Health)
			}
			return nil
		})
	}
}

// wantMark waits until the node has the marking link, and returns its number.
func (w *world) wantMark(n *cluster.Node) (index string) {
	w.Helper()
	w.until(fmt.Sprintf("%s has the mark", n), func() (err error) {
		index, err = n.Shell("cat /sys/class/net/br-mark/ifindex")
		return err
	})
	return index
}

// wantNoMark wants the nodes to use the config of the revision and to have no marking link.
func (w *world) wantNoMark(revision int64, nodes ...*cluster.Node) {
	w.Helper()
	w.awaitRevision(revision, nodes...)
	for _, n := range nodes {
		links, err := n.Links()
		must(w.T, err)
		if slices.Contains(links, "br-mark") {
			w.Errorf("%s has a mark", n)
		}
	}
}
