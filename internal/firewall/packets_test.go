package firewall_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/netns"
)

// A site is two nodes with a pod each, and a machine outside that has routes to the pods; all on one underlay.
type site struct {
	node, far   host // the node whose firewall is looked at, and another
	pod, farPod host
	outside     host
	table       *firewall.Table
}

const (
	network4, network6 = "10.50.0.0/16", "fd50::/48"
	subnet4, subnet6   = "10.50.1.0/24", "fd50:0:0:1::/64"
)

func rules() firewall.Rules {
	p := netip.MustParsePrefix
	return firewall.Rules{
		Paths: []firewall.Path{
			{Network: p(network4), Subnet: p(subnet4)}, {Network: p(network6), Subnet: p(subnet6)},
		},
		Masquerade: true, Forward: true, Keep: prefixes("192.0.2.99/32 2001:db8::99/128"),
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	underlay := newNamespace(t)
	s := &site{
		node:    newHost(t, "node", underlay, "192.0.2.1/24 2001:db8::1/64"),
		far:     newHost(t, "far", underlay, "192.0.2.2/24 2001:db8::2/64"),
		outside: newHost(t, "outside", underlay, "192.0.2.98/24 2001:db8::98/64"),
	}
	must(t, underlay.Bridge("switch", "node", "far", "outside"))
	s.pod = newHost(t, "pod", s.node.Namespace, "10.50.1.2/24 fd50:0:0:1::2/64")
	s.farPod = newHost(t, "pod", s.far.Namespace, "10.50.2.2/24 fd50:0:0:2::2/64")
	a := netip.MustParseAddr
	must(t,
		s.node.Addr("pod", prefixes("10.50.1.1/24 fd50:0:0:1::1/64")...),
		s.far.Addr("pod", prefixes("10.50.2.1/24 fd50:0:0:2::1/64")...),
		s.outside.Addr("eth0", prefixes("192.0.2.99/32")...),
	)
	// It is never a source by itself.
	run(t, s.outside.Namespace, "", "ip", "addr", "add", "2001:db8::99/128", "dev", "eth0", "nodad", "preferred_lft", "0")
	p := netip.MustParsePrefix
	// Host-gw's routes between the nodes. From outside all pods are behind the node, the far ones too.
	for _, r := range []struct {
		on      *netns.Namespace
		to, via string
	}{
		{s.pod.Namespace, "0.0.0.0/0", "10.50.1.1"}, {s.pod.Namespace, "::/0", "fd50:0:0:1::1"},
		{s.farPod.Namespace, "0.0.0.0/0", "10.50.2.1"}, {s.farPod.Namespace, "::/0", "fd50:0:0:2::1"},
		{s.node.Namespace, "10.50.2.0/24", "192.0.2.2"}, {s.node.Namespace, "fd50:0:0:2::/64", "2001:db8::2"},
		{s.far.Namespace, "10.50.1.0/24", "192.0.2.1"}, {s.far.Namespace, "fd50:0:0:1::/64", "2001:db8::1"},
		{s.outside.Namespace, network4, "192.0.2.1"}, {s.outside.Namespace, network6, "2001:db8::1"},
	} {
		must(t, r.on.Route(p(r.to), a(r.via)))
	}
	for _, h := range []host{s.node, s.far} {
		for _, v6 := range []bool{false, true} {
			must(t, h.Do(func() error { return firewall.Forwarding{V6: v6}.Enable("eth0") }))
		}
	}
	s.table = table(s.node.Namespace)
	return s
}

// Who sees which address of whom is what flannel's iptables rules mean, which are tried as well. The underlay's machines know
// the way back to each address, so that a wrong one shows itself and not as silence. Packets on their way and the node's connection
// tracking bear witness to what the ends see.
func TestWhoSeesWhichAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const pod, farPod, pod6, farPod6 = "10.50.1.2", "10.50.2.2", "fd50:0:0:1::2", "fd50:0:0:2::2"
	const node, world, node6, world6 = "192.0.2.1", "192.0.2.98", "2001:db8::1", "2001:db8::98"
	tests := []struct {
		name            string
		from, to        host
		without, with   string // masquerading
		without6, with6 string
	}{
		{"a pod here, a pod elsewhere", s.pod, s.farPod, pod, pod, pod6, pod6},
		{"a pod elsewhere, a pod here", s.farPod, s.pod, farPod, farPod, farPod6, farPod6},
		{"a pod, the world", s.pod, s.outside, pod, node, pod6, node6},
		{"the world, a pod here", s.outside, s.pod, world, world, world6, world6},
		{"the world, a pod elsewhere by this node", s.outside, s.farPod, world, node, world6, node6},
		{"this node, its pod", s.node, s.pod, "10.50.1.1", "10.50.1.1", "fd50:0:0:1::1", "fd50:0:0:1::1"},
		{"this node, a pod elsewhere", s.node, s.farPod, node, node, node6, node6},
		{"a pod, its node", s.pod, s.node, pod, pod, pod6, pod6},
	}
	witness := newWitness(t, s)
	see := func(rules string, want func(i int) (v4, v6 string)) {
		for i, tt := range tests {
			v4, v6 := want(i)
			for to, want := range map[netip.Addr]string{tt.to.v4: v4, tt.to.v6: v6} {
				server, client := tt.from.connect(t, tt.to, to)
				when := tt.name + " " + rules
				wantSeen(t, when, client.Addr().String(), want)
				witness.confirm(t, when, tt.to, server, client, strings.HasPrefix(rules, "by"))
			}
		}
	}
	without := func(i int) (string, string) { return tests[i].without, tests[i].without6 }
	with := func(i int) (string, string) { return tests[i].with, tests[i].with6 }
	see("without rules", without)
	must(t, s.table.Apply(rules()))
	see("by overlayd's rules", with)
	wantSeen(t, "a pod, who asked for its address,", s.pod.seen(t, s.outside, netip.MustParseAddr("192.0.2.99")), pod)
	wantSeen(t, "a pod, who asked for its address,", s.pod.seen(t, s.outside, netip.MustParseAddr("2001:db8::99")), pod6)
	counts, err := s.table.Counts()
	must(t, err)
	for _, c := range counts {
		if c.Packets == 0 || c.Bytes == 0 {
			t.Errorf("chain %s has counted nothing by rule %q, IPv6 %t", c.Chain, c.Rule, c.V6)
		}
	}
	if len(counts) != 8 {
		t.Errorf("there are counts of %d rules, want 8", len(counts))
	}
	must(t, s.table.Remove())
	see("without rules again", without)
	run(t, s.node.Namespace, flannelRules(network4, subnet4, "224.0.0.0/4"), "iptables-nft-restore")
	run(t, s.node.Namespace, flannelRules(network6, subnet6, "ff00::/8"), "ip6tables-nft-restore")
	see("by flannel's rules", with)
}

func wantSeen(t *testing.T, when, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: the other end sees %s, want %s", when, got, want)
	}
}

func TestWhatKubeProxyMarkedIsLeftToIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.table.Apply(rules()))
	for mark, want := range map[string]string{
		"0x4000":  "10.50.1.2", // its bit
		"0x1c001": "10.50.1.2", // its bit among more
		"0x8001":  "192.0.2.1",
	} {
		run(t, s.node.Namespace, "table ip marks\ndelete table ip marks\n"+
			"table ip marks { chain c { type filter hook prerouting priority mangle; meta mark set "+mark+"; }; }\n", "nft", "-f", "-")
		wantSeen(t, "marked "+mark, s.pod.seen(t, s.outside, s.outside.v4), want)
	}
}

func TestMulticastKeepsItsSource(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.table.Apply(rules()))
	const untouched = "ip daddr != 224.0.0.0/4 counter packets 0 bytes 0 masquerade"
	// No router for multicast runs here. The node sends from its pods' network by itself instead.
	run(t, s.node.Namespace, "", "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	s.node.send(t, "10.50.1.1", "224.0.0.251")
	if got := run(t, s.node.Namespace, "", "nft", "list", "ruleset"); !strings.Contains(got, untouched) {
		t.Errorf("multicast was masqueraded:\n%s", got)
	}
	s.node.send(t, "10.50.1.1", "192.0.2.98")
	if got := run(t, s.node.Namespace, "", "nft", "list", "ruleset"); strings.Contains(got, untouched) {
		t.Errorf("and so would anything else:\n%s", got)
	}
}

// send sends a datagram from one of the host's addresses.
func (h host) send(t *testing.T, from, to string) {
	t.Helper()
	must(t, h.Do(func() error {
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 5353})
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		return err
	}))
}
