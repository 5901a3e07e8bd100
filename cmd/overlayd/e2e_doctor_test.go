package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// What the doctor says to do helps, as it finds itself. That what it says is so is tested with packets in package firewall.
func TestDoctorFindsWhatDropsTheTunnelsPackets(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "nft", "iptables-nft")
	w := worldOf(t, "vxlan", 2)
	here := w.Nodes()[0]
	found := regexp.MustCompile(`error: firewall: UDP port 8472, at which flannel-vxlan receives what\s+other\s+nodes send, is dropped by (.*)\n   (nft insert rule .*)\n`)
	shell := func(n *cluster.Node, line string) string {
		t.Helper()
		text, err := n.Shell(line)
		must(t, err)
		return text
	}
	diagnose := func() (by, fix string) {
		t.Helper()
		text := shell(here, "overlayd doctor || :")
		if strings.Contains(text, "8472") != found.MatchString(text) {
			t.Errorf("the finding is not as it should be:\n%s", text)
		}
		if m := found.FindStringSubmatch(text); m != nil {
			return m[1], m[2]
		}
		return "", ""
	}
	if by, _ := diagnose(); by != "" {
		t.Errorf("without a firewall %s drops", by)
	}
	drop := "nft 'add table inet site; add chain inet site input { type filter hook input priority 0; }; add rule inet site input udp dport 8472 drop'"
	for rules, want := range map[string]string{
		drop: `^rule handle \d+ of chain inet site input$`,
		"iptables-nft -P INPUT DROP && iptables-nft -A INPUT -p icmp -j ACCEPT": `^the policy of chain ip filter INPUT$`,
	} {
		shell(here, rules)
		by, fix := diagnose()
		if !regexp.MustCompile(want).MatchString(by) {
			t.Errorf("under %s: dropped by %q, want %s", rules, by, want)
		}
		shell(here, fix)
		if by, _ := diagnose(); by != "" {
			t.Errorf("after %s %s drops", fix, by)
		}
	}
}
