package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

func TestTheDemoShowsEachNativeBackend(t *testing.T) {
	t.Parallel()
	const (
		v4   = `"Network": "10.50.0.0/16"`
		v6   = `"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd50::/48"`
		dual = v4 + `, "EnableIPv6": true, "IPv6Network": "fd50::/48"`
	)
	for _, tt := range []struct {
		network, backend string
		mtu4, mtu6       int // of the path, 0 for no such path
	}{
		{v4, `{"Type": "vxlan"}`, 1450, 0},
		{v6, `{"Type": "vxlan"}`, 0, 1430},
		{dual, `{"Type": "vxlan"}`, 1450, 1430},
		{dual, `{"Type": "vxlan", "DirectRouting": true}`, 1500, 1500},
		{v4, `{"Type": "vxlan", "MTU": 1400, "Checksum": false, "Name": "ov"}`, 1350, 0},
		{v4, `{"Type": "host-gw"}`, 1500, 0},
		{v6, `{"Type": "host-gw"}`, 0, 1500},
		{dual, `{"Type": "host-gw"}`, 1500, 1500},
		{v4, `{"Type": "wireguard"}`, 1420, 0},
		{v6, `{"Type": "wireguard"}`, 0, 1420},
		{dual, `{"Type": "wireguard", "PSK": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`, 1420, 1420},
		{dual, `{"Type": "wireguard", "Mode": "auto"}`, 1420, 1420},
		{dual, `{"Type": "wireguard", "Mode": "ipv6"}`, 1420, 1420},
	} {
		config := fmt.Sprintf(`{%s, "Backend": %s}`, tt.network, tt.backend)
		t.Run(config, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "network.json")
			must(t, os.WriteFile(file, []byte(config), 0o600))
			cmd := exec.CommandContext(t.Context(), "overlayd", "demo", "--config", file)
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
			var output bytes.Buffer
			cmd.Stdout, cmd.Stderr = &output, &output
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &output)
			}
			for family, mtu := range map[string]int{"IPv4": tt.mtu4, "IPv6": tt.mtu6} {
				want := fmt.Sprintf("path MTU over %s, node 1 to node 2: %d bytes", family, mtu)
				if mtu != 0 && !strings.Contains(output.String(), want) {
					t.Errorf("output has no %q:\n%s", want, &output)
				}
			}
		})
	}
}

func TestARestartedNodeOfANativeBackendIsReachedAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fmt.Appendf(nil, `{"Network": "10.50.0.0/16", "Backend": {"Type": %q}}`, kind), 3)
			nodes := w.Nodes()
			w.up(nodes...)
			w.reach(nodes...)
			restarted := nodes[1]
			before := restarted.Subnets()
			for how, end := range map[string]func() error{
				"stopped": func() error { return restarted.Stop(w.ctx) },
				"killed":  func() error { restarted.Kill(); return nil },
			} {
				must(t, end())
				w.up(restarted)
				if after := restarted.Subnets(); after != before {
					t.Errorf("subnet was %s, and is %s after the daemon was %s", before, after, how)
				}
				w.reach(nodes...)
				log, err := os.ReadFile(restarted.Log())
				if at := "msg=\"hooks ran\" hook=SubnetAdd reason=start peers=2 failed=0"; err != nil || !bytes.Contains(log, []byte(at)) {
					t.Errorf("%s, it did not add its peers at once: no %s in its log: %v\n%s", how, at, err, log)
				}
				must(t, os.Truncate(restarted.Log(), 0))
			}
		})
	}
}

func TestNodesFollowFromOneNativeBackendToTheNext(t *testing.T) {
	t.Parallel()
	config := func(kind string) string {
		return fmt.Sprintf(`{"Network": "10.50.0.0/16", "Backend": {"Type": %q}}`, kind)
	}
	w := newWorld(t, []byte(config("vxlan")), 3)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	for _, kind := range []string{"wireguard", "host-gw", "vxlan"} {
		w.put(defaultPrefix+"/config", config(kind))
		for _, n := range nodes {
			w.await(n, func(s control.Status) error {
				if s.Config.Backend != kind || s.Node.State != hooks.NodeUp {
					return fmt.Errorf("it is %q with %s", s.Node.State, s.Config.Backend)
				}
				return nil
			})
			must(t, n.Join(w.ctx))
		}
		w.reach(nodes...)
		for _, n := range nodes {
			links, err := n.Links()
			must(t, err)
			want := map[string]string{"vxlan": "flannel.1", "wireguard": "flannel-wg"}[kind]
			for _, l := range links {
				if strings.HasPrefix(l, "flannel") && l != want {
					t.Errorf("with %s, %s has a link %s", kind, n, l)
				}
			}
		}
	}
}
