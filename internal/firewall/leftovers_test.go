package firewall_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
