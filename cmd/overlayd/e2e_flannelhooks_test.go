package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
)

// Hooks that others have written for flannel, as what they differ in from the examples.
var (
	quoted = strings.NewReplacer(
		"`echo $SUBNET | cut -d'/' -f 1`", `$(echo "$SUBNET" | cut -d'/' -f 1)`,
		"/sys/class/net/$IF_NAME/address", `"/sys/class/net/${IF_NAME}/address"`, "$SUBNET_IP/32", `"${SUBNET_IP}/32"`,
		"arp -s $SUBNET_IP $VTEP dev $IF_NAME", `ip neigh replace "$SUBNET_IP" dev "$IF_NAME" lladdr "$VTEP"`, " self dst", " dst",
		"$PUBLIC_IP:51820", `"${PUBLIC_IP}:51820"`, "$SUBNET_IP", `"$SUBNET_IP"`, "$SUBNET", `"$SUBNET"`, "$PUBLIC_IP", `"$PUBLIC_IP"`,
		"$IF_NAME", `"$IF_NAME"`, "$VNI", `"$VNI"`, "$VTEP", `"$VTEP"`, "$NETWORK", `"$NETWORK"`, "$PUBLICKEY", `"$PUBLICKEY"`,
	)
	k3s = strings.NewReplacer(
		"`echo $SUBNET | cut -d'/' -f 1`", "$(echo $SUBNET | cut -d'/' -f 1)",
		"ip link add flannel-wg type wireguard", "echo $PATH >&2; wg-add.sh flannel.1", "flannel-wg", "flannel.1",
		"tee privatekey", "tee /run/privatekey", "private-key privatekey", "private-key /run/privatekey",
		"allowed-ips $SUBNET", "allowed-ips $SUBNET persistent-keepalive 25",
	)
)

// wgAdd is the program that k3s brings along to make WireGuard links.
const wgAdd = `mount -t tmpfs tmpfs /usr/local/sbin && cd /usr/local/sbin && cat >wg-add.sh <<'END' && chmod 755 wg-add.sh
#!/bin/sh
ip link add "$1" type wireguard
END`

func TestHooksThatWereWrittenForFlannelRun(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge", "wg")
	vxlan := []string{
		"ip route show SUBNET", "SUBNET via BASE dev flannel-vxlan onlink \n",
		"ip neigh show dev flannel-vxlan nud permanent to BASE", "BASE lladdr MAC PERMANENT \n",
		"bridge fdb show dev flannel-vxlan | grep -w PUBLIC", "MAC dst PUBLIC self permanent\n",
	}
	for name, tt := range map[string]struct {
		example string
		change  *strings.Replacer
		before  string   // the config's text
		prepare string   // a command line in each node
		peer    []string // command lines in one node, and what they say of the other one
	}{
		"extension-hostgw":    {"host-gw", quoted, "", "true", []string{"ip route show SUBNET", "SUBNET via PUBLIC dev eth0 \n"}},
		"extension-vxlan":     {"vxlan", quoted, "", "true", vxlan},
		"extension-wireguard": {"wireguard", quoted, "// This one has a comment.\n", "true", []string{"wg show flannel-wg allowed-ips", "KEY\tSUBNET\n"}},
		"k3s wireguard": {"wireguard", k3s, "", wgAdd, []string{
			"wg show flannel.1 allowed-ips", "KEY\tSUBNET\n", "wg show flannel.1 endpoints", "KEY\tPUBLIC:51820\n",
			"wg show flannel.1 persistent-keepalive", "KEY\t25\n", "stat -c %a /run/privatekey", "600\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "k3s wireguard" && !makes(t, "wireguard") {
				t.Skip("this kernel has no WireGuard: make test-kernel runs the test on one that does")
			}
			config, err := lease.ReadNetwork(append([]byte(tt.before), rewritten(t, tt.example, tt.change)...))
			must(t, err)
			w := newWorld(t, config, 2)
			nodes := w.Nodes()
			for _, n := range nodes {
				_, err := n.Shell(tt.prepare)
				must(t, err)
			}
			w.up(nodes...)
			w.reach(nodes...)
			for i := 0; i < len(tt.peer); i += 2 {
				w.wantToldOf(nodes[1], nodes[0], tt.peer[i], tt.peer[i+1])
			}
			must(t, nodes[1].Stop(w.ctx), w.Release(w.ctx, nodes[1]))
			w.until("the peer's objects are gone", func() error {
				if told := told(t, nodes[1], nodes[0], tt.peer[0]); told != "" {
					return fmt.Errorf("%s says %s", tt.peer[0], told)
				}
				return nil
			})
			links, err := nodes[1].Shell("ip -br link | grep ^flannel; true")
			if err != nil || links != "" {
				t.Errorf("after Shutdown the node has links %s%v", links, err)
			}
		})
	}
}

// rewritten is the example with the hooks of others.
func rewritten(t *testing.T, name string, change *strings.Replacer) []byte {
	t.Helper()
	text, _ := example(t, name)
	var config map[string]any
	must(t, json.Unmarshal(text, &config))
	backend := config["Backend"].(map[string]any)
	for key, command := range backend {
		backend[key] = change.Replace(command.(string))
	}
	text, err := json.Marshal(config)
	must(t, err)
	return text
}

var anyMAC, anyKey = regexp.MustCompile(`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b`), regexp.MustCompile(`[A-Za-z0-9+/]{43}=`)

// told is what a command line about a peer says in a node, with the peer's subnet and addresses by name, as the command line has them.
func told(t *testing.T, peer, in *cluster.Node, line string) string {
	t.Helper()
	subnet := peer.SubnetFile().Subnets[0].Masked()
	names := []string{"SUBNET", subnet.String(), "BASE", subnet.Addr().String(), "PUBLIC", peer.Address().String()}
	text, err := in.Shell(strings.NewReplacer(names...).Replace(line) + "; true")
	must(t, err)
	text = anyKey.ReplaceAllString(anyMAC.ReplaceAllString(text, "MAC"), "KEY")
	for i := 0; i < len(names); i += 2 {
		text = strings.ReplaceAll(text, names[i+1], names[i])
	}
	return text
}

func (w *world) wantToldOf(peer, in *cluster.Node, line, want string) {
	w.Helper()
	if got := told(w.T, peer, in, line); got != want {
		w.Errorf("%s says %q, want %q", line, got, want)
	}
}

// makes reports whether the kernel makes links of the kind.
func makes(t *testing.T, kind string) bool {
	t.Helper()
	n, err := netns.New()
	must(t, err)
	defer n.Close()
	return n.Run(exec.Command("ip", "link", "add", "x", "type", kind)) == nil
}
