package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// Two 32-byte keys.
const (
	keyA = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
	keyB = "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
)

// parsed are command lines and the operations that they mean, one a line.
var parsed = []struct{ line, want string }{
	{"ip link add vx0 type vxlan id 1 dstport 8472 nolearning", "ip link add vx0 type vxlan id 1 dstport 8472 nolearning"},
	{"ip l a name vx0 mtu 1450 address 2:0:0:0:0:A up type vxlan vni 7 local 192.0.2.1 remote 192.0.2.2 dev eth0 ttl 9 gbp udpcsum dstport 0",
		"ip link add vx0 mtu 1450 address 02:00:00:00:00:0a up type vxlan id 7 remote 192.0.2.2 local 192.0.2.1 dev eth0 ttl 9 gbp udpcsum"},
	{"ip link add vx0 type vxlan id 7 group 239.1.1.1 dev eth0 dstport 4789",
		"ip link add vx0 type vxlan id 7 group 239.1.1.1 dev eth0 dstport 4789"},
	{"ip link add dev wg0 type wireguard", "ip link add wg0 type wireguard"},
	{"ip link add br0 type bridge", "ip link add br0 type bridge"},
	{"ip link add d0 type dummy", "ip link add d0 type dummy"},
	{"ip link add ve0 type veth peer name ve1", "ip link add ve0 type veth peer name ve1"},
	{"ip link add ve0 type veth peer ve1", "ip link add ve0 type veth peer name ve1"},
	{"ip link add link eth0 name eth0.5 type vlan id 5", "ip link add link eth0 eth0.5 type vlan id 5"},
	{"ip link del vx0", "ip link del vx0"},
	{"ip l d dev vx0 type vxlan", "ip link del vx0"},
	{"ip link set mtu 1450 dev vx0", "ip link set dev vx0 mtu 1450"},
	{"ip link set vx0 up mtu 1450 txqueuelen 500 master br0",
		"ip link set dev vx0 mtu 1450 txqueuelen 500 master br0 up"},
	{"ip link set vx0 nomaster down name vx1", "ip link set dev vx0 name vx1 nomaster down"},
	{"ip addr add 10.50.7.0/32 dev vx0", "ip address add 10.50.7.0/32 dev vx0"},
	{"ip a a 10.50.7.1 dev vx0", "ip address add 10.50.7.1/32 dev vx0"},
	{"ip address replace local 10.50.7.1/24 brd + scope link label vx0:1 noprefixroute dev vx0",
		"ip address replace 10.50.7.1/24 dev vx0 broadcast 10.50.7.255 scope link label vx0:1 noprefixroute"},
	{"ip addr add 10.50.7.1 peer 10.50.7.2 dev vx0", "ip address add 10.50.7.1 peer 10.50.7.2/32 dev vx0"},
	{"ip -6 addr del fd00::1/64 dev vx0", "ip address del fd00::1/64 dev vx0"},
	{"ip route add 10.50.7.0/24 via 192.0.2.7", "ip route add 10.50.7.0/24 via 192.0.2.7"},
	{"ip route add 10.50.7.0/24 nexthop via 10.50.7.0 dev vx0 onlink", "ip route add 10.50.7.0/24 via 10.50.7.0 dev vx0 onlink"},
	{"ip ro del 10.50.7.0/24 via 192.0.2.7", "ip route del 10.50.7.0/24 via 192.0.2.7"},
	{"ip r a default via 192.0.2.1 dev eth0 src 192.0.2.9 metric 0x10 table 100 proto static scope global mtu 1400 advmss 1360",
		"ip route add default via 192.0.2.1 dev eth0 src 192.0.2.9 metric 16 table 100 proto 4 scope global mtu 1400 advmss 1360"},
	{"ip route replace default via fd00::1", "ip route replace ::/0 via fd00::1"},
	{"ip -6 route add default dev eth0 pref 9", ""},
	{"ip -6 route add default dev eth0 priority 9", "ip route add ::/0 dev eth0 metric 9"},
	{"ip route add 10.0.0.0/8 via inet6 fe80::1 dev eth0", "ip route add 10.0.0.0/8 via inet6 fe80::1 dev eth0"},
	{"ip route append blackhole 10.0.0.0/8 table main proto boot", "ip route append blackhole 10.0.0.0/8"},
	{"ip route change to unicast 10.0.0.0/8 dev eth0", "ip route change 10.0.0.0/8 dev eth0"},
	{"ip route add 10.0.0.0/8 nexthop via 192.0.2.1 dev eth0 weight 2 nexthop via 192.0.2.2 onlink dev eth1",
		"ip route add 10.0.0.0/8 nexthop via 192.0.2.1 dev eth0 weight 2 nexthop via 192.0.2.2 dev eth1 onlink"},
	{"ip rule add from 10.50.0.0/16 table 100 pref 9", "ip rule add pref 9 from 10.50.0.0/16 table 100"},
	{"ip -6 rule add not fwmark 0x10/0xff lookup main suppress_prefixlength 0", "ip -6 rule add not fwmark 0x10/0xff table 254 suppress_prefixlength 0"},
	{"ip -6 ru del from fd00::/8 iif eth0 blackhole", "ip -6 rule del from fd00::/8 iif eth0 blackhole"},
	{"ip neigh add 10.50.7.0 lladdr 02:00:00:00:00:01 dev vx0", "ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:01 dev vx0 nud permanent"},
	{"ip n r to fd00::7 lladdr 02:00:00:00:00:01 dev vx0 nud reachable", "ip neighbour replace fd00::7 lladdr 02:00:00:00:00:01 dev vx0 nud reachable"},
	{"ip neighbor del 10.50.7.0 dev vx0", "ip neighbour del 10.50.7.0 dev vx0"},
	{"bridge fdb add 02:00:00:00:00:01 dev vx0 self dst 192.0.2.7", "bridge fdb add 02:00:00:00:00:01 dev vx0 dst 192.0.2.7 self permanent"},
	{"bridge f a to 02:00:00:00:00:01 dev vx0 dst fd00::7 port 4789 vni 9 via eth0 static",
		"bridge fdb add 02:00:00:00:00:01 dev vx0 dst fd00::7 port 4789 vni 9 via eth0 self static"},
	{"bridge fdb replace 02:00:00:00:00:01 dev ve0 master vlan 5 dynamic", "bridge fdb replace 02:00:00:00:00:01 dev ve0 vlan 5 master dynamic"},
	{"bridge fdb append 02:00:00:00:00:01 dev vx0 dst 192.0.2.8 local", "bridge fdb append 02:00:00:00:00:01 dev vx0 dst 192.0.2.8 self permanent"},
	{"bridge fdb del 02:00:00:00:00:01 dev vx0 dst 192.0.2.7", "bridge fdb del 02:00:00:00:00:01 dev vx0 dst 192.0.2.7 self"},
	{"bridge vlan add dev ve0 vid 5 pvid untagged", "bridge vlan add dev ve0 vid 5 pvid untagged master"},
	{"bridge vl a vid 5-6 master dev ve0", "bridge vlan add dev ve0 vid 5 master\nbridge vlan add dev ve0 vid 6 master"},
	{"bridge vlan delete self dev br0 vid 7 pvid", "bridge vlan del dev br0 vid 7 self"},
	{"arp -s 10.50.7.0 02:00:00:00:00:01 dev vx0", "ip neighbour replace 10.50.7.0 lladdr 02:00:00:00:00:01 dev vx0 nud permanent"},
	{"arp -i vx0 -s 10.50.7.0 02:00:00:00:00:01", "ip neighbour replace 10.50.7.0 lladdr 02:00:00:00:00:01 dev vx0 nud permanent"},
	{"arp -d 10.50.7.0 dev vx0", "ip neighbour del 10.50.7.0 dev vx0"},
	{"wg set wg0 listen-port 51820 fwmark 0x10", "wg set wg0 listen-port 51820 fwmark 16"},
	{"wg set wg0 peer " + keyA + " endpoint 192.0.2.7:51820 persistent-keepalive 25 allowed-ips 10.50.7.9/24,fd00::1",
		"wg set wg0 peer " + keyA + " endpoint 192.0.2.7:51820 persistent-keepalive 25 allowed-ips 10.50.7.0/24,fd00::1/128"},
	{"wg set wg0 peer " + keyA + ` allowed-ips "" persistent-keepalive off`, "wg set wg0 peer " + keyA + ` persistent-keepalive 0 allowed-ips ""`},
	{"wg set wg0 peer " + keyA + " allowed-ips +10.0.0.0/8,+10.1.0.0/16", "wg set wg0 peer " + keyA + " allowed-ips +10.0.0.0/8,+10.1.0.0/16"},
	{"wg set wg0 fwmark off peer " + keyA + " remove peer " + keyB + " endpoint [fd00::7]:51820",
		"wg set wg0 fwmark 0\nwg set wg0 peer " + keyA + " remove\nwg set wg0 peer " + keyB + " endpoint [fd00::7]:51820"},
}

func TestCommandLinesMeanOperations(t *testing.T) {
	for _, tt := range parsed {
		ops, err := parse(tt.line)
		if _, isUnknown := errors.AsType[unknown](err); err != nil && !(isUnknown && tt.want == "") {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		if err == nil {
			if diff := cmp.Diff(tt.want, text(ops)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.line, diff)
			}
		}
	}
}

func text(ops []kernel.Op) string {
	var lines []string
	for _, op := range ops {
		lines = append(lines, op.String())
	}
	return strings.Join(lines, "\n")
}

func TestOperationsPrintAsCommandLinesThatMeanTheSame(t *testing.T) {
	for _, tt := range parsed {
		ops, err := parse(tt.line)
		if err != nil {
			continue
		}
		for _, op := range ops {
			again, err := parse(op.String())
			if err != nil {
				t.Errorf("%s: %v", op, err)
				continue
			}
			if diff := cmp.Diff([]string{dump(op)}, []string{dump(again...)}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", op, diff)
			}
		}
	}
}

// dump shows all that was said.
func dump(ops ...kernel.Op) string {
	var all []string
	for _, op := range ops {
		said, err := json.Marshal(op.Object)
		if _, secrets := op.Object.(kernel.Peer); op.Verb == kernel.Del || err != nil || secrets { // which leave out what does not name them
			said = []byte(op.String())
		}
		all = append(all, fmt.Sprintf("%v %s", op.Verb, said))
	}
	return strings.Join(all, "\n")
}

// What a command line means does not change when it is printed and read again, and no line makes the parser panic.
func FuzzParse(f *testing.F) {
	for _, tt := range parsed {
		f.Add(tt.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(fields(line)) == 0 {
			return
		}
		ops, err := parse(line)
		if err != nil || strings.ContainsAny(line, "\"'`\\") {
			return
		}
		for _, op := range ops {
			if strings.Contains(op.String(), "(hidden)") {
				continue
			}
			again, err := parse(op.String())
			if err != nil || dump(again...) != dump(op) {
				t.Errorf("%q means\n\t%s, which means\n\t%s: %v", line, dump(op), dump(again...), err)
			}
		}
	})
}

func TestOneUnknownWordHandsTheWholeLineOn(t *testing.T) {
	for _, tt := range []struct{ line, word string }{
		{"ip link add vx0 type vxlan id 1 garbage", "garbage"},
		{"ip link set vx0 netns 1", "netns"},
		{"ip -h -s link", "-h"},
		{"ip rule add tos 8 garbage", "garbage"},
		{"ip rule show uidrange 5-9", "uidrange"},
		{"ip addrl", "addrl"},
		{"ip route add 10.1 via 192.0.2.1", "10.1"},
		{"ip route add 10.0.0.0/255.0.0.0 dev eth0", "10.0.0.0/255.0.0.0"},
		{"ip route add 10.0.0.0/8 dev eth0 encap ip", "encap"},
		{"ip route show cache", "cache"},
		{"ip route add 1.0.0.0/0 dev eth0", "1.0.0.0/0"},
		{"ip addr show vrf red", "vrf"},
		{"ip neigh show vrf red", "vrf"},
		{"bridge fdb add 02:00:00:00:00:01 dev vx0 sticky", "sticky"},
		{"bridge vlan add dev ve0 vid 5 tunnel_info id 7", "tunnel_info"},
		{"bridge vlan add dev ve0 vid 5 vid 6", "vid"},
		{"bridge vlan add dev ve0 vid 5 self master", "master"},
		{"bridge vlan add dev ve0 vid 4090-4095", "4090-4095"},
		{"bridge vlan add dev ve0 vid 0x5", "0x5"},
		{"bridge vlan set dev ve0 vid 5 state 3", "set"},
		{"bridge vlan s dev ve0 garbage", "garbage"},
		{"bridge -d vlan", "-details"},
		{"arp -nv", "-nv"},
		{"arp -s 10.0.0.1 02:00:00:00:00:01", "02:00:00:00:00:01"},
		{"arp -s host 02:00:00:00:00:01 dev vx0", "host"},
		{"wg setconf wg0 /proc/self/fd/9", "/proc/self/fd/9"},
		{"wg set wg0 garbage 1", "garbage"},
		{"wg show wg0 garbage", "garbage"},
		{"cut -f 1 /dev/stdin", "/dev/stdin"},
		{"grep -r a", "-r"},
		{"tee /dev/stderr", "/dev/stderr"},
		{`head ""`, ""},
		{"tee -p file", "-p"},
	} {
		s := fakeShell(t)
		r, _ := s.run(t, tt.line)
		tool, _, _ := strings.Cut(tt.line, " ")
		want := result{Stderr: fmt.Sprintf("%s: %q is not known to overlayd, and no %s is installed\n", tool, tt.word, tool), Status: 127}
		if diff := cmp.Diff(want, r); diff != "" || s.passed != nil {
			t.Errorf("%s, nothing installed (-want +got):\n%s", tt.line, diff)
		}
		s.path = fakePrograms(t, tool)
		s.run(t, tt.line)
		if diff := cmp.Diff([]string{strings.Join(fields(tt.line), " ")}, s.passed); diff != "" {
			t.Errorf("%s, installed (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestOtherProgramsAndFilesGoOn(t *testing.T) {
	for _, line := range []string{"touch file", "cat -n file", "cat /sys/class/net/lo/flags", "cat /etc/../sys/class/net/lo/mtu file"} {
		s := fakeShell(t)
		s.run(t, line)
		if diff := cmp.Diff([]string{line}, s.passed); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
