package firewall_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/firewall"
)

// flannelRules are the rules of flannel's iptables mode, as iptables-restore takes them.
func flannelRules(network, subnet, multicast string) string {
	return strings.NewReplacer("<network>", network, "<subnet>", subnet, "<multicast>", multicast).Replace(`*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s <subnet> -d <network> -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s <network> -d <subnet> -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s <network> -d <subnet> -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s <network> ! -d <multicast> -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s <network> -d <network> -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
*filter
:FLANNEL-FWD - [0:0]
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s <network> -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d <network> -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
`)
}

func TestWhatFlannelLeftIsRecognisedAndRemovedAlone(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	run(t, ns, "*nat\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\nCOMMIT\n*filter\n:OTHERS - [0:0]\n-A FORWARD -j OTHERS\nCOMMIT\n", "iptables-nft-restore")
	run(t, ns, "*nat\n-A POSTROUTING -s fd17::/64 -j MASQUERADE\nCOMMIT\n*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n", "ip6tables-nft-restore")
	tb := table(ns)
	must(t, tb.Apply(rules()))
	theirs := listing(t, ns)
	run(t, ns, flannelRules(network4, subnet4, "224.0.0.0/4"), "iptables-nft-restore", "--noflush")
	run(t, ns, flannelRules(network6, subnet6, "ff00::/8"), "ip6tables-nft-restore", "--noflush")
	run(t, ns, "table ip flannel-ipv4 { chain postrtg { type nat hook postrouting priority srcnat; }; }\ntable ip6 flannel-ipv6 { }", "nft", "-f", "-")
	// The typing error in flannel's own removal leaves such a chain in the wrong table.
	run(t, ns, "", "iptables-nft", "-t", "nat", "-N", "FLANNEL-FWD")

	left, err := tb.Leftovers()
	must(t, err)
	got := regexp.MustCompile(`handle \d+`).ReplaceAllString(fmt.Sprintln(left), "handle N")
	want := fmt.Sprintln([]string{
		"nft delete rule ip nat POSTROUTING handle N", "nft delete rule ip filter FORWARD handle N",
		"nft delete rule ip6 nat POSTROUTING handle N", "nft delete rule ip6 filter FORWARD handle N",
		"nft delete chain ip nat FLANNEL-POSTRTG", "nft delete chain ip nat FLANNEL-FWD", "nft delete chain ip filter FLANNEL-FWD",
		"nft delete chain ip6 nat FLANNEL-POSTRTG", "nft delete chain ip6 filter FLANNEL-FWD",
		"nft delete table ip flannel-ipv4", "nft delete table ip6 flannel-ipv6",
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leftovers (-want +got):\n%s", diff)
	}
	must(t, tb.RemoveLeftovers(left))
	if diff := cmp.Diff(theirs, listing(t, ns)); diff != "" {
		t.Errorf("ruleset without flannel's (-before +after):\n%s", diff)
	}
	left, err = tb.Leftovers()
	must(t, err)
	if len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
	must(t, tb.RemoveLeftovers(left)) // of which there are none
}

func TestWhatFlannelLeftByLegacyIptablesIsRecognised(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	other := newNamespace(t)
	if err := other.Run(exec.Command("iptables-legacy", "-t", "nat", "-S")); err != nil {
		t.Skip("this kernel, or this machine, has no iptables-legacy: ", err)
	}
	legacyLeft := func() (left []firewall.LegacyLeftover) {
		t.Helper()
		must(t, ns.Do(func() (err error) { left, err = firewall.LegacyLeftovers(); return err }))
		return left
	}
	if left := legacyLeft(); len(left) > 0 {
		t.Errorf("of tables that nobody used are left: %v", left)
	}
	for _, p := range []struct{ program, network, subnet, multicast string }{
		{"iptables-legacy", network4, subnet4, "224.0.0.0/4"}, {"ip6tables-legacy", network6, subnet6, "ff00::/8"},
	} {
		others := "*nat\n:OTHERS - [0:0]\n-A POSTROUTING -m mark --mark 1 -j OTHERS\n-A OTHERS -j MASQUERADE\nCOMMIT\n" +
			"*filter\n:FLANNEL-OTHERS - [0:0]\n-A FORWARD -j FLANNEL-OTHERS\n-A FORWARD -j ACCEPT\nCOMMIT\n"
		run(t, ns, others, p.program+"-restore")
		if left := legacyLeft(); len(left) > 0 {
			t.Errorf("taken for flannel's: %v", left)
		}
		theirs := run(t, ns, "", p.program+"-save")
		run(t, ns, flannelRules(p.network, p.subnet, p.multicast), p.program+"-restore", "--noflush")
		run(t, ns, "", p.program, "-A", "FORWARD", "-j", "FLANNEL-FWD") // twice
		run(t, ns, "", p.program, "-A", "FORWARD", "-j", "ACCEPT")
		var got strings.Builder
		for _, l := range legacyLeft() {
			fmt.Fprintln(&got, l)
			run(t, ns, "", l...)
		}
		want := strings.ReplaceAll(`IPTABLES -t nat -D POSTROUTING 2
IPTABLES -t nat -F FLANNEL-POSTRTG
IPTABLES -t nat -X FLANNEL-POSTRTG
IPTABLES -t filter -D FORWARD 4
IPTABLES -t filter -D FORWARD 3
IPTABLES -t filter -F FLANNEL-FWD
IPTABLES -t filter -X FLANNEL-FWD
`, "IPTABLES", p.program)
		if diff := cmp.Diff(lines(want), lines(got.String())); diff != "" {
			t.Errorf("leftovers (-want +got):\n%s", diff)
		}
		run(t, ns, "", p.program, "-D", "FORWARD", "3")
		if diff := cmp.Diff(plain(theirs), plain(run(t, ns, "", p.program+"-save"))); diff != "" {
			t.Errorf("rules without flannel's (-before +after):\n%s", diff)
		}
	}
}

// lines are the text's in the order of the tables' names, which the kernel has in any.
func lines(text string) []string {
	all := strings.Split(text, "\n")
	slices.SortStableFunc(all, func(a, b string) int { return strings.Compare(tableOf(a), tableOf(b)) })
	return all
}

func tableOf(line string) string {
	_, after, _ := strings.Cut(line, " -t ")
	name, _, _ := strings.Cut(after, " ")
	return name
}

// plain is what iptables-save prints, without the time and what was counted.
func plain(text string) []string {
	all := strings.Split(regexp.MustCompile(`(?m)^#.*\n| \[\d+:\d+\]`).ReplaceAllString(text, ""), "\n")
	slices.Sort(all)
	return all
}
