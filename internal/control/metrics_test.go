package control

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/overlayd/overlayd/hooks"
)

// observed is a state in which each metric has been counted.
func observed() *State {
	s := NewState(Facts{Version: "v0.1.0", NodeID: "node-7"})
	daemonUp(s)
	observePeer(s, "10.50.200.0/24", hooks.PeerUp)
	s.SetEtcd(errors.New("no answer"))
	s.SetFirewall(func() ([]RuleCount, int) {
		return []RuleCount{{"postrouting", "containers to the world", "ipv6", 7, 560}}, 2
	})
	s.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.3.0/24", Reason: hooks.Join, Took: time.Millisecond})
	s.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.4.0/24", Reason: hooks.Repair, Took: time.Second, Err: errors.New("no")})
	s.ObserveHook(hooks.HookRun{Hook: hooks.PreStartup, Scope: hooks.NodeScope, Reason: hooks.Repair})
	s.ObserveHook(hooks.HookRun{Hook: hooks.PostStartup, Scope: hooks.NodeScope, Reason: hooks.Repair})
	return s
}

func TestMetrics(t *testing.T) {
	want := `
# HELP overlayd_config_problem Whether a newer network config is refused, or one is waited for.
# TYPE overlayd_config_problem gauge
overlayd_config_problem 0
# HELP overlayd_config_revision etcd's revision of the network config in use, 0 for none.
# TYPE overlayd_config_revision gauge
overlayd_config_revision 17
# HELP overlayd_etcd_up Whether etcd answers.
# TYPE overlayd_etcd_up gauge
overlayd_etcd_up 0
# HELP overlayd_firewall_bytes_total Bytes of these packets.
# TYPE overlayd_firewall_bytes_total counter
overlayd_firewall_bytes_total{chain="postrouting",family="ipv6",rule="containers to the world"} 560
# HELP overlayd_firewall_packets_total Packets that a rule has masqueraded or accepted; of a connection that is masqueraded, only the first.
# TYPE overlayd_firewall_packets_total counter
overlayd_firewall_packets_total{chain="postrouting",family="ipv6",rule="containers to the world"} 7
# HELP overlayd_firewall_repairs_total Times that the firewall table was not as overlayd wrote it, and was written again.
# TYPE overlayd_firewall_repairs_total counter
overlayd_firewall_repairs_total 2
# HELP overlayd_health 1 for the state of health that the daemon is in, 0 for the others.
# TYPE overlayd_health gauge
overlayd_health{state="degraded"} 1
overlayd_health{state="ok"} 0
overlayd_health{state="starting"} 0
overlayd_health{state="stuck"} 0
# HELP overlayd_hook_runs_total Runs of hooks, by hook, by what made them necessary and by their result.
# TYPE overlayd_hook_runs_total counter
overlayd_hook_runs_total{hook="PostStartup",reason="repair",result="success"} 1
overlayd_hook_runs_total{hook="PreStartup",reason="repair",result="success"} 1
overlayd_hook_runs_total{hook="SubnetAdd",reason="join",result="success"} 1
overlayd_hook_runs_total{hook="SubnetAdd",reason="repair",result="failure"} 1
# HELP overlayd_info 1, with what the daemon is.
# TYPE overlayd_info gauge
overlayd_info{backend="extension",node_id="node-7",version="v0.1.0"} 1
# HELP overlayd_mtu_bytes The MTU of the overlay, 0 before it is known.
# TYPE overlayd_mtu_bytes gauge
overlayd_mtu_bytes 1450
# HELP overlayd_peers Peers, by state.
# TYPE overlayd_peers gauge
overlayd_peers{state="left over"} 1
overlayd_peers{state="pending"} 0
overlayd_peers{state="removing"} 1
overlayd_peers{state="repairing"} 0
overlayd_peers{state="retrying"} 1
overlayd_peers{state="set aside"} 0
overlayd_peers{state="unreachable"} 0
overlayd_peers{state="up"} 2
# HELP overlayd_ready Whether the node is up, and hooks have run for each peer of the first complete list.
# TYPE overlayd_ready gauge
overlayd_ready 1
# HELP overlayd_repairs_total Hooks that ran again since something was gone that they had made: the node's own, or a peer's.
# TYPE overlayd_repairs_total counter
overlayd_repairs_total{scope="node"} 1
overlayd_repairs_total{scope="peer"} 1
# HELP overlayd_unreadable_leases Keys among the leases that are none, and were set aside.
# TYPE overlayd_unreadable_leases gauge
overlayd_unreadable_leases 0
`
	s := observed()
	if err := testutil.GatherAndCompare(s.metrics.registry, strings.NewReader(want), overlayd(t, want)...); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(s.metrics.registry, "overlayd_peer_apply_seconds", "overlayd_hook_duration_seconds", "overlayd_convergence_seconds"); n != 5 || err != nil {
		t.Errorf("%d metrics of time, %v, want 5", n, err)
	}
	problems, err := testutil.GatherAndLint(s.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "overlayd_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// overlayd are the names of overlayd's metrics in a text.
func overlayd(t *testing.T, text string) []string {
	t.Helper()
	names := regexp.MustCompile(`(?m)^# TYPE (overlayd_\S+)`).FindAllStringSubmatch(text, -1)
	var list []string
	for _, n := range names {
		list = append(list, n[1])
	}
	return list
}

func TestMetricsAreDocumented(t *testing.T) {
	families, err := observed().metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "overlayd_") {
			labels := map[string]bool{}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = true
				}
			}
			got = append(got, f.GetName()+" "+strings.ToLower(f.GetType().String()))
			for name := range labels {
				got = append(got, f.GetName()+" has "+name)
			}
		}
	}
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(overlayd_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1]+" "+row[2])
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1) {
			documented = append(documented, row[1]+" has "+label[1])
		}
	}
	slices.Sort(got)
	slices.Sort(documented)
	if diff := cmp.Diff(documented, got); diff != "" {
		t.Errorf("(-documented +got):\n%s", diff)
	}
}
