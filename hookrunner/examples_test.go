package hookrunner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
)

// The examples are those of flannel's documentation. What they make of a node's life, in command lines:
func TestExamples(t *testing.T) {
	tests := []struct {
		file, data string   // what PreStartup publishes
		want       []string // command lines, and what their scopes are told
	}{
		{file: "host-gw.json", want: []string{
			"begin 10.50.7.0/24", `["ip" "route" "add" "10.50.7.0/24" "via" "192.0.2.7"]`, "end 10.50.7.0/24: sweep",
			"begin 10.50.7.0/24", `["ip" "route" "del" "10.50.7.0/24" "via" "192.0.2.7"]`, "end 10.50.7.0/24: clear",
			"begin node", "end node: clear",
		}},
		{file: "vxlan.json", data: `"52:54:00:00:00:03"`, want: []string{
			"begin node", `["ip" "link" "del" "flannel-vxlan"]`,
			`["ip" "link" "add" "flannel-vxlan" "type" "vxlan" "id" "1" "dstport" "8472" "nolearning"]`,
			`["ip" "link" "set" "mtu" "1450" "dev" "flannel-vxlan"]`, "end node: keep",
			"begin node", `["ip" "addr" "add" "10.50.3.0/32" "dev" "flannel-vxlan"]`,
			`["ip" "link" "set" "flannel-vxlan" "up"]`, "end node: keep",
			"begin 10.50.7.0/24",
			`["ip" "route" "add" "10.50.7.0/24" "nexthop" "via" "10.50.7.0" "dev" "flannel-vxlan" "onlink"]`,
			`["arp" "-s" "10.50.7.0" "52:54:00:12:34:56" "dev" "flannel-vxlan"]`,
			`["bridge" "fdb" "add" "52:54:00:12:34:56" "dev" "flannel-vxlan" "self" "dst" "192.0.2.7"]`, "end 10.50.7.0/24: sweep",
			"begin 10.50.7.0/24", "end 10.50.7.0/24: clear",
			"begin node", `["ip" "link" "del" "flannel-vxlan"]`, "end node: clear",
		}},
		{file: "wireguard.json", data: `"pubkey"`, want: []string{
			"begin node", "end node: keep",
			"begin node", `["ip" "link" "del" "flannel-wg"]`, `["ip" "link" "add" "flannel-wg" "type" "wireguard"]`,
			`["wg" "set" "flannel-wg" "listen-port" "51820" "private-key" "privatekey"]`,
			`["ip" "addr" "add" "10.50.3.0/32" "dev" "flannel-wg"]`, `["ip" "link" "set" "flannel-wg" "up"]`,
			`["ip" "route" "add" "10.50.0.0/16" "dev" "flannel-wg"]`, "end node: keep",
			"begin 10.50.7.0/24",
			`["wg" "set" "flannel-wg" "peer" "52:54:00:12:34:56" "endpoint" "192.0.2.7:51820" "allowed-ips" "10.50.7.0/24"]`,
			"end 10.50.7.0/24: sweep",
			"begin 10.50.7.0/24", `["wg" "set" "flannel-wg" "peer" "52:54:00:12:34:56" "remove"]`, "end 10.50.7.0/24: clear",
			"begin node", `["ip" "link" "del" "flannel-wg"]`, "end node: clear",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			var rec recorder
			r := newRunner(t, example(t, tt.file), Options{Begin: rec.begin})
			for _, h := range hookOrder {
				data, err := hookOf(r, h, call(hooks.Start), peer)
				if err != nil {
					t.Error(err)
				}
				if h == hooks.PreStartup && string(data) != tt.data {
					t.Errorf("published %s, want %s", data, tt.data)
				}
			}
			if diff := cmp.Diff(tt.want, rec.log); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if tt.file == "wireguard.json" {
				if key, err := os.ReadFile(filepath.Join(r.options.Dir, "privatekey")); string(key) != "genkey\n" {
					t.Errorf("the key file has %q, %v", key, err)
				}
			}
		})
	}
}

// example is the Backend object of one of the examples.
func example(t testing.TB, name string) json.RawMessage {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	var network struct{ Backend json.RawMessage }
	if err := json.Unmarshal(text, &network); err != nil {
		t.Fatal(err)
	}
	return network.Backend
}

// BenchmarkSubnetAdd is what a hook costs beside the kernel's part.
func BenchmarkSubnetAdd(b *testing.B) {
	for _, file := range []string{"host-gw.json", "vxlan.json", "wireguard.json"} {
		b.Run(file, func(b *testing.B) {
			r := newRunner(b, example(b, file), Options{Begin: new(recorder).begin})
			for b.Loop() {
				if err := r.SubnetAdd(b.Context(), call(hooks.Join), peer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
