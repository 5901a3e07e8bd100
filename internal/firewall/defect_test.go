package firewall_test

import (
	"fmt"
	"strings"
	"testing"
)

// In its nftables mode, flannel v0.28 wanted the iptables program all the same, and did not put back what somebody removed. That
// kube-proxy's mark is compared under a mask is TestWhatKubeProxyMarkedIsLeftToIt.
func TestDefect13NoProgramIsNeededAndWhatIsRemovedComesBack(t *testing.T) {
	t.Setenv("PATH", "")
	ns := newNamespace(t)
	tb := table(ns)
	must(t, tb.Apply(rules()))
	keep(t, tb)
	must(t, table(ns).Remove()) // by somebody else
	await(t, "the table", func() bool {
		exists, err := tb.Exists()
		must(t, err)
		return exists
	})
}

// When flannel v0.28 went from iptables to nftables, it left its chain in filter and the jump from POSTROUTING.
func TestDefect14WhatFlannelsSwitchLeavesIsFound(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	run(t, ns, "*nat\n:FLANNEL-POSTRTG - [0:0]\n-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\nCOMMIT\n"+
		"*filter\n:FLANNEL-FWD - [0:0]\nCOMMIT\n", "iptables-nft-restore")
	left, err := table(ns).Leftovers()
	must(t, err)
	got := fmt.Sprint(left)
	for _, want := range []string{"delete rule ip nat POSTROUTING handle", "delete chain ip nat FLANNEL-POSTRTG", "delete chain ip filter FLANNEL-FWD"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	must(t, table(ns).RemoveLeftovers(left))
	if left, err := table(ns).Leftovers(); err != nil || len(left) > 0 {
		t.Errorf("still there: %v, %v", left, err)
	}
}
