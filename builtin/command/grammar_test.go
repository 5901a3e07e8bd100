package command

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// grammar is what the oracle writes command lines from, one rule a line. Words in angle brackets are rules, a question
// mark makes a word one that is left out half of the time, and bars part alternatives. A star lets a rule be written up to
// three times. An alternative that stands more than once is chosen more often.
//
// All that can be named exists sometimes, and sometimes does not. Nothing in it reaches beyond a network namespace.
const grammar = `
line = <ip> | <ip> | <ip> | <ip> | <ip> | <bridge> | <arp> | <text> | <sysctl>
ip = ip <link> | ip <link> | ip <fam>? <addr> | ip <fam>? <addr> | ip <fam>? <route> | ip <fam>? <route> | ip <fam>? <route> | ip <fam>? <neigh> | ip <fam>? <rule>
ip = ip <show> <fam>? <question> | ip <show> <fam>? <question> | ip <show> route get <at> <getword>?
fam = -4 | -6 | -4 | -6 | -family inet6 | -f inet
show = -j -d | -d -o | -s -s | -j -s | -p -j | -j -br | -o -d | -j -4 | -o | -br | -d | -s | -j | -j | -o -4 | -n | -N

question = link <shown>? | link show <shown> | addr <shown>? | a | addr show <shown> | route | route show <selected>* | neigh | neigh show <neighsel>* | rule | l ls <shown>? | link show type <kind> | link show up | addr show to <prefix> | addr show up | link show master br0
shown = <dev> | dev <dev> | dev <dev>
selected = dev <dev> | <dst> | table <table> | proto <proto> | exact <dst> | root <dst> | default | metric 7 | scope link | type blackhole | via <gw> | src <at>
neighsel = dev <dev> | <at> | nud <nud> | nud all

dev = vx0 | vx0 | ve0 | ve0 | br0 | vx1 | ve1 | nope | lo | mv0
port = ve0 | vx0 | ve1 | br0
bridge = bridge fdb <fdb> | bridge fdb <fdb> | bridge fdb show <fdbsel>? | bridge fdb <fdbsel>? | bridge <bshow>? link | bridge <bshow>? link show dev <dev> | bridge link set dev <port> <plword>* | bridge link set <plword> dev <port> | bridge link set dev <dev> <plword> | bridge link <shown>? | bridge vlan <vlan> | bridge vlan <vlan> | bridge <bshow>? vlan | bridge -compressvlans vlan show <vlansel>? | bridge -j -compressvlans vlan | bridge -j link | bridge -o link | bridge -d link show dev ve0 | bridge -j fdb | bridge -j vlan
fdb = <fdbverb> <mac> dev <port> <fdbword>*
bshow = -j | -d | -o | -s | -j -d | -d -o
plword = cost 9 | priority 7 | learning off | flood off | hairpin on | isolated on | guard maybe | cost x | state 3 | root_block on | locked on | neigh_suppress on | mcast_flood off
fdbverb = add | add | append | replace | del | delete
fdbword = dst <at> | dst <ip4> | self | master | vlan 5 | port 4789 | vni 7 | via vx0 | permanent | static | dynamic | local
fdbsel = dev <dev> | br br0 | brport <dev> | dynamic | state permanent
vlan = show | show <vlansel>* | <vlanverb> dev <port> vid <vid> <vlanword>* | <vlanverb> <vlanword>? vid <vid> dev <port> | add dev <port> vid 5 | add dev <port> vid 7 pvid untagged | del dev <port> vid 5 | show dev <port> | add dev <port> vid 10-12 | add vid 9 dev br0 self | del dev <port> vid 10-12

vlanverb = add | add | del | delete
vid = 5 | 7 | 7 | 10-12 | 11-13 | 1 | 0 | 4095 | 4096 | 7-7 | 9-7 | 0x7 | x | 4094 | 4090-4095
vlanword = pvid | untagged | self | master | tunnel_info id 7
vlansel = dev <port> | vid 5 | vid 11

link = link add link <dev> <name> type macvlan <mvword>* | link add link <dev> <name> type macvlan <mvword>? | link add <new> | link add <new> | link set <set> | link set <set> | link set <set> | link del <dev> | link delete dev <dev> | link change <set> | link show <shown> | link
new = <name> <linkword>* type <type> | name <name> <linkword>* type <type> | dev <name> type <type> | <linkword> <name> type <type> | <name> type nosuch | link <dev> <name> type macvlan <mvword>? | link <dev> name mv0 type macvlan
name = vx0 | vx1 | ve0 | br0 | vx2 | mv0
type = gre <grword>* | gretap <grword>* | ipip <tunword>* | ipip | geneve id <vni> remote <at> <genword>* | geneve <genword>* | vlan id 7 | vlan id 7 <vlword>* | vrf table 10 | vrf <stray> | dummy | ipvlan mode l2 | ipvlan mode l4 | ip6gre <g6word>*
grword = <tunword> | <tunword> | key 5 | ikey 7 | okey 1.2.3.4 | seq | csum | iseq | ocsum | noseq | ignore-df | key x
tunword = remote 192.0.2.9 | local 192.0.2.1 | remote fd00::1 | ttl 5 | ttl inherit | ttl 256 | tos 10 | tos inherit | nopmtudisc | dev <dev> | external | fwmark 5 | mode any | mode ipip | hlim 9 | remote bogus
g6word = remote fd00::9 | local fd00::1 | hoplimit 5 | encaplimit 5 | key 5 | external | seq | dev <dev> | remote 1.2.3.4
genword = ttl 5 | ttl auto | ttl inherit | tos 10 | dstport 6082 | df set | df x | flowlabel 7 | udpcsum | noudpcsum | external | udp6zerocsumtx | innerprotoinherit | dstport x
vlword = protocol 802.1ad | reorder_hdr off | gvrp on | gvrp maybe | loose_binding on
stray = nope | table x | garbage
type = macvlan | ifb | veth peer name ve3 | vxlan external dstport 5000 | vxlan <vxword>*
type = vxlan id <vni> dstport <port16> <vxword>* | vxlan id <vni> dstport <port16> <vxword>* | vxlan id <vni> dstport <port16> <vxword>* | vxlan id <vni> <vxword>* | vxlan dstport 1 | veth peer name <name> | veth peer name ve1 | veth peer name ve1 | veth | bridge <brword>* | bridge | ifb
kind = vxlan | bridge | veth | macvlan | dummy
mvword = bcqueuelen 500 | bcqueuelen x | nodst | nopromisc | mode source | mode bridge | mode private | mode vepa | mode passthru | mode nonsense
brword = mcast_router 2 | nf_call_iptables 1 | group_fwd_mask 8 | no_linklocal_learn 1 | group_address 01:80:c2:00:00:0e | mcast_querier 1 | mcast_querier_interval 7000 | mcast_hash_max 512 | mcast_last_member_count 3 | mcast_igmp_version 3 | vlan_protocol 802.1ad | stp_state x | priority 70000 | mcast_stats_enabled 1 | mcast_query_use_ifaddr 1 | mcast_startup_query_interval 900 |
brword = stp_state 1 | vlan_filtering 1 | vlan_filtering 0 | forward_delay 200 | ageing_time 1000 | priority 5 | mcast_snooping 0 | hello_time 100 | max_age 600
vni = 7 | 8 | 9 | 0x10 | 010 | 16777216 | x
port16 = 0 | 4789 | 8472 | 65536 | x | 0x10
vxword = local <ip4> | remote <ip4> | group 239.1.1.1 | dev <dev> | nolearning | learning | ttl 9 | ttl 0 | ttl inherit | ttl auto | ttl 256 | tos 16 | tos inherit | gbp | udpcsum | noudpcsum | proxy | noproxy | rsc | norsc | l2miss | nol2miss | l3miss | nol3miss | ageing 300 | maxaddress 100 | srcport 1000 2000 | remcsumtx | remcsumrx | udp6zerocsumtx | noudp6zerocsumtx | udp6zerocsumrx | local <ip6> | remote <ip6> | df set | df unset | df inherit | df x | gpe | ageing none | ageing 0 | maxaddress unlimited | label 9 | external | noexternal | flowlabel 0x5 | vnifilter
linkword = mtu <mtu> | address <mac> | up | down | txqueuelen 500 | qlen 7 | alias hello | broadcast ff:ff:ff:ff:ff:ff | numtxqueues 2 | index 77 | group 3
mtu = 1400 | 1400 | 1280 | 0x500 | 70000 | 10 | x | -1 | 0
set = <dev> <setword>* | dev <dev> <setword>* | <dev> <setword> | <setword> dev <dev> | <dev> up | <dev> up
setword = type bridge <brword>* | type bridge_slave <portword>* | type bridge_slave <portword> | type macvlan mode private | arp maybe | trailers off | dynamic off | multicast on | allmulticast off |
portword = hairpin on | guard off | learning off | flood off | isolated on | cost 7 | priority 9 | priority x | mcast_router 2 | mcast_router 300 | neigh_suppress on | proxy_arp on | hairpin maybe | root_block on | fastleave on | mcast_to_unicast on | group_fwd_mask 8 | locked on | vlan_tunnel on | bcast_flood off | mcast_flood off | mcast_fast_leave on
setword = up | up | down | mtu <mtu> | address <mac> | name <name> | master br0 | master nope | nomaster | txqueuelen 500 | alias hello | arp off | arp on | multicast off | allmulticast on | promisc on | promisc off | group 3 | group default | mtu 1400 | type vxlan id 7 | type bridge stp_state 1 | type bridge vlan_filtering 1 | type bridge_slave isolated on | broadcast ff:ff:ff:ff:ff:ff | addrgenmode none | addrgenmode eui64 | protodown on | dynamic on

addr = <a> add <addrnew> | <a> add <addrnew> | <a> replace <addrnew> | <a> change <addrnew> | <a> del <addrnew> | <a> del <local> dev <dev> | <a> flush dev <dev> | <a> flush <flushsel>* | <a> show <shown> | <a>
a = a | addr | address
addrnew = <local> dev <dev> <addrword>* | <local> <addrword>* dev <dev> | local <local> dev <dev> <addrword>?
local = <at> | <prefix> | <prefix> | <prefix>
addrword = peer <prefix> | brd + | broadcast 192.0.2.255 | brd - | scope link | scope global | scope host | scope 77 | label <dev>:a | label vx0:a | noprefixroute | valid_lft 1000 preferred_lft 500 | valid_lft forever | preferred_lft 5000 | nodad | home | mngtmpaddr | metric 50 | anycast 192.0.2.3 | proto 4
flushsel = dev <dev> | to <prefix> | scope link | label vx0:a | up

route = <r> <routeverb> <routenew> | <r> <routeverb> <routenew> | <r> <routeverb> <routenew> | <r> del <dst> <routeword>? | <r> flush <selected>* | <r> show <selected>* | <r> | <r> get <at> <getword>* | <r> get <at> <getword>? | <r> get <dst>
r = route | ro | r
getword = uid 5 | tos 8 | mark 0x20 | from 192.0.2.1 | from <at> | dev <dev> | oif <dev> | mark 7 | fibmatch | iif <dev>
routeverb = add | add | add | replace | append | change | prepend | del
routenew = <dst> <way> <routeword>* | <dst> <routeword>* <way> | <rtype> <dst> <routeword>* | <dst> <hop> <hop>? | <dst> <hop> <hop> | to <dst> <way> | <dst>
way = via <gw> | via <gw> | via <gw> dev <dev> | via <gw> dev <dev> onlink | dev <dev> | dev <dev> | nexthop via <gw> dev <dev> onlink | via inet6 fe80::1 dev <dev>
hop = nexthop <way> weight 2 | nexthop <way>
rtype = blackhole | unreachable | prohibit | throw | unicast | local | broadcast | multicast | nat
gw = 192.0.2.2 | 192.0.2.3 | 10.50.7.0 | fd00::2 | fd00::3 | 198.51.100.9 | fe80::9
dst = 10.1.0.0/16 | 10.2.0.0/16 | 10.3.0.1 | default | fd01::/64 | fd02::/64 | fd03::1 | 10.1.0.1/16 | 0.0.0.0/0 | ::/0 | bogus | 10.7 | any | 192.0.2.0/24
routeword = src 192.0.2.1 | src <at> | metric 7 | metric 0x10 | table <table> | proto <proto> | scope link | scope host | scope global | mtu 1400 | mtu lock 1300 | advmss 1360 | onlink | dev <dev> | preference 5 | priority 6 | tos 4 | dsfield 8 | pref high | initcwnd 10 | initrwnd 10 | window 100 | rtt 100ms | rto_min 5ms | hoplimit 9 | quickack 1 | congctl reno | realm 5 | expires 100 | features ecn | cwnd 3 | ssthresh 4 | reordering 5 | rttvar 9ms | encap ip id 1 | nhid 3
table = 100 | 254 | main | local | 1000 | all | default | mine | 0 | x
proto = static | kernel | boot | 77 | 300 | bird | nosuch | 0 | dhcp | babel

neigh = <n> <neighverb> <neighnew> | <n> <neighverb> <neighnew> | <n> del <at> dev <dev> | <n> flush dev <dev> | <n> show <neighsel> | <n> get <at> dev <dev> | <n> | <n> flush all | <n> flush <neighsel>*
n = neigh | neighbor | neighbour | n
neighverb = add | add | replace | replace | change | del
neighnew = <at> lladdr <mac> dev <dev> <neighword>* | <at> dev <dev> lladdr <mac> | to <at> lladdr <mac> nud <nud> dev <dev> | proxy <at> dev <dev>
neighword = nud <nud> | router | extern_learn | nud permanent | use | protocol 4 | managed
nud = permanent | noarp | stale | none | failed | 0x80 | nonsense | reachable

rule = <ru> <ruleverb> <rulesel>* <ruleact> | <ru> <ruleverb> <rulesel> <ruleact> | <ru> | <ru> show <rulesel>? | <ru> ls | <ru> flush | <ru> del <rulesel> | <ru> add <rulesel>
ru = rule | ru
ruleverb = add | add | del | delete
rulesel = from <prefix> | from all | to <prefix> | iif <dev> | oif <dev> | pref 100 | priority 200 | prio 300 | fwmark 7 | fwmark 0x10/0xff | tos 8 | not from <prefix> | sport 5 | dport 7-9 | ipproto tcp | uidrange 5-9 | suppress_prefixlength 0 | protocol static | l3mdev | order 5 | preference 9 | dsfield 0x10
ruleact = table <table> | lookup <table> | blackhole | unreachable | prohibit | goto 32766 | nop | table 100 realms 5

arp = arp -n | arp -an | arp -na -i <dev> | arp -n -i <dev> <ip4> | arp -an <ip4> | arp -n <ip4> | arp -e -n | arp -n -e -i <dev>
arp = arp -s <ip4> <mac> dev <dev> | arp -s <ip4> <mac> -i <dev> | arp -i <dev> -s <ip4> <mac> | arp -d <ip4> dev <dev> | arp -d <ip4> -i <dev> | arp -n | arp -an | arp -n -i <dev> | arp -n <ip4> | arp -i <dev> -d <ip4> | arp -ne | arp -s <ip4> <mac> | arp -d <ip4>

sysctl = sysctl <sysopt>? <sysname> | sysctl -w <sysname>=<sysval> | sysctl <sysopt> -w <sysname>=<sysval> | sysctl <sysname>=<sysval> | sysctl <sysname> <sysname>
sysopt = -nw | -qw | -n | -q | -e | -b | -N
sysname = net.ipv4.ip_local_port_range | net.ipv4.ip_unprivileged_port_start | net.ipv4.tcp_available_congestion_control | net.ipv4.ip_forward | net.ipv4.conf.all.forwarding | net.ipv4.conf.vx0.rp_filter | net/ipv4/conf/vx0/rp_filter | net.ipv4.conf.nope.rp_filter | net.ipv6.conf.all.forwarding | net.ipv4.nosuch | net.ipv4.conf.ve0.proxy_arp
sysval = 0 | 1 | 2

text = grep a | grep -q a | grep -v a | grep -c . | grep -n 3 | grep -i AA | grep -E a+ | grep -F . | grep -o [0-9]* | grep -x a:b:c.aa | grep ^1 | grep x$ | grep \(a\|1\) | grep -e a | grep nothing | grep -q nothing | grep a file | grep -l a file nofile | grep a file - | grep -h a file - | grep -s a nofile | grep -E ( | grep a* | grep -E ^$ | grep -c a file | grep \. | grep [[:space:]] | grep -qi aa | grep -w aa
text = cat file | cat nofile | cat file nofile | cat file - | cat | cat -n file | ls | ls -1 | ls nofile | ls file sub | ls sub nofile file | ls -l nofile | wc -l | wc -c | wc -w | wc -l file | wc | wc -l nofile | sort | sort -u | sort -r | sort nofile | sort -ru file | sort -n | uniq | uniq -c | head -c 4 | head -c 99 file | tail -c 3 | tail -n +2 | tail -n +2 file | tail -3 file | head -2 nofile | head -n 1 file | cut -f 1 -d : file | cut -s -d : -f 2 | cut -d : -f 2 nofile
text = basename /a/b/c | basename /a/b.txt .txt | basename a/ | basename / | basename .txt .txt | basename | dirname /a/b/c | dirname a | dirname /a | dirname a/b/ | dirname / | dirname a/b /c | hostname | hostname -s | date +%Y-%m-%d | date -u +%F | date +%Y%n%m | date +%q | sleep 0 | sleep 0.01 | sleep x | sleep | sleep 0s 0.0m | sleep 1x | sleep -1
text = cut -d / -f 1 | cut -d/ -f1 | cut -f 2 -d . | cut -c 1-3 | cut -c -4,7- | cut -d . -f 2- | head -n 1 | head -1 | head | tail -n 1 | tail -2 | tail -n +2 | tr a-z A-Z | tr -d / | tr -s a | tr / . | tr -d 0-9. | tr -cd 0-9 | head -c 4 | cut -d : -f 3 -s | cut -f 1,3 --output-delimiter=+ -d .

ip4 = 192.0.2.5 | 192.0.2.6 | 10.50.7.0 | 192.0.2.1 | 224.0.0.5
ip6 = fd00::5 | fd00::6 | fe80::7
at = <ip4> | <ip4> | <ip6>
prefix = 192.0.2.1/24 | 192.0.2.1/24 | 10.50.1.0/32 | 192.0.2.9/24 | fd00::1/64 | fd00::1/64 | fd00::9/128 | 10.0.0.0/33 | bogus | 127.0.0.1/8 | 0.0.0.0/0 | 10.50.0.0/16 | 192.0.2.0/24
mac = 02:00:00:00:00:07 | 02:00:00:00:00:08 | 00:00:00:00:00:00 | zz | 2:0:0:0:0:9 | 02:00:00:00:00 | 01:00:5e:00:00:01 | 02:00:00:00:00:07:08
wg = wg set wg0 <dset>* <peer>* | wg set wg0 <peer> | wg set wg0 <peer> | wg show <wgdev> <field>? | wg show | wg showconf <wgdev> | wg set nope <peer> | wg setconf <wgdev> /dev/stdin | wg addconf wg0 /dev/stdin | wg syncconf wg0 /dev/stdin | wg show interfaces | wg show all <field> | wg
confdev = ListenPort = 7820 | ListenPort=7822 | FwMark = 0x7 | PrivateKey = <keyA> | # nothing | Garbage = 1 | PrivateKey = xx
confkey = PublicKey = <keyA> | PublicKey = <keyB> | publickey=<keyB>
confpeer = AllowedIPs = 10.50.7.0/24, fd00:7::/64 | AllowedIPs = 10.50.9.0/24 | Endpoint = 192.0.2.7:7920 | PersistentKeepalive = 25 | PresharedKey = <keyA> | Nonsense | PersistentKeepalive = off
wgdev = wg0 | wg0 | nope | lo
dset = listen-port 7820 | listen-port 7821 | listen-port x | fwmark 0x10 | fwmark off | fwmark x | listen-port 65536
peer = peer <key> <pset>*
key = <keyA> | <keyB> | <keyA> | <keyB> | xx
keyA = YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=
keyB = YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=
pset = remove | endpoint 192.0.2.7:7920 | endpoint [fd00::7]:7920 | endpoint 192.0.2.7 | persistent-keepalive 25 | persistent-keepalive off | persistent-keepalive x | allowed-ips 10.50.7.0/24 | allowed-ips 10.50.7.0/24,fd00:7::/64 | allowed-ips 10.50.7.9/24 | allowed-ips bogus | allowed-ips 10.50.7.0/33 | allowed-ips 10.50.8.0
field = public-key | private-key | listen-port | fwmark | peers | preshared-keys | endpoints | allowed-ips | latest-handshakes | persistent-keepalive | transfer | dump | garbage
`

// stray are words that do not belong where the oracle puts them.
var stray = []string{"garbage", "x", "", "-1", "nope", "dev", "via", "99999999999", "10.0.0.0/33", "help", "1.2.3", "table", "vx0", "up", "-z"}

// A writer writes command lines.
type writer struct {
	*rand.Rand
	rules map[string][]string
}

func newWriter(seed uint64) *writer {
	w := &writer{rand.New(rand.NewPCG(seed, 0)), map[string][]string{}}
	for rule := range strings.Lines(grammar) {
		if name, alternatives, ok := strings.Cut(strings.TrimSpace(rule), " = "); ok {
			w.rules[name] = append(w.rules[name], strings.Split(alternatives, " | ")...)
		}
	}
	return w
}

// expand writes a rule.
func (w *writer) expand(rule string) []string {
	alternatives := w.rules[rule]
	if alternatives == nil {
		panic("the grammar has no rule " + rule)
	}
	var words []string
	for word := range strings.FieldsSeq(alternatives[w.IntN(len(alternatives))]) {
		times := 1
		word, maybe := strings.CutSuffix(word, "?")
		word, often := strings.CutSuffix(word, "*")
		switch {
		case maybe:
			times = w.IntN(2)
		case often:
			times = w.IntN(4)
		}
		for range times {
			words = append(words, w.word(word)...)
		}
	}
	return words
}

// word writes one word, in which several rules may stand.
func (w *writer) word(word string) []string {
	before, rest, ok := strings.Cut(word, "<")
	name, after, closed := strings.Cut(rest, ">")
	if !ok || !closed {
		return []string{word}
	}
	inner := w.expand(name)
	if before == "" && after == "" {
		return inner
	}
	return []string{before + strings.Join(inner, " ") + strings.Join(w.word(after), " ")}
}

// line writes a command line, one in five of them wrong in a way that the grammar would not write.
func (w *writer) line(rule string) []string {
	words := w.expand(rule)
	if w.IntN(5) > 0 || len(words) == 1 || words[0] == "sysctl" { // whose wrong names may be the machine's
		return words
	}
	at := 1 + w.IntN(len(words)) // may be the end
	last := min(at, len(words)-1)
	switch w.IntN(6) {
	case 0:
		return slices.Insert(words, at, stray[w.IntN(len(stray))])
	case 1:
		return words[:at]
	case 2:
		return slices.Delete(words, last, last+1)
	case 3:
		return slices.Insert(words, at, words[last])
	case 4:
		words[last] = stray[w.IntN(len(stray))]
	case 5:
		words[last] = words[last][:w.IntN(len(words[last])+1)]
	}
	return words
}
