package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
)

func TestARestartedNodeKeepsItsSubnetAndIsReachedAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		routes int // to each other node
	}{{"vxlan", 1}, {"host-gw", 1}, {"wireguard", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config, _ := example(t, tt.name)
			w := newWorld(t, config, 3)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			restarted := nodes[1]
			before := restarted.Subnets()
			for how, end := range map[string]func() error{
				"stopped": func() error { return restarted.Stop(w.ctx) },
				"killed":  func() error { restarted.Kill(); return nil },
			} {
				must(t, end())
				w.up(restarted)
				if after := restarted.Subnets(); after != before {
					t.Errorf("subnet was %s, and is %s after the daemon was %s", before, after, how)
				}
				w.reach(nodes...)
				w.wantRoutes(tt.routes, nodes)
			}
		})
	}
}

// wantRoutes wants each of the nodes to have so many routes to each other one.
func (w *world) wantRoutes(want int, nodes []*cluster.Node) {
	w.Helper()
	for _, p := range cluster.Pairs(nodes, nodes) {
		routes, err := p.From.RoutesTo(p.To)
		must(w.T, err)
		if len(routes) != want {
			w.Errorf("%s: routes %v, want %d", p, routes, want)
		}
	}
}

// subnetsKey is what the keys of leases begin with.
const subnetsKey = defaultPrefix + "/subnets/"

func TestGarbageAmongTheLeasesHarmsNobody(t *testing.T) {
	t.Parallel()
	config, _ := example(t, "vxlan")
	// The nodes' own subnets are none of those that are written below.
	config = bytes.Replace(config, []byte("{"), []byte(`{"SubnetMin": "10.50.128.0",`), 1)
	w := newWorld(t, config, 4)
	nodes := w.Nodes()
	running, late := nodes[:3], nodes[3]
	w.up(running...)

	sentinel := filepath.Join(t.TempDir(), "executed")
	evil := []string{"$(touch " + sentinel + ")", "; touch " + sentinel, "`touch " + sentinel + "`", "\n touch " + sentinel + "\n"}
	var unreadable, peers []string
	write := func(list *[]string, key, value string) {
		w.put(subnetsKey+key, value)
		*list = append(*list, key)
	}
	write(&unreadable, "no-subnet-at-all", "{}")
	write(&unreadable, "10.50.1.0-99", "{}")
	write(&unreadable, "10.99.1.0-24", `{"PublicIP": "192.0.2.99"}`)
	write(&unreadable, "10.50.2.0-24", "not JSON")
	write(&unreadable, "10.50.3.0-24", "null")
	write(&unreadable, "10.50.4.0-24", strings.Repeat("x", 1<<20))
	write(&unreadable, "10.50.5.0-24", `{"PublicIP": "192.0.2.5", "BackendData": "`+strings.Repeat("x", 1<<20)+`"}`)
	for i, text := range evil {
		write(&unreadable, text+"10.50.6.0-24", "{}")
		write(&unreadable, fmt.Sprintf("10.50.%d.0-24", 10+i), fmt.Sprintf(`{"PublicIP": %q}`, text))
		// These two are leases, so hooks run for them, with the text on stdin.
		write(&peers, fmt.Sprintf("10.50.%d.0-24", 20+i),
			fmt.Sprintf(`{"PublicIP": "192.0.2.99", "BackendType": "extension", "NodeID": %q, "BackendData": %[1]q}`, text))
		write(&peers, fmt.Sprintf("10.50.%d.0-24", 30+i),
			fmt.Sprintf(`{"PublicIP": "192.0.2.99", "BackendType": %q, "BackendData": {"it is no string": %[1]q}}`, text))
	}

	w.up(late)
	w.reach(nodes...)
	for _, n := range []*cluster.Node{running[0], late} {
		w.await(n, func(s control.Status) error {
			var listed []string
			for _, u := range s.Unreadable.First {
				listed = append(listed, u.Key)
			}
			if diff := cmp.Diff(unreadable, listed, cmpopts.SortSlices(strings.Compare)); diff != "" || s.Unreadable.Count != len(unreadable) {
				return fmt.Errorf("%d are unreadable, (-want +got):\n%s", s.Unreadable.Count, diff)
			}
			if want := len(nodes) - 1 + len(peers); len(s.Peers) != want {
				return fmt.Errorf("it has %d peers, want %d", len(s.Peers), want)
			}
			for _, p := range s.Peers {
				if p.State == hooks.PeerPending {
					return fmt.Errorf("no hook ran yet for %s", p.Paths[0].Subnet)
				}
			}
			return nil
		})
	}
	if text, want := w.status(late), fmt.Sprintf("%d of the keys among the leases", len(unreadable)); !strings.Contains(text, want) {
		t.Errorf("overlayd status does not say %q:\n%s", want, text)
	}
	if _, err := os.Lstat(sentinel); !os.IsNotExist(err) {
		t.Errorf("what a lease said was executed: %v", err)
	}
}

func TestANodeWhoseLeaseIsOverwrittenIsReachedAgain(t *testing.T) {
	t.Parallel()
	config, _ := example(t, "host-gw")
	for _, tt := range []struct {
		name, value string
		keeps       bool // its subnet
	}{
		{"with garbage", "not JSON", true},
		{"with another node's lease", `{"PublicIP": "192.0.2.99", "BackendType": "extension"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config, 2)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			robbed := nodes[0]
			before := robbed.Subnets()
			w.put(subnetsKey+strings.ReplaceAll(before, "/", "-"), tt.value)
			w.until("the node has noticed", func() error {
				log, err := os.ReadFile(robbed.Log())
				if err == nil && !bytes.Contains(log, []byte("overwritten")) {
					return errors.New("its log does not say so")
				}
				return err
			})
			must(t, robbed.Join(w.ctx))
			if after := robbed.Subnets(); (after == before) != tt.keeps {
				t.Errorf("subnet was %s, and is %s", before, after)
			}
			w.reach(nodes...)
		})
	}
}

func TestNodesFollowTheNetworkConfig(t *testing.T) {
	t.Parallel()
	config, _ := example(t, "host-gw")
	_, next := example(t, "vxlan")
	w := newWorld(t, config, 3)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	revision := func(n *cluster.Node) int64 {
		s, err := n.Status(w.ctx)
		must(t, err)
		return s.Config.Revision
	}

	first := revision(nodes[0])
	w.run("config", "put", "--etcd-endpoints", w.Endpoint(), next)
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if s.Config.Revision == first || s.Node.State != hooks.NodeUp {
				return fmt.Errorf("it is %q with the config of revision %d", s.Node.State, s.Config.Revision)
			}
			return nil
		})
		must(t, n.Join(w.ctx))
		links, err := n.Links()
		must(t, err)
		if !slices.Contains(links, "flannel-vxlan") {
			t.Errorf("%s has links %q, none of vxlan", n, links)
		}
	}
	w.reach(nodes...)
	w.wantRoutes(1, nodes)

	second := revision(nodes[0])
	w.put(defaultPrefix+"/config", `{"Network": "10.50.0.0/16", "Backend": {"Type": "nonsense"}}`)
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if !strings.Contains(s.Config.Problem, "the last good network config stays") || !strings.Contains(s.Config.Problem, "nonsense") {
				return fmt.Errorf("its problem is %q", s.Config.Problem)
			}
			return nil
		})
		if text := w.status(n); !strings.Contains(text, "the last good network config stays") {
			t.Errorf("overlayd status says\n%s", text)
		}
		if now := revision(n); now != second {
			t.Errorf("%s uses revision %d, want that of before, %d", n, now, second)
		}
	}
	w.reach(nodes...)

	w.run("config", "put", "--etcd-endpoints", w.Endpoint(), next)
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if s.Config.Problem != "" || s.Config.Revision == second {
				return fmt.Errorf("its problem is %q with the config of revision %d", s.Config.Problem, s.Config.Revision)
			}
			return nil
		})
	}
	w.reach(nodes...)
}

// faulty is host-gw whose SubnetAdd fails for node 2, hangs for node 3, and for node 4 floods its output and leaves its stdin.
const faulty = `
Network: 10.50.0.0/16
Backend:
  Type: extension
  Timeout: 1s
  PreStartupCommand: x=0123456789abcdef; for i in {1..9}; do x=$x$x; done; echo $x
  SubnetAddCommand: |
    case $PUBLIC_IP in
    *.2) echo nothing works >&2; exit 3;;
    *.3) sleep 1000;;
    *.4) x=0123456789abcdef; for i in {1..14}; do x=$x$x; done; echo $x; echo $x >&2;;
    *) cat >/dev/null;;
    esac
    ip route add $SUBNET via $PUBLIC_IP
`

func TestHooksThatFailHarmNobodyElse(t *testing.T) {
	t.Parallel()
	config, err := lease.ReadNetwork([]byte(faulty))
	must(t, err)
	w := newWorld(t, config, 5)
	nodes := w.Nodes()
	w.up(nodes...)
	fine := []*cluster.Node{nodes[0], nodes[3], nodes[4]}
	w.reach(fine...)
	for _, n := range fine {
		for peer, want := range map[*cluster.Node]string{nodes[1]: "nothing works", nodes[2]: "still running after 1s"} {
			w.await(n, func(s control.Status) error { return retried(s, peer, want) })
		}
	}
	w.reach(fine...)
}

// retried wants the peer's hook to have failed again and again with the words.
func retried(s control.Status, peer *cluster.Node, want string) error {
	for _, p := range s.Peers {
		if p.Paths[0].Subnet != peer.SubnetFile().Subnets[0] {
			continue
		}
		if p.State != hooks.PeerRetrying || !strings.Contains(p.Error, want) || p.Failures < 2 || p.NextTry.IsZero() {
			return fmt.Errorf("%s is %q after %d failures, the last %q, the next try at %s", peer, p.State, p.Failures, p.Error, p.NextTry)
		}
		return nil
	}
	return fmt.Errorf("it has not heard of %s", peer)
}

func TestAFirstNodeServesTheOthersItsEtcd(t *testing.T) {
	t.Parallel()
	config, file := example(t, "host-gw")
	w := newWorld(t, config, 2)
	first, second := w.Nodes()[0], w.Nodes()[1]
	url := fmt.Sprintf("http://%s:2379", first.Address())
	first.Args = []string{"run", "--config", file, "--etcd-listen", url, "--state-dir", "/run/state"}
	second.Args = []string{"run", "--etcd-endpoints", url, "--state-dir", "/run/state"}
	w.up(first, second)
	w.reach(first, second)
	before := first.Subnets()

	first.Kill()
	w.up(first)
	if after := first.Subnets(); after != before {
		t.Errorf("subnet was %s, and is %s after a restart", before, after)
	}
	w.reach(first, second)
}

// hanging runs a program for long.
const hanging = `{"Network": "10.50.0.0/16", "Backend": {"Type": "extension", "Timeout": "5m",
  "SubnetAddCommand": "/bin/sleep 1000; true"}}`

func TestAKilledDaemonLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, []byte(hanging), 2)
	w.up(w.Nodes()...)
	n := w.Nodes()[0]
	var programs []int
	w.until("the hook's program runs", func() error {
		if programs = children(n.PID()); len(programs) != 1 {
			return fmt.Errorf("there are %d", len(programs))
		}
		return nil
	})
	n.Kill()
	w.until("the hook's program is gone", func() error {
		if alive(programs[0]) {
			return fmt.Errorf("process %d lives", programs[0])
		}
		return nil
	})
}
