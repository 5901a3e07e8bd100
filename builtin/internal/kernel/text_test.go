package kernel

import (
	"bytes"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/overlayd/overlayd/internal/netns"
)

func TestOperationsPrintAsCommands(t *testing.T) {
	keepalive := 25 * time.Second
	for _, tt := range []struct {
		op   Op
		want string
	}{
		{Op{Add, Link{Name: "vx", Kind: "vxlan", VXLAN: &VXLAN{ID: 1, Port: 8472}}}, "ip link add vx type vxlan id 1 dstport 8472 nolearning"},
		{Op{Add, Link{Name: "vx", Kind: "vxlan", Lower: "eth0", MTU: 1450, VXLAN: &VXLAN{ID: 1, Local: ip("192.0.2.1"), Remote: ip("239.1.1.1"), Learning: true, TTL: 5, GBP: true, Checksum: new(false)}}},
			"ip link add vx mtu 1450 type vxlan id 1 group 239.1.1.1 local 192.0.2.1 dev eth0 ttl 5 gbp noudpcsum"},
		{Op{Add, Link{Name: "v7", Kind: "vlan", Lower: "eth0", Options: Options{"id": "7"}}}, "ip link add link eth0 v7 type vlan id 7"},
		{Op{Add, Link{Name: "a", Kind: "veth", Peer: "b"}}, "ip link add name a type veth peer name b"},
		{Op{Set, Link{Name: "vx", MTU: 1450}}, "ip link set dev vx mtu 1450"},
		{Op{Set, Link{Name: "vx", Rename: "vy", NoMaster: true, Alias: "it's $HOME", State: Down}}, `ip link set dev vx name vy alias "it's \$HOME" nomaster down`},
		{Op{Set, Link{Name: "vx", NoAlias: true}}, `ip link set dev vx alias ""`},
		{Op{Del, vx}, "ip link del vx"},
		{Op{Del, Link{Name: "br"}}, "ip link del dev br"},
		{Op{Add, own}, "ip address add 10.50.1.0/32 dev vx"},
		{Op{Del, Addr{Dev: "vx", Prefix: prefix("10.0.0.1/32"), Peer: prefix("10.0.0.2/32")}}, "ip address del 10.0.0.1 peer 10.0.0.2/32 dev vx"},
		{Op{Add, toPeer}, "ip route add 10.50.7.0/24 via 10.50.7.0 dev vx onlink"},
		{Op{Add, Route{Dst: prefix("0.0.0.0/0"), Hops: []Hop{{Via: ip("fe80::1"), Dev: "vx"}}}}, "ip route add default via inet6 fe80::1 dev vx"},
		{Op{Del, Route{Dst: prefix("::/0"), Metric: 5, Table: 7, Protocol: 4}}, "ip route del ::/0 metric 5 table 7 proto 4"},
		{Op{Replace, neigh}, "ip neighbour replace 10.50.7.0 lladdr 02:00:00:00:00:99 dev vx nud permanent"},
		{Op{Del, neigh}, "ip neighbour del 10.50.7.0 dev vx"},
		{Op{Add, remote}, "bridge fdb add 02:00:00:00:00:99 dev vx dst 192.0.2.7 self permanent"},
		{Op{Del, FDB{Address: station, Dev: "p", VLAN: 3, Master: true}}, "bridge fdb del 02:00:00:00:00:99 dev p vlan 3 master"},
		{Op{Replace, VLAN{Dev: "p", ID: 7, PVID: true, Untagged: true}}, "bridge vlan add dev p vid 7 pvid untagged master"},
		{Op{Del, VLAN{Dev: "br", ID: 7, PVID: true, Self: true}}, "bridge vlan del dev br vid 7 self"},
		{Op{Set, Device{Name: "wg", ListenPort: &port, PrivateKey: &private, Mark: new(7)}}, "wg set wg listen-port 51820 fwmark 7 private-key (hidden)"},
		{Op{Set, wgPeer}, "wg set wg peer BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= endpoint 192.0.2.7:51820 allowed-ips 10.50.7.0/24"},
		{Op{Set, Peer{Dev: "wg", Preshared: &private, Keepalive: &keepalive, AllowedIPs: []netip.Prefix{}, ReplaceIPs: true}},
			"wg set wg peer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= preshared-key (hidden) persistent-keepalive 25 allowed-ips \"\""},
		{Op{Del, wgPeer}, "wg set wg peer BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= remove"},
	} {
		if got := tt.op.String(); got != tt.want {
			t.Errorf("\n got %s\nwant %s", got, tt.want)
		}
	}
}

// TestTheFakesTextRebuildsItsState runs the text in a shell with the real tools, and compares what Linux has then.
func TestTheFakesTextRebuildsItsState(t *testing.T) {
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	for _, tt := range conformance {
		t.Run(tt.name, func(t *testing.T) {
			rebuild(t, tt.steps)
		})
	}
}

func rebuild(t *testing.T, steps []step) {
	t.Helper()
	fake := NewFake()
	for _, s := range steps {
		fake.Do(t.Context(), s.op) // some are refused
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var out bytes.Buffer
	shell := exec.Command("sh", "-e")
	shell.Stdin, shell.Stdout, shell.Stderr = strings.NewReader(fake.String()), &out, &out
	if err := ns.Run(shell); err != nil || out.Len() > 0 {
		t.Fatalf("%v: %s\n%s", err, &out, fake)
	}
	var k Kernel
	if err := ns.Do(func() (err error) { k, err = Open(quiet); return err }); err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if diff := cmp.Diff(state(t, fake), state(t, k)); diff != "" {
		t.Errorf("(-fake +linux):\n%s", diff)
	}
}
