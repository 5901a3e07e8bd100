package builtin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/hostgw"
	"github.com/overlayd/overlayd/builtin/vxlan"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/lease"
)

func TestEachKeyOfANativeBackendHasItsImpact(t *testing.T) {
	for kind, parse := range map[string]func(json.RawMessage) error{
		"vxlan":     func(raw json.RawMessage) error { _, err := vxlan.Parse(raw); return err },
		"host-gw":   func(raw json.RawMessage) error { _, err := hostgw.Parse(raw); return err },
		"wireguard": func(raw json.RawMessage) error { _, err := wireguard.Parse(raw); return err },
	} {
		_, list, _ := strings.Cut(fmt.Sprint(parse([]byte(`{"no such key at all": 1}`))), "known are Type")
		known := strings.Split(strings.ToLower(strings.TrimPrefix(list, ", ")), ", ")
		want := slices.DeleteFunc(known, func(key string) bool { return key == "" })
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(impacts[kind])), cmp.Transformer("text", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
			t.Errorf("%s (-keys that it has +keys with an impact):\n%s", kind, diff)
		}
	}
}

func TestImpacts(t *testing.T) {
	network := func(config string) lease.Network {
		n, err := lease.ParseNetwork([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const (
		v4      = `"Network": "10.50.0.0/16"`
		dual    = v4 + `, "EnableIPv6": true, "IPv6Network": "fd50::/48"`
		oneLink = `, "Backend": {"Type": "wireguard", "Mode": "auto"}`
	)
	for _, tt := range []struct {
		key, before, next string
		want              Impact
	}{
		{"Backend.MTU", `{` + v4 + `}`, `{` + v4 + `, "Backend": {"Type": "vxlan", "MTU": 1400}}`, Live},
		{"backend.port", `{` + v4 + `}`, `{` + v4 + `, "Backend": {"Type": "vxlan", "Port": 4789}}`, Brief},
		{"Backend.Type", `{` + v4 + `}`, `{` + v4 + `, "Backend": {"Type": "wireguard"}}`, Live},
		{"Backend.PSK", `{` + v4 + `}`, `{` + v4 + `, "Backend": {"Type": "wireguard", "PSK": "x"}}`, Live},
		{"Backend.Type", `{` + v4 + `}`, `{` + v4 + `, "Backend": {"Type": "extension"}}`, Full},
		{"Backend.SubnetAddCommand", `{` + v4 + `, "Backend": {"Type": "extension"}}`, `{` + v4 + `, "Backend": {"Type": "extension"}}`, Full},
		{"Backend.Unheard", `{` + v4 + `}`, `{` + v4 + `}`, Full},
		{"Network", `{` + v4 + `}`, `{"Network": "10.51.0.0/16"}`, Full},
		{"SubnetLen", `{` + v4 + `}`, `{` + v4 + `, "SubnetLen": 25}`, Full},
		{"SubnetLen", `{` + v4 + `}`, `{` + v4 + `, "SubnetLen": 24}`, Live},
		{"IPv6Network", `{` + v4 + `}`, `{` + v4 + `, "EnableIPv6": true, "IPv6Network": "fd50::/48"}`, Live},
		{"EnableIPv6", `{` + dual + oneLink + `}`, `{` + v4 + oneLink + `}`, Brief},
		{"EnableIPv6", `{` + v4 + oneLink + `}`, `{` + dual + oneLink + `}`, Live},
	} {
		if got := ImpactOf(tt.key, network(tt.before), network(tt.next)); got != tt.want {
			t.Errorf("%s of %s to %s: %s, want %s", tt.key, tt.before, tt.next, got, tt.want)
		}
	}
}
