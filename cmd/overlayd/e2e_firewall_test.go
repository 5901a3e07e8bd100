package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// ruleset is the node's firewall, as nft lists it.
func (w *world) ruleset(n *cluster.Node) string {
	w.Helper()
	text, err := n.Shell("nft list ruleset")
	must(w.T, err)
	return text
}

// restart starts the node's daemon again with more arguments.
func (w *world) restart(n *cluster.Node, more ...string) {
	w.Helper()
	must(w.T, n.Stop(w.ctx))
	n.Args = append(w.Args(), more...)
	w.up(n)
}

// The rules themselves are package firewall's to test. This is about when there are any.
func TestTheFirewallFollowsTheDaemon(t *testing.T) {
	t.Parallel()
	tools(t, "nft")
	config, _ := example(t, "host-gw")
	w := newWorld(t, config, 1)
	n := w.Nodes()[0]
	_, err := n.Shell("nft add table inet others")
	must(t, err)
	n.Args = append(n.Args, "--ip-masq", "--forward-rules", "--non-masquerade-cidr", "192.168.0.0/16,172.16.0.0/12", "--sysctl")
	w.up(n)
	if file := n.SubnetFile(); !file.IPMasq {
		t.Errorf("the subnet file leaves masquerading to others: %+v", file)
	}
	rules := w.ruleset(n)
	for _, want := range []string{
		"table inet overlayd {", "ip saddr " + n.Subnets() + " ip daddr 10.50.0.0/16 return",
		"ip daddr 192.168.0.0/16 return", "ip daddr 172.16.0.0/12 return", "masquerade fully-random", "accept",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %q in\n%s", want, rules)
		}
	}
	if got := w.status(n); !strings.Contains(got, ", masquerading\n") {
		t.Errorf("status says nothing of masquerading:\n%s", got)
	}
	forwards, err := n.Shell("cat /proc/sys/net/ipv4/ip_forward")
	must(t, err)
	if forwards != "1\n" {
		t.Errorf("ip_forward is %q", forwards)
	}

	_, err = n.Shell("nft flush ruleset; nft add table inet others")
	must(t, err)
	w.until("the rules are back", func() error {
		if got := w.ruleset(n); !strings.Contains(got, "masquerade") || !strings.Contains(got, "others") {
			return fmt.Errorf("they are\n%s", got)
		}
		return nil
	})

	must(t, n.Stop(w.ctx))
	if got := w.ruleset(n); !strings.Contains(got, "masquerade") {
		t.Errorf("a stop that keeps the overlay does not keep its rules:\n%s", got)
	}
	w.restart(n, "--ip-masq", "--on-exit", "teardown")
	if got := w.ruleset(n); !strings.Contains(got, "masquerade") || strings.Contains(got, "accept;\n\t\tip saddr 10.50.0.0/16 counter accept") {
		t.Errorf("rules are not those of the new flags:\n%s", got)
	}
	must(t, n.Stop(w.ctx))
	if _, err := n.Shell("test ! -e " + defaultSubnetFile); err != nil {
		t.Errorf("after a teardown the subnet file promises a subnet: %v", err)
	}
	want := "table inet others {\n}\n"
	if got := w.ruleset(n); got != want {
		t.Errorf("after a teardown the ruleset is\n%s", got)
	}
	w.restart(n, "--ip-masq")
	w.restart(n)
	if got := w.ruleset(n); got != want {
		t.Errorf("after a start without masquerading the ruleset is\n%s", got)
	}
	if log, err := os.ReadFile(n.Log()); err != nil || strings.Contains(string(log), "level=ERROR") {
		t.Errorf("the log holds errors: %v\n%s", err, log)
	}
}
