package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/cluster"
)

// everything is the node's kernel state and files, as the real tools tell of it, but for what the cluster makes for its pings and
// link-local addresses, which the kernel gives in its own time, with the groups that go with them.
func (w *world) everything(n *cluster.Node) string {
	w.Helper()
	text, err := n.Shell(`ip -o link; ip -o addr; ip route show table all; ip -6 route show table all; ip rule; ip neigh show nud permanent
		bridge fdb; nft list ruleset; sysctl -a 2>/dev/null | grep forward; find /run | sort`)
	must(w.T, err)
	return regexp.MustCompile(`(?m)^.*(pods0|fe80::|33:33:ff:| 10\.50\.\d+\.[01255]+ ).*\n`).ReplaceAllString(counters.ReplaceAllString(text, ""), "")
}

// counters are what changes by itself.
var counters = regexp.MustCompile(`packets \d+ bytes \d+|(preferred|valid)_lft \S+|expires \S+|^\d+: `)

func TestACleanupTakesAllThatIsOursAndNothingElse(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "nft")
	hooks, _ := example(t, "vxlan")
	for name, config := range map[string]string{
		"hooks":   string(hooks),
		"vxlan":   `{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`,
		"host-gw": `{"Network": "10.50.0.0/16", "Backend": {"Type": "host-gw"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []byte(config), 2)
			n := w.Nodes()[0]
			_, err := n.Shell(`ip link add theirs0 type bridge && ip addr add 10.77.0.1/16 dev theirs0 && ip link set theirs0 up &&
				ip route add 10.78.0.0/16 via 10.77.0.9 && ip rule add to 10.78.0.0/16 lookup 77 &&
				ip neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev theirs0 &&
				nft add table inet theirs && nft add table ip overlayd &&
				mkdir -p /run/overlayd /run/flannel && touch /run/overlayd/theirs /run/flannel/theirs.env`)
			must(t, err)
			before := w.everything(n)
			n.Args = append(n.Args, "--ip-masq")
			w.up(w.Nodes()...)
			w.reach(w.Nodes()...)
			if rules := w.ruleset(n); strings.Count(rules, "counter packets 0 bytes 0 masquerade") != 2 {
				t.Errorf("what went between containers was masqueraded:\n%s", rules)
			}
			if _, err := n.Shell("overlayd cleanup --state-dir /run/state --dry-run"); err == nil || !strings.Contains(err.Error(), "stop it") {
				t.Errorf("beside a running daemon a cleanup says %v", err)
			}
			must(t, n.Stop(w.ctx))

			with := w.everything(n)
			plan, err := n.Shell("overlayd cleanup --state-dir /run/state --state --dry-run")
			must(t, err)
			if diff := cmp.Diff(with, w.everything(n)); diff != "" {
				t.Errorf("a dry run changed (-before +after):\n%s", diff)
			}
			done, err := n.Shell("overlayd cleanup --state-dir /run/state --state --release --etcd-endpoints " + w.Endpoint())
			must(t, err)
			if diff := cmp.Diff(before, w.everything(n)); diff != "" {
				t.Errorf("a cleanup left or took too much (-before +after):\n%s", diff)
			}
			if !strings.Contains(done, n.Subnets()+" released\n") {
				t.Errorf("the lease was not released:\n%s", done)
			}
			if diff := cmp.Diff(plan, strings.ReplaceAll(done, n.Subnets()+" released\n", "")); diff != "" {
				t.Errorf("what was done (-planned +done):\n%s", diff)
			}
			again, err := n.Shell("overlayd cleanup --state-dir /run/state --state --release --etcd-endpoints " + w.Endpoint())
			if err != nil || again != "" {
				t.Errorf("another cleanup does %q, %v", again, err)
			}
		})
	}
}

func TestACleanupKeepsAnEtcdMember(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, run := filepath.Join(dir, "state"), filepath.Join(dir, "run")
	must(t, os.MkdirAll(filepath.Join(state, "etcd"), 0o700), os.WriteFile(filepath.Join(state, "node-id"), nil, 0o600))
	out, err := exec.Command("overlayd", "cleanup", "--state", "--state-dir", state, "--run-dir", run,
		"--subnet-file", filepath.Join(dir, "subnet.env")).CombinedOutput()
	must(t, err)
	if want := "overlayd: " + state + " stays: there is an etcd member in it, which may be all that a cluster has\n"; string(out) != want {
		t.Errorf("it says %q, want %q", out, want)
	}
	if _, err := os.Stat(filepath.Join(state, "node-id")); err != nil {
		t.Errorf("the member's node has lost its identity: %v", err)
	}
}

// What the printed plan says can be done by hand as well.
func TestAPlannedCleanupIsCommands(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "nft")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 2)
	n := w.Nodes()[0]
	before := w.everything(n)
	n.Args = append(n.Args, "--ip-masq")
	w.up(w.Nodes()...)
	w.reach(w.Nodes()...)
	must(t, n.Stop(w.ctx))
	plan, err := n.Shell("overlayd cleanup --state-dir /run/state --state --dry-run")
	must(t, err)
	if _, err := n.Shell("set -e\n" + plan); err != nil {
		t.Errorf("%v\n%s", err, plan)
	}
	if diff := cmp.Diff(before, strings.ReplaceAll(w.everything(n), "/run/flannel\n", "")); diff != "" {
		t.Errorf("the plan left or took too much (-before +after):\n%s", diff)
	}
}
