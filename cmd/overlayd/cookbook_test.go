package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/cluster"
)

// cookbook is the file of a config in the hook author's guide.
func cookbook(name string) string { return "../../examples/cookbook/" + name + ".yaml" }

func TestTheLinterFindsNothingInTheCookbook(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(cookbook("*"))
	must(t, err)
	if len(files) < 10 {
		t.Errorf("%d configs, want ten", len(files))
	}
	for _, file := range files {
		out, err := exec.Command("overlayd", "hook", "check", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.HasSuffix(line, "is neither in-process nor installed\n") {
				t.Errorf("%s: %s", file, line)
			}
		}
		if err != nil && len(out) == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Those that work through programs that no test machine has are planned.
func TestTheCookbookIsPlanned(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"bgp":         "# not run: vtysh -c configure terminal -c router bgp 65000 -c address-family ipv4 unicast -c network 10.50.1.0/24\n",
		"cloud-route": `--data {"destination": "10.50.1.0/24", "nextHop": "192.0.2.1"} http://169.254.169.254/routes`,
	} {
		dir := t.TempDir()
		out, err := exec.Command("overlayd", "hook", "plan", "PostStartup", "--config", cookbook(name), "--state-dir", filepath.Join(dir, "state"), "--run-dir", dir).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s\nwant %s", name, err, out, want)
		}
	}
}

func TestTheCookbookConnectsNodes(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	for name, kind := range map[string]string{
		"vxlan": "", "host-gw": "", "wireguard": "", "hosts": "", "nftables-policy": "",
		"geneve": "geneve id 1 remote 192.0.2.1", "gre": "gre remote 192.0.2.1", "ipip": "ipip remote 192.0.2.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "nftables-policy" {
				tools(t, "nft")
			}
			config, err := readNetworkFile(nil, cookbook(name))
			must(t, err)
			w := newWorld(t, config, 3)
			nodes := w.Nodes()
			if kind != "" {
				if _, err := nodes[0].Shell("ip link add probe type " + kind + " && ip link del probe"); err != nil {
					t.Skipf("the kernel makes no links of the kind %s", name)
				}
			}
			w.up(nodes...)
			w.reach(nodes...)
			w.cookbookEffects(name, nodes)

			gone, subnet := nodes[2], nodes[2].SubnetFile().Subnets[0]
			must(t, gone.Stop(w.ctx), w.Release(w.ctx, gone))
			w.until("nothing leads to a node that has left", func() error {
				out, err := nodes[0].Shell(fmt.Sprintf("ip route show %s; ip -o link | grep %x", subnet, subnet.Addr().AsSlice()))
				if strings.TrimSpace(out) != "" {
					return fmt.Errorf("%s%v", out, err)
				}
				return nil
			})
			w.reach(nodes[:2]...)
		})
	}
}

// cookbookEffects looks at what a config does beside connecting nodes.
func (w *world) cookbookEffects(name string, nodes []*cluster.Node) {
	w.Helper()
	switch name {
	case "nftables-policy":
		out, err := nodes[0].Shell("nft list set inet overlay-policy nodes")
		must(w.T, err)
		for _, peer := range nodes[1:] {
			if !strings.Contains(out, peer.Address().String()) {
				w.Errorf("%s is not in the set:\n%s", peer, out)
			}
		}
	case "hosts":
		base := nodes[1].SubnetFile().Subnets[0].Addr().String()
		label := strings.ReplaceAll(base, ".", "-")
		dir := nodes[0].Args[slices.Index(nodes[0].Args, "--state-dir")+1]
		out, err := nodes[0].Shell("cat " + dir + "/hosts.d/" + label)
		must(w.T, err)
		if want := fmt.Sprintf("%s node-%s.overlay\n", nodes[1].Address(), label); out != want {
			w.Errorf("got %q, want %q", out, want)
		}
	}
}
