package command

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// forms are the command lines that are answered in this process, and what of each goes to the real tool. The examples
// behind them keep the words true.
var forms = []struct {
	form, answered, handedOn string
	here, elsewhere          []string
}{
	{"ip", "-4, -6, -family inet or inet6, -o, -br, -j, -p, -d, -s, -N, -batch, -force", "-n, -c, -t, -r, -h and all others",
		[]string{"ip -4 addr", "ip -f inet6 route", "ip -o -br link", "ip -j -p -d addr", "ip -s -s link", "ip -N rule", "ip -batch lines", "ip -force -batch -"},
		[]string{"ip -n ns link", "ip -N link", "ip netns", "ip monitor"}},
	{"ip link add", "vxlan, bridge, vlan, macvlan, macvtap, ipvlan, ipvtap, vrf, geneve, ipip, gre, gretap, ip6gre and ip6gretap with their options, veth with peer, and any other kind without options; mtu, address, broadcast, txqueuelen, numtxqueues, numrxqueues, up, master, group, addrgenmode, arp, multicast, allmulticast, promisc, dynamic",
		"words of a kind that are cut short, QoS maps of vlan, macaddr of macvlan, encap of tunnels, tclass and flowlabel of ip6gre; names that the kernel chooses; index, netns",
		[]string{"ip link add vx0 mtu 1400 address 02:00:00:00:00:01 up type vxlan id 7 dstport 4789 local 192.0.2.1 nolearning", "ip link add v0 type veth peer name v1", "ip link add wg0 type wireguard", "ip link add g0 type gre remote 192.0.2.1 key 7"},
		[]string{"ip link add type dummy", "ip link add g0 type gre encap fou"}},
	{"ip link set", "up, down, mtu, address, broadcast, txqueuelen, alias, master, nomaster, name, group, addrgenmode, arp, multicast, allmulticast, promisc, dynamic, trailers, type bridge, type bridge_slave", "netns, carrier, protodown, other types, a group without a device and all others",
		[]string{"ip link set vx0 up mtu 1400", "ip link set dev vx0 master br0", "ip link set vx0 name vx1", "ip link set vx0 arp off", "ip link set br0 type bridge stp_state 1"},
		[]string{"ip link set vx0 netns 1", "ip link set group 3 up"}},
	{"ip link del", "all", "group", []string{"ip link del vx0"}, nil},
	{"ip link show", "all links or one, up, master, type, group", "vrf, nomaster; links with virtual functions or XDP programs, and with -d those of kinds that overlayd has no words for",
		[]string{"ip link", "ip link show dev vx0", "ip link show up", "ip link show type vxlan", "ip link show master br0"}, []string{"ip link show vrf v0"}},
	{"ip address add, change, replace, del", "all", "0.0.0.0/0 and other prefixes without bits",
		[]string{"ip addr add 10.50.1.0/32 dev vx0", "ip addr del fd00::1/64 dev vx0", "ip addr add 10.50.1.0/32 dev vx0 valid_lft 9 preferred_lft 5 metric 7"}, nil},
	{"ip address show, flush", "all links or one, up, to, scope, label, master, type, group, flags such as dynamic", "vrf; flush with primary, up or type",
		[]string{"ip addr", "ip addr flush dev vx0", "ip addr show to 10.0.0.0/8 up", "ip addr show dynamic"}, []string{"ip addr show vrf v0"}},
	{"ip route add, append, change, replace, del", "all types but nat; via, via inet6, dev, onlink, nexthop with weight, nhid, src, from, tos, metric, table, proto, scope, realms, pref, expires, mtu, advmss and other metrics, locked or not",
		"encap, vrf, ttl-propagate, prepend, nexthop with realms",
		[]string{"ip route replace 10.50.7.0/24 via 192.0.2.7 src 192.0.2.1 metric 9 table 100 proto static", "ip route add blackhole 10.0.0.0/8", "ip route add 10.0.0.0/8 dev vx0 mtu lock 1300 initcwnd 10"},
		[]string{"ip route add 10.0.0.0/8 dev vx0 encap mpls 9", "ip route prepend 10.0.0.0/8 dev vx0"}},
	{"ip route show, flush", "dev, table, proto, scope, type, tos, metric, src, via, root, match, exact", "vrf, cache, from, iif, realms; routes with attributes that overlayd does not know",
		[]string{"ip route", "ip route show table all", "ip -6 route show proto static", "ip route flush dev vx0", "ip route show table 100", "ip route show match 10.0.0.1"}, []string{"ip route show cache"}},
	{"ip route get", "an address, from, iif, oif, dev, mark, tos, uid, fibmatch", "vrf, ports, connected, -s", []string{"ip route get 10.0.0.1", "ip -j route get fd00::1 oif vx0", "ip route get fibmatch 10.0.0.1"}, []string{"ip route get 10.0.0.1 sport 9"}},
	{"ip rule add, del", "not, from, to, fwmark, tos, iif, oif, uidrange, ipproto, sport, dport, tun_id, l3mdev, priority, table, goto, nop, blackhole, unreachable, prohibit, suppress_prefixlength, realms, protocol", "suppress_ifgroup, nat and all others",
		[]string{"ip rule add from 10.50.0.0/16 table 100 pref 9", "ip -6 rule del fwmark 7 lookup main", "ip rule add sport 9 table 100"}, []string{"ip rule add suppress_ifgroup 9 table 100"}},
	{"ip rule show, flush", "priority, not, from, to, tos, fwmark, iif, oif, table, l3mdev; flush also protocol", "other choices; rules with attributes that overlayd does not know", []string{"ip rule", "ip -6 rule show", "ip rule flush", "ip rule show table 7"}, []string{"ip rule show uidrange 5-9"}},
	{"ip neighbour add, change, replace, del", "lladdr, dev, nud, proxy, router, use, managed, extern_learn, protocol", "proxy with more than a device",
		[]string{"ip neigh replace 10.50.7.0 lladdr 02:00:00:00:00:01 dev vx0 nud permanent", "ip neigh add proxy 10.0.0.1 dev vx0"}, []string{"ip neigh change proxy 10.0.0.1 dev vx0"}},
	{"ip neighbour show, flush, get", "dev, an address, nud, proxy, unused, protocol", "vrf, master", []string{"ip neigh", "ip neigh show dev vx0", "ip neigh show nud all", "ip neigh flush all", "ip neigh get 10.0.0.1 dev vx0"}, []string{"ip neigh show vrf v0"}},
	{"bridge", "-j, -p, -d, -s, -o, -compressvlans, -batch, -force", "-n, -c", []string{"bridge -batch lines", "bridge -j fdb"}, []string{"bridge -n ns fdb"}},
	{"bridge fdb add, append, replace, del", "dev, dst, self or master, vlan, port, vni, src_vni, nhid, via, permanent, static, dynamic", "self and master at once, use, router, sticky, extern_learn",
		[]string{"bridge fdb append 00:00:00:00:00:00 dev vx0 dst 192.0.2.7", "bridge fdb add 02:00:00:00:00:01 dev vx0 nhid 1"}, []string{"bridge fdb add 02:00:00:00:00:01 dev vx0 sticky"}},
	{"bridge fdb show", "dev, brport, br, vlan, state, dynamic", "nothing", []string{"bridge fdb", "bridge fdb show dev vx0", "bridge fdb show br br0"}, nil},
	{"bridge link show, set", "dev; cost, priority, hairpin, guard, root_block, fastleave, learning, flood and other switches", "state, hwmode, mcast_router, backup_port, self and master",
		[]string{"bridge link", "bridge -d -j link show dev vx0", "bridge link set dev vx0 cost 7"}, []string{"bridge link set dev vx0 state 3"}},
	{"bridge vlan add, del", "dev, vid of one VLAN or a range, pvid, untagged, self or master", "self and master at once, tunnel_info",
		[]string{"bridge vlan add dev ve0 vid 7 pvid untagged", "bridge vlan del dev br0 vid 10-20 self"}, []string{"bridge vlan add dev ve0 vid 7 tunnel_info id 7"}},
	{"bridge vlan show", "dev, vid, -compressvlans", "-d, -s; tunnelshow, set and global", []string{"bridge vlan", "bridge -compressvlans vlan show vid 7", "bridge -j vlan show dev ve0"},
		[]string{"bridge -d vlan", "bridge -s vlan show", "bridge vlan tunnelshow", "bridge vlan set dev ve0 vid 7 state 3", "bridge vlan global"}},
	{"bridge mdb", "nothing", "all", nil, []string{"bridge mdb"}},
	{"arp -s, -d", "with a device", "without a device, names of hosts, other options", []string{"arp -s 10.50.7.0 02:00:00:00:00:01 dev vx0", "arp -i vx0 -d 10.50.7.0"}, []string{"arp -d 10.50.7.0"}},
	{"arp -n", "-a, -e, -i, an address", "without -n, -v, -H, names of hosts", []string{"arp -n", "arp -an -i vx0", "arp -n 10.0.0.1"}, []string{"arp", "arp -a", "arp -nv"}},
	{"wg", "genkey, genpsk, pubkey, set, show, setconf, addconf, syncconf, showconf", "names of services as ports", []string{"wg genkey", "wg set wg0 listen-port 51820", "wg show wg0 dump", "wg setconf wg0 file", "wg showconf wg0"}, []string{"wg set wg0 listen-port domain"}},
	{"cat", "files, stdin, attributes of links in /sys/class/net", "options, other files in /sys, named pipes", []string{"cat /sys/class/net/vx0/address", "cat file -"}, []string{"cat -n file"}},
	{"cut, head, tail, tee, tr", "stdin or a file; cut -d -f -c -b -s; -n and -c of head and tail; tail -n +N; tee -a; tr -d -s", "several files of head and tail, long options, classes of tr",
		[]string{"cut -d/ -f1", "cut -f1 file", "head -n 1", "head -c 4", "tail -2", "tail -n +2 file", "tee -a file", "tr a-z A-Z"}, []string{"tr -cd a"}},
	{"grep", "basic, extended and fixed patterns; -q -v -c -n -i -o -s -h -l -x -E -F -e", "-w, -r, -A, -B, -m, long options, references back", []string{"grep -q a", "grep -E '^(a|b)$' file"}, []string{"grep -w a", "grep -r a"}},
	{"ls, sort, uniq, wc", "ls of files and directories; sort -r -u; uniq -c; wc -l, -w or -c", "other options; several files of wc", []string{"ls", "ls -1 dir", "sort -u", "uniq -c", "wc -l"}, []string{"ls -l", "sort -n", "wc"}},
	{"basename, dirname, date, hostname, sleep", "date -u and + with the common letters; hostname -s", "other options", []string{"basename /a/b", "dirname /a/b", "date +%s", "hostname", "sleep 0.1"}, []string{"date -d yesterday", "hostname -f"}},
	{"sysctl", "settings below net, read and written; -n, -N, -b, -e, -q, -w", "all settings, those of a directory, patterns, files, settings outside of net",
		[]string{"sysctl net.ipv4.ip_forward", "sysctl -q -w net/ipv4/conf/vx0/rp_filter=0", "sysctl -n net.ipv4.ip_forward"}, []string{"sysctl -a", "sysctl -p", "sysctl vm.swappiness"}},
}

func TestFormsAreAnsweredOrHandedOnAsTheTableSays(t *testing.T) {
	isUnknown := func(line string) bool {
		_, err := parse(line)
		_, unknown := errors.AsType[unknown](err)
		return unknown
	}
	for _, f := range forms {
		for _, line := range f.here {
			if isUnknown(line) {
				t.Errorf("%s is handed on", line)
			}
		}
		for _, line := range f.elsewhere {
			if !isUnknown(line) {
				t.Errorf("%s is not handed on", line)
			}
		}
	}
}

// commandsPage is docs/commands.md.
func commandsPage() string {
	var b strings.Builder
	b.WriteString(`# Commands that are answered in-process

Hooks have these commands inside the daemon, without any program being started or installed. They print what the real
tools print (iproute2, net-tools, wireguard-tools, coreutils), and end with the same status. ` + "`overlayd ip`, `overlayd bridge`,\n`overlayd wg` and `overlayd arp`" + ` run them from a terminal.

A command line with any word that is not in the middle column goes whole to the real tool. Where that is not installed,
the command fails with status 127 and names the word. Each line of a batch is such a command line; lines that only a missing
tool would know are found before the first line is carried out.

| command | in-process | by the real tool |
|---|---|---|
`)
	for _, f := range forms {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.form, f.answered, f.handedOn)
	}
	b.WriteString(`
## Differences from the real tools

A test writes thousands of command lines from a grammar, wrong ones too, runs each with the real tools in one network
namespace and in-process in another, and compares what is printed, the exit status and all that is left in the kernel
(` + "`make oracle`" + `). These are the differences that it lets pass:

| lines | difference |
|---|---|
`)
	for _, d := range differences {
		fmt.Fprintf(&b, "| `%s` | %s |\n", regexp.MustCompile(`\|`).ReplaceAllString(d.lines, `\|`), d.reason)
	}
	return b.String()
}

// The page cannot fall behind the table. OVERLAYD_UPDATE=1 writes it.
func TestThePageOfCommandsIsTheTable(t *testing.T) {
	const path = "../../docs/commands.md"
	if os.Getenv("OVERLAYD_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(commandsPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(commandsPage(), string(got)); diff != "" {
		t.Errorf("%s, rewrite it with OVERLAYD_UPDATE=1 (-want +got):\n%s", path, diff)
	}
}
