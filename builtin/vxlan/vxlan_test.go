package vxlan

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

func plan(t *testing.T, config string) Plan {
	t.Helper()
	c, err := Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Config: c, NodeID: "node-one"}
}

// The addresses of node-one's links.
const own4, own6 = "5a:93:65:99:ce:3e", "1a:d6:8e:00:89:24"

func TestANodeIsALinkAndAnAddressForEachFamily(t *testing.T) {
	const (
		link4 = "ip link add flannel.1 mtu 1450 address " + own4 + " up type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning\n"
		addr4 = "ip address add 10.50.1.0/32 dev flannel.1\n"
		link6 = "ip link add flannel-v6.1 mtu 1430 address " + own6 + " up type vxlan id 1 local 2001:db8::1 dev eth0 dstport 8472 nolearning\n"
		addr6 = "ip address add fd50:0:0:1::/128 dev flannel-v6.1 nodad\n"
	)
	for _, tt := range []struct {
		config   string
		families nativetest.Families
		want     string
	}{
		{`{}`, nativetest.OnlyV4, link4 + addr4},
		{`{}`, nativetest.OnlyV6, link6 + addr6},
		{`{}`, nativetest.Dual, link4 + link6 + addr4 + addr6},
		{
			`{"Name": "ov", "VNI": 1, "Port": 4789, "MTU": 1400, "GBP": true, "Learning": true, "Checksum": false}`, nativetest.Dual,
			"ip link add ov mtu 1350 address " + own4 + " up type vxlan id 1 local 192.0.2.1 dev eth0 dstport 4789 gbp noudpcsum\n" +
				"ip link add ov-v6 mtu 1330 address " + own6 + " up type vxlan id 1 local 2001:db8::1 dev eth0 dstport 4789 gbp\n" +
				"ip address add 10.50.1.0/32 dev ov\n" +
				"ip address add fd50:0:0:1::/128 dev ov-v6 nodad\n",
		},
	} {
		t.Run(tt.families.String()+" "+tt.config, func(t *testing.T) {
			objects, err := plan(t, tt.config).Node(tt.families.Node("vxlan", 1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, nativetest.Text(objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBehindNATRoutingChoosesTheSource(t *testing.T) {
	n := nativetest.Dual.Node("vxlan", 1)
	n.Lease.V4.PublicIP, n.Lease.V6.PublicIP = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:1::1")
	objects, err := plan(t, `{}`).Node(n)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{0: "0.0.0.0", 1: "::"} {
		if got := objects[i].(kernel.Link).VXLAN.Local.String(); got != want {
			t.Errorf("local address %s, want %s", got, want)
		}
	}
}

func TestAPeerIsNeighbourEntryAndRoute(t *testing.T) {
	const (
		data4 = `{"VNI":1,"VtepMAC":"02:00:00:00:00:07"}`
		data6 = `{"VNI":1,"VtepMAC":"02:00:00:00:06:07"}`
		v4    = "ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:07 dev flannel.1 nud permanent\n" +
			"bridge fdb add 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7 self permanent\n" +
			"ip route add 10.50.7.0/24 via 10.50.7.0 dev flannel.1 onlink metric 12808 proto 111\n"
		v6 = "ip neighbour add fd50:0:0:7:: lladdr 02:00:00:00:06:07 dev flannel-v6.1 nud permanent\n" +
			"bridge fdb add 02:00:00:00:06:07 dev flannel-v6.1 dst 2001:db8::7 self permanent\n" +
			"ip route add fd50:0:0:7::/64 via fd50:0:0:7:: dev flannel-v6.1 onlink proto 111\n"
		direct = "ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0 metric 12808 proto 111\n" +
			"ip route add fd50:0:0:7::/64 via 2001:db8::7 dev eth0 proto 111\n"
	)
	for _, tt := range []struct {
		name, config string
		node, peer   nativetest.Families
		want         string
	}{
		{"IPv4", `{}`, nativetest.OnlyV4, nativetest.OnlyV4, v4},
		{"IPv6", `{}`, nativetest.OnlyV6, nativetest.OnlyV6, v6},
		{"dual", `{}`, nativetest.Dual, nativetest.Dual, v4 + v6},
		{"a dual peer of an IPv4 node", `{}`, nativetest.OnlyV4, nativetest.Dual, v4},
		{"an IPv6 peer of a dual node", `{}`, nativetest.Dual, nativetest.OnlyV6, v6},
		{"on the same link, routed directly", `{"DirectRouting": true}`, nativetest.Dual, nativetest.Dual, direct},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, err := plan(t, tt.config).Peer(tt.node.Node("vxlan", 1), new(tt.peer.Lease("vxlan", 7, data4, data6)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, nativetest.Text(objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDirectRoutingLeavesRoutedPeersToTheTunnel(t *testing.T) {
	p := plan(t, `{"DirectRouting": true}`)
	peer := nativetest.OnlyV4.Lease("vxlan", 8, `{"VtepMAC":"02:00:00:00:00:08"}`, "")
	for name, at := range map[string]string{"behind a router": "198.51.100.8", "without a route to it": "203.0.113.8"} {
		peer.V4.PublicIP = netip.MustParseAddr(at)
		objects, err := p.Peer(nativetest.OnlyV4.Node("vxlan", 1), &peer)
		if err != nil || len(objects) != 3 {
			t.Errorf("%s: %v, %v, want the tunnel", name, objects, err)
		}
	}
}

func TestDataIsFlannels(t *testing.T) {
	p := plan(t, `{}`)
	for families, want := range map[nativetest.Families][2]string{
		nativetest.OnlyV4: {`{"VNI":1,"VtepMAC":"` + own4 + `"}`, ""},
		nativetest.OnlyV6: {"", `{"VNI":1,"VtepMAC":"` + own6 + `"}`},
		nativetest.Dual:   {`{"VNI":1,"VtepMAC":"` + own4 + `"}`, `{"VNI":1,"VtepMAC":"` + own6 + `"}`},
	} {
		data, err := p.Data(families.Node("vxlan", 1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, [2]string{string(data.V4), string(data.V6)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", families, diff)
		}
	}
}

func TestAStationKeepsItsAddress(t *testing.T) {
	n := nativetest.OnlyV4.Node("vxlan", 1)
	p := plan(t, `{}`)
	own := p.station(n, 4)
	other := p
	other.NodeID = "node-two"
	third := plan(t, `{"VNI": 2}`)
	all := map[kernel.MAC]bool{own: true, p.station(n, 6): true, other.station(n, 4): true, third.station(n, 4): true}
	if len(all) != 4 {
		t.Errorf("addresses %v, want one for each node, VNI and family", all)
	}
	n.Links = map[string]kernel.Link{"flannel.1": {Name: "flannel.1", Kind: "vxlan", Address: "02:00:00:00:00:55"}}
	if got := p.station(n, 4); got != "02:00:00:00:00:55" {
		t.Errorf("a link that is there has %s, and would get %s", "02:00:00:00:00:55", got)
	}
	n.Links = map[string]kernel.Link{"flannel.1": {Name: "flannel.1", Kind: "dummy", Address: "02:00:00:00:00:55"}}
	if got := p.station(n, 4); got != own {
		t.Errorf("got %s, want the own address in place of a dummy's", got)
	}
}

func TestPeersThatCannotBeAreRefused(t *testing.T) {
	for data, want := range map[string]string{
		``:                    "its lease does not say the address of its VTEP",
		`"02:00:00:00:00:07"`: `its data "\"02:00:00:00:00:07\"" cannot be read: json: cannot unmarshal string into Go value of type vxlan.data`,
		`{"VNI":2,"VtepMAC":"02:00:00:00:00:07"}`: "its VNI is 2, and this node's is 1",
		`{"VtepMAC":"no"}`:                        `its VtepMAC "no" is not the address of one station`,
		`{}`:                                      `its VtepMAC "" is not the address of one station`,
		`{"VtepMAC":"01:00:00:00:00:07"}`:         `its VtepMAC "01:00:00:00:00:07" is not the address of one station`,
		`{"VtepMAC":"00:00:00:00:00:00"}`:         `its VtepMAC "00:00:00:00:00:00" is not the address of one station`,
		fmt.Sprintf(`{"VtepMAC":%q}`, own4):       "its VTEP has the address of this node's own, " + own4,
	} {
		_, err := plan(t, `{}`).Peer(nativetest.OnlyV4.Node("vxlan", 1), new(nativetest.OnlyV4.Lease("vxlan", 7, data, "")))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", data, err, want)
		}
	}
}

func TestConfigsThatCannotBeAreRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"VNI": 0}`:                   "1:9: VNI: 0 is not within 1 and 16777215",
		`{"VNI": 16777216}`:            "1:9: VNI: 16777216 is not within 1 and 16777215",
		`{"VNI": "1"}`:                 `1:9: VNI: "1" is not a whole number`,
		`{"Port": 65536}`:              "1:10: Port: 65536 is not within 1 and 65535",
		`{"MTU": 100}`:                 "1:9: MTU: 100 is not within 576 and 65535",
		`{"Lerning": true}`:            `1:2: unknown key "Lerning": did you mean "Learning"?`,
		`{"GBP": 1}`:                   "1:9: GBP: 1 is not true or false",
		`{"Name": "a-name-too-long-"}`: `1:10: Name: link name "a-name-too-long-" is longer than 15 bytes, the kernel's limit: choose a shorter one by the key Name`,
		`{"Name": "../eth0"}`:          `1:10: Name: "../eth0" cannot be a link's name`,
	} {
		if _, err := Parse([]byte(config)); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", config, err, want)
		}
	}
	n := nativetest.OnlyV4.Node("vxlan", 1)
	if _, err := plan(t, `{"MTU": 9000}`).Node(n); err == nil || err.Error() != "MTU: 9000 is more than eth0 carries, which is 1500" {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode looks for data that is taken and is not what it says, since any node may write any.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"VNI":1,"VtepMAC":"02:00:00:00:00:07"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := Plan{Config: Config{VNI: 1}}
		station, err := p.decode(raw)
		if err != nil {
			return
		}
		again, err := p.encode(station)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.decode(json.RawMessage(again)); got != station || err != nil {
			t.Errorf("%q is %s, and then %s, %v", raw, station, got, err)
		}
	})
}
