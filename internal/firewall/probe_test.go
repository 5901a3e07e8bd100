package firewall_test

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/netns"
)

const input = "type filter hook input priority 0; policy %s;"

// What is said of a packet is what happens to one that is sent. Where it is not known what a rule means, nothing is said.
func TestWhatARulesetRefuses(t *testing.T) {
	t.Parallel()
	chain := func(policy, rules string) string {
		return "table inet theirs { chain in { " + fmt.Sprintf(input, policy) + "\n" + rules + "\n}\n}"
	}
	rule := regexp.MustCompile(`handle \d+`)
	for name, tt := range map[string]struct {
		nft     string
		program []string // instead
		want    string
		silent  bool // dropped, and it is not said
	}{
		"nothing":                   {},
		"a port":                    {nft: chain("accept", "udp dport 8472 drop"), want: "rule handle N of chain inet theirs in"},
		"another port":              {nft: chain("accept", "udp dport 4789 drop")},
		"another protocol":          {nft: chain("accept", "tcp dport 8472 drop")},
		"a rejection":               {nft: chain("accept", "udp dport 8472 counter reject"), want: "rule handle N of chain inet theirs in"},
		"a range":                   {nft: chain("accept", "udp dport 8000-9000 drop"), want: "rule handle N of chain inet theirs in"},
		"beside a range":            {nft: chain("accept", "udp dport != 8000-9000 drop")},
		"a set":                     {nft: chain("accept", "udp dport { 4789, 8472 } drop"), want: "rule handle N of chain inet theirs in"},
		"beside a set":              {nft: chain("accept", "udp dport { 4789, 51820 } drop")},
		"a set of ranges":           {nft: chain("accept", "udp dport { 1-9, 8400-8500, 51820 } drop"), want: "rule handle N of chain inet theirs in"},
		"beside a set of ranges":    {nft: chain("accept", "udp dport { 1-9, 8500-8600, 51820 } drop")},
		"a map of ports":            {nft: chain("drop", "udp dport vmap { 8472 : accept, 22 : drop }")},
		"a map that drops":          {nft: chain("accept", "udp dport vmap { 8472 : drop, 22 : accept }"), want: "rule handle N of chain inet theirs in"},
		"an interface":              {nft: chain("accept", `iifname "eth0" udp dport 8472 drop`), want: "rule handle N of chain inet theirs in"},
		"interfaces by their start": {nft: chain("accept", `iifname "eth*" drop`), want: "rule handle N of chain inet theirs in"},
		"another interface":         {nft: chain("accept", `iifname "eth1" drop`)},
		"a policy":                  {nft: chain("drop", ""), want: "the policy of chain inet theirs in"},
		"a policy with flows":       {nft: chain("drop", "ct state established,related accept\niif lo accept"), want: "the policy of chain inet theirs in"},
		"a policy with a map":       {nft: chain("drop", "ct state vmap { established : accept, related : accept, invalid : drop }"), want: "the policy of chain inet theirs in"},
		"a policy, and accepted":    {nft: chain("drop", "ct state established accept\nudp dport 8472 accept")},
		"accepted before":           {nft: chain("accept", "udp dport 8472 accept\nudp dport 8472 drop")},
		"by a source":               {nft: chain("drop", "ip saddr 192.0.2.0/24 accept\nip6 saddr 2001:db8::/64 accept")},
		"by another source":         {nft: chain("drop", "ip saddr 198.51.100.0/24 accept\nip6 saddr 2001:db8:1::/64 accept"), silent: true},
		"by a mark":                 {nft: chain("accept", "meta mark 0 drop"), silent: true},
		"at most so many":           {nft: chain("accept", "udp dport 8472 limit rate over 1/day burst 1 packets drop")},
		"a map that jumps": {nft: "table inet theirs { chain tunnels { drop\n }\nchain in { " + fmt.Sprintf(input, "accept") + "\nudp dport vmap { 8472 : jump tunnels }\n}\n}",
			want: "rule handle N of chain inet theirs tunnels"},
		"in a jump": {nft: "table inet theirs { chain tunnels { udp dport 8472 drop\n }\nchain in { " + fmt.Sprintf(input, "accept") + "\nmeta l4proto udp jump tunnels\n}\n}",
			want: "rule handle N of chain inet theirs tunnels"},
		"back from a jump": {nft: "table inet theirs { chain tunnels { udp dport 8472 return\ndrop\n}\nchain in { " + fmt.Sprintf(input, "accept") + "\njump tunnels\n}\n}"},
		"in no jump":       {nft: "table inet theirs { chain tunnels { drop\n }\nchain in { " + fmt.Sprintf(input, "accept") + "\ntcp dport 22 jump tunnels\n}\n}"},
		"before routing": {nft: "table inet theirs { chain early { type filter hook prerouting priority -300; udp dport 8472 drop\n}\n}",
			want: "rule handle N of chain inet theirs early"},
		"accepted by one of two tables": {nft: chain("accept", "udp dport 8472 accept") + "\ntable inet others { chain in { " + fmt.Sprintf(input, "drop") + "\n}\n}",
			want: "the policy of chain inet others in"},
		"iptables": {program: []string{"tables-nft", "-A", "INPUT", "-p", "udp", "--dport", "8472", "-m", "comment", "--comment", "no tunnels", "-j", "DROP"},
			want: "rule handle N of chain FAMILY filter INPUT"},
		"iptables, rejecting": {program: []string{"tables-nft", "-A", "INPUT", "-i", "eth0", "-p", "udp", "-m", "udp", "--dport", "8000:9000", "-j", "REJECT"},
			want: "rule handle N of chain FAMILY filter INPUT"},
		"iptables, new flows": {program: []string{"tables-nft", "-A", "INPUT", "-p", "udp", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"},
			want: "rule handle N of chain FAMILY filter INPUT"},
		"iptables, other flows":   {program: []string{"tables-nft", "-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"}},
		"iptables, several ports": {program: []string{"tables-nft", "-A", "INPUT", "-p", "udp", "-m", "multiport", "--dports", "4789,8472", "-j", "DROP"}, silent: true},
		"iptables' policy":        {program: []string{"tables-nft", "-P", "INPUT", "DROP"}, want: "the policy of chain FAMILY filter INPUT"},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, IPv6 %t", name, v6), func(t *testing.T) {
				t.Parallel()
				w := newWire(t, v6)
				family := "ip"
				if v6 {
					family = "ip6"
				}
				switch {
				case tt.nft != "":
					run(t, w.node, tt.nft, "nft", "-f", "-")
				case tt.program != nil:
					argv := append([]string{family + tt.program[0]}, tt.program[1:]...)
					run(t, w.node, "", argv...)
				}
				refusal, err := table(w.node).Refuses(firewall.Probe{Interface: "eth0", Index: w.index, Port: 8472, V6: v6})
				must(t, err)
				got := ""
				if refusal != nil {
					got = rule.ReplaceAllString(refusal.String(), "handle N")
				}
				if want := regexp.MustCompile("FAMILY").ReplaceAllString(tt.want, family); got != want {
					t.Errorf("said %q, want %q", got, want)
				}
				if arrives := tt.want == "" && !tt.silent; w.arrives(t) != arrives {
					t.Errorf("arrives: %t, want %t", !arrives, arrives)
				}
			})
		}
	}
}

// A wire is a node that listens at a port, and another node that sends to it.
type wire struct {
	node, peer *netns.Namespace
	index      int // of the node's interface
	conn       *net.UDPConn
}

func newWire(t *testing.T, v6 bool) wire {
	t.Helper()
	w := wire{node: newNamespace(t), peer: newNamespace(t)}
	must(t, netns.Connect(w.node, "eth0", w.peer, "eth0", 1500),
		w.node.Addr("eth0", prefixes("192.0.2.1/24 2001:db8::1/64")...), w.peer.Addr("eth0", prefixes("192.0.2.2/24 2001:db8::2/64")...))
	at := netip.MustParseAddr("192.0.2.1")
	if v6 {
		at = netip.MustParseAddr("2001:db8::1")
	}
	must(t, w.node.Do(func() (err error) {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		w.index = link.Index
		w.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 8472)))
		return err
	}))
	t.Cleanup(func() { w.conn.Close() })
	w.send(t, "that neighbours know each other")
	w.receive(t)
	return w
}

// arrives reports whether a packet arrives, which shows when one does that is sent after it without rules.
func (w wire) arrives(t *testing.T) bool {
	t.Helper()
	w.send(t, "under the rules")
	run(t, w.node, "", "nft", "flush", "ruleset")
	w.send(t, "without")
	return w.receive(t) == "under the rules"
}

func (w wire) send(t *testing.T, text string) {
	t.Helper()
	must(t, w.peer.Do(func() error {
		conn, err := net.DialUDP("udp", nil, w.conn.LocalAddr().(*net.UDPAddr))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte(text))
		return err
	}))
}

func (w wire) receive(t *testing.T) string {
	t.Helper()
	var buffer [64]byte
	must(t, w.conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := w.conn.Read(buffer[:])
	must(t, err)
	return string(buffer[:n])
}
