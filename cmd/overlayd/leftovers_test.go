package main

import (
	"strings"
	"testing"
)

func TestRulesOfFlannelsByLegacyIptablesAreFoundAndRemoved(t *testing.T) {
	t.Parallel()
	tools(t, "iptables-legacy", "ip6tables-legacy")
	n := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}}`), 1).Nodes()[0]
	if _, err := n.Shell("iptables-legacy -t nat -S"); err != nil {
		t.Skip("this kernel has no legacy iptables: ", err)
	}
	_, err := n.Shell(`for iptables in iptables-legacy ip6tables-legacy; do
		$iptables -t nat -N FLANNEL-POSTRTG && $iptables -t nat -A FLANNEL-POSTRTG -j MASQUERADE &&
		$iptables -t nat -A POSTROUTING -m mark --mark 1 -j MASQUERADE &&
		$iptables -t nat -A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG || exit
	done`)
	must(t, err)
	const first = "iptables-legacy -t nat -D POSTROUTING 2"
	said, _ := n.Shell("overlayd doctor")
	if flat := strings.Join(strings.Fields(said), " "); !strings.Contains(flat, "flannel has left tables, chains or rules in the firewall, the first to go by "+first+" overlayd migrate --finish") {
		t.Errorf("doctor does not tell of them:\n%s", said)
	}
	const cleanup = "overlayd cleanup --state-dir /run/state --flannel"
	would, err := n.Shell(cleanup + " --dry-run")
	must(t, err)
	did, err := n.Shell(cleanup)
	must(t, err)
	const want = first + `
iptables-legacy -t nat -F FLANNEL-POSTRTG
iptables-legacy -t nat -X FLANNEL-POSTRTG
ip6tables-legacy -t nat -D POSTROUTING 2
ip6tables-legacy -t nat -F FLANNEL-POSTRTG
ip6tables-legacy -t nat -X FLANNEL-POSTRTG
`
	if would != want || did != want {
		t.Errorf("cleanup would do\n%sand did\n%swant\n%s", would, did, want)
	}
	rules, err := n.Shell("iptables-legacy -t nat -S; ip6tables-legacy -t nat -S")
	must(t, err)
	if strings.Contains(rules, "FLANNEL") || strings.Count(rules, "-A POSTROUTING -m mark --mark 0x1 -j MASQUERADE") != 2 {
		t.Errorf("after that there are\n%s", rules)
	}
}
