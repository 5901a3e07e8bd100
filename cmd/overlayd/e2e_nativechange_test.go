package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

// change writes the network config and waits until the nodes have it, and each other.
func (w *world) change(nodes []*cluster.Node, config []byte) {
	w.Helper()
	w.followed(nodes, func() { w.put(defaultPrefix+"/config", string(config)) })
}

// followed changes the network config and waits until the nodes have it, and each other.
func (w *world) followed(nodes []*cluster.Node, change func()) {
	w.Helper()
	before := map[*cluster.Node]int64{}
	for _, n := range nodes {
		w.await(n, func(s control.Status) error { before[n] = s.Config.Revision; return nil })
	}
	change()
	for _, n := range nodes {
		w.await(n, func(s control.Status) error {
			if s.Config.Revision <= before[n] || s.Node.State != hooks.NodeUp {
				return fmt.Errorf("it is %q %s with the config of revision %d %s", s.Node.State, s.Node.Error, s.Config.Revision, s.Config.Problem)
			}
			return nil
		})
		w.awaitPeersUp(n, len(nodes)-1)
	}
}

func TestAChangeOfAKeyCostsWhatItsImpactSays(t *testing.T) {
	t.Parallel()
	for kind, steps := range map[string][]string{
		"vxlan": {
			``, `, "MTU": 1400`, `, "MTU": 1400, "Learning": true`, `, "DirectRouting": true`, ``,
			`, "Checksum": false`, `, "Port": 4789`, `, "Port": 4789, "GBP": true`, `, "Name": "ov"`, ``,
		},
		"wireguard": {
			``, `, "MTU": 1400`, `, "PersistentKeepaliveInterval": 5`, `, "PSK": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="`, ``,
			`, "ListenPort": 5182`, `, "Mode": "auto"`, `, "Name": "wg7"`, ``,
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			config := func(keys string) []byte { return network(dual, fmt.Sprintf(`{"Type": %q%s}`, kind, keys)) }
			w := newWorldOver(t, config(steps[0]), 2, true)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			for i, keys := range steps[1:] {
				impact := impactOf(config(steps[i]), config(keys))
				losses := w.unharmed(nodes, func() { w.change(nodes, config(keys)) })
				if impact == builtin.Live && len(losses) > 0 {
					t.Errorf("from %s to %s, which is %s: %v", steps[i], keys, impact, losses)
				}
				if impact == builtin.Full {
					t.Errorf("from %s to %s is %s", steps[i], keys, impact)
				}
				w.reach(nodes...)
			}
		})
	}
}

// The family that the network has before and after loses no packet where the impact says so.
func TestIPv6IsTurnedOnAndOffInARunningCluster(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{`{"Type": "vxlan"}`, `{"Type": "host-gw"}`, `{"Type": "wireguard"}`, `{"Type": "wireguard", "Mode": "auto"}`} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(onlyV4, backend), 3, true)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			var before []string
			for _, n := range nodes {
				before = append(before, n.Subnets())
			}
			for _, step := range [][2]string{{onlyV4, dual}, {dual, onlyV4}} {
				families := step[1]
				impact := impactOf(network(step[0], backend), network(families, backend))
				for _, l := range w.unharmed(nodes, func() { w.change(nodes, network(families, backend)) }) {
					switch {
					case l.Family() != "IPv4":
					case impact == builtin.Live:
						t.Errorf("on the way to %s: %s", families, l)
					default:
						t.Logf("%s on the way to %s: %s", impact, families, l)
					}
				}
				for i, n := range nodes {
					must(t, n.Join(w.ctx))
					if got := n.SubnetFile().Subnets; got[0].String() != before[i] || (len(got) == 2) != (families == dual) {
						t.Errorf("%s had %s, and has %s", n, before[i], n.Subnets())
					}
				}
				w.reach(nodes...)
			}
		})
	}
}

func TestAConfigThatThisMachineCannotHaveIsRefusedWhileTheLastOneWorksOn(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, network(onlyV4, `{"Type": "vxlan"}`), 2, false)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	w.wantNoLoss(w.unharmed(nodes, func() {
		for backend, want := range map[string]string{
			`{"Type": "vxlan", "MTU": 9000}`:                "MTU: 9000 is more than eth0 carries, which is 1500",
			`{"Type": "vxlan", "VNI": 16777216}`:            "VNI: 16777216 is not within 1 and 16777215",
			`{"Type": "wireguard", "PSK": "c2hvcnQ="}`:      "PSK: it is not 32 bytes in base64",
			`{"Type": "wireguard", "Mode": "ipv6"}`:         "Mode: ipv6 needs a public address of the family, and this node has none",
			`{"Type": "vxlan", "Name": "sixteen-bytes-ab"}`: "is longer than 15 bytes",
		} {
			w.put(defaultPrefix+"/config", string(network(onlyV4, backend)))
			w.await(nodes[0], func(s control.Status) error {
				if !strings.Contains(s.Config.Problem, want) || s.Node.State != hooks.NodeUp {
					return fmt.Errorf("it is %q, and says %q, want %q", s.Node.State, s.Config.Problem, want)
				}
				return nil
			})
		}
	}))
	w.reach(nodes...)
}

// What others have made beside it, on the node and on overlayd's own link, outlives repairs, restarts and the teardown.
func TestStateOfOthersIsLeftAlone(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge")
	w := newWorldOver(t, network(onlyV4, `{"Type": "vxlan", "DirectRouting": false}`), 2, false)
	nodes := w.Nodes()
	n := nodes[0]
	_, err := n.Shell(`ip link add flannel.9 type vxlan id 9 dev eth0 dstport 8472 && ip link set flannel.9 up alias theirs
		ip route add 10.99.0.0/16 dev flannel.9 && ip route add 10.98.0.0/16 via 198.18.99.9 dev eth0 onlink proto 42
		ip neigh add 10.99.0.9 lladdr 02:00:00:00:00:99 dev flannel.9 nud permanent
		bridge fdb add 02:00:00:00:00:99 dev flannel.9 dst 198.18.99.9`)
	must(t, err)
	theirs := func() string {
		text, err := n.Shell(`ip -o link show flannel.9 | cut -d ' ' -f 2-; ip route show 10.99.0.0/16; ip route show 10.98.0.0/16
			ip neigh show dev flannel.9 nud permanent; bridge fdb show dev flannel.9 | grep dst`)
		must(t, err)
		return text
	}
	before := theirs()
	w.up(nodes...)
	w.reach(nodes...)
	_, err = n.Shell("ip route add 10.97.0.0/16 dev flannel.1; bridge fdb add 02:00:00:00:00:98 dev flannel.1 dst 198.18.99.9; ip route flush proto 111")
	must(t, err)
	w.reach(nodes...)
	n.Kill()
	w.up(n)
	w.reach(nodes...)
	beside, err := n.Shell("ip route show 10.97.0.0/16; bridge fdb show dev flannel.1 | grep -c 02:00:00:00:00:98")
	if err != nil || !strings.Contains(beside, "dev flannel.1") || !strings.HasSuffix(beside, "1\n") {
		t.Errorf("on overlayd's link: %s%v", beside, err)
	}
	must(t, n.Stop(w.ctx))
	n.Args = append(n.Args, "--on-exit", "teardown")
	w.up(n)
	must(t, n.Stop(w.ctx))
	if diff := cmp.Diff(before, theirs()); diff != "" {
		t.Errorf("theirs (-before +after):\n%s", diff)
	}
	ours, err := n.Shell("ip route show proto 111; ip -o link show | grep overlayd; true")
	if err != nil || ours != "" {
		t.Errorf("left of overlayd: %s%v", ours, err)
	}
}

func TestWhatSomebodyTakesFromANativeBackendComesBack(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	for kind, damages := range map[string][]string{
		"vxlan": {
			"ip route flush dev flannel.1",
			"ip neigh flush dev flannel.1 nud permanent",
			"bridge fdb show dev flannel.1 | grep dst | while read mac _; do bridge fdb del $mac dev flannel.1; done",
			"ip addr flush dev flannel.1",
			"ip link set flannel.1 type vxlan id 1 learning local 127.0.0.1",
			"ip link set flannel.1 down",
			"ip link del flannel.1",
		},
		"host-gw": {"ip route flush proto 111", "for r in $(ip route show proto 111 | cut -d ' ' -f 1); do ip route replace blackhole $r; done"},
		"wireguard": {
			"ip route flush dev flannel-wg; ip addr flush dev flannel-wg",
			"ip link del flannel-wg",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(onlyV4, fmt.Sprintf(`{"Type": %q}`, kind)), 3, false)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			before := w.effects(nodes[1])
			for _, damage := range damages {
				_, err := nodes[1].Shell(damage)
				must(t, err)
				w.until(damage+": it is as before", func() error {
					if diff := cmp.Diff(before, w.effects(nodes[1])); diff != "" {
						return fmt.Errorf("(-want +got):\n%s", diff)
					}
					return nil
				})
			}
			w.reach(nodes...)
			if text, err := os.ReadFile(nodes[1].Log()); err != nil || strings.Contains(string(text), "repairs slow down") && len(damages) < 4 {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

func TestWhatIsInTheWayOfALinkIsNamedWhileTheEarlierConfigWorksOn(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	for theirs, want := range map[string]string{
		"vxlan id 1 dev eth0 dstport 8472":                      "link theirs has VNI 1 (choose another one, or delete the link)",
		"vxlan id 77 dev eth0 dstport 8472 local 127.0.0.1 gbp": "address already in use",
	} {
		t.Run(theirs, func(t *testing.T) {
			t.Parallel()
			w := newWorldOver(t, network(onlyV4, `{"Type": "host-gw"}`), 2, false)
			nodes := w.Nodes()
			_, err := nodes[0].Shell("ip link add theirs type " + theirs + " && ip link set theirs up")
			must(t, err)
			w.up(nodes...)
			w.reach(nodes...)
			w.wantNoLoss(w.unharmed(nodes, func() {
				w.put(defaultPrefix+"/config", string(network(onlyV4, `{"Type": "vxlan"}`)))
				w.await(nodes[0], func(s control.Status) error {
					if !strings.Contains(s.Node.Error, want) {
						return fmt.Errorf("it is %q, and says %q, want %q", s.Node.State, s.Node.Error, want)
					}
					return nil
				})
			}))
			_, err = nodes[0].Shell("ip link del theirs")
			must(t, err)
			w.awaitPeersUp(nodes[0], 1)
			w.reach(nodes...)
		})
	}
}

func TestPeersThatSayNonsenseAreNamedAndHarmNobody(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, network(onlyV4, `{"Type": "vxlan"}`), 2, false)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	mac, err := nodes[0].Shell("cat /sys/class/net/flannel.1/address")
	must(t, err)
	taken := map[string]bool{nodes[0].Subnets(): true, nodes[1].Subnets(): true}
	octet, wants := 0, map[string]string{}
	for lease, want := range map[string]string{
		`{"PublicIP": "198.18.250.7", "BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "` + strings.TrimSpace(mac) + `"}}`: "has the address of this node's own",
		`{"PublicIP": "198.18.250.7", "BackendType": "vxlan", "BackendData": {"VNI": 2, "VtepMAC": "02:00:00:00:00:07"}}`:              "its VNI is 2, and this node's is 1",
		`{"PublicIP": "198.18.250.7", "BackendType": "vxlan"}`:                                                                         "does not say the address of its VTEP",
		`{"PublicIP": "198.18.250.7", "BackendType": "wireguard", "BackendData": {}}`:                                                  `its backend is "wireguard", and this node's is "vxlan"`,
		`{"PublicIP": "` + nodes[0].Address().String() + `", "BackendType": "vxlan", "BackendData": {"VtepMAC": "02:00:00:00:00:08"}}`: "is this node's own",
	} {
		for octet++; taken[fmt.Sprintf("10.50.%d.0/24", octet)]; octet++ {
		}
		wants[fmt.Sprintf("10.50.%d.0/24", octet)] = want
		w.put(fmt.Sprintf("%s10.50.%d.0-24", subnetsKey, octet), lease)
	}
	w.await(nodes[0], func(s control.Status) error {
		found := 0
		for _, p := range s.Peers {
			want, ok := wants[p.Paths[0].Subnet.String()]
			if ok && !strings.Contains(p.Error, want) {
				return fmt.Errorf("%s is %s: %q, want %q", p.Paths[0].Subnet, p.State, p.Error, want)
			}
			if ok {
				found++
			}
		}
		if found != len(wants) {
			return fmt.Errorf("it knows %d of the %d", found, len(wants))
		}
		return nil
	})
	must(t, cluster.Reach(w.ctx, patience, cluster.Pairs(nodes, nodes), func(*cluster.Node) {}))
}
