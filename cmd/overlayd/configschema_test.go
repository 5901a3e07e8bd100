package main

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(networkSchema))
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource("network", document))
	schema, err := c.Compile("network")
	must(t, err)
	return schema
}

// networkOf is a valid config but for what the extra members make of it.
func networkOf(extra string) string { return `{"Network": "10.50.0.0/16"` + extra + "}" }

func TestTheSchemaAndTheDaemonAcceptTheSame(t *testing.T) {
	backend := func(members string) string { return networkOf(`, "Backend": {` + members + "}") }
	accepted := []string{
		networkOf(""),
		networkOf(`, "EnableNFTables": true`),
		networkOf(`, "SubnetLen": 26, "SubnetMin": "10.50.1.0", "SubnetMax": "10.50.9.0"`),
		`{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00:50::/48", "IPv6SubnetLen": 64, "IPv6SubnetMin": "fd00:50:0:1::"}`,
		networkOf(`, "EnableIPv6": true, "IPv6Network": "fd00::/16"`),
		`{"Network": "10.0.0.0/28"}`,
		backend(`"Type": "alloc"`),
		backend(`"Type": "alloc", "Anything": 1`),
		backend(`"Type": "host-gw"`),
		backend(`"Type": "vxlan", "VNI": 16777215, "Port": 4789, "MTU": 1450, "GBP": true, "Learning": true, "DirectRouting": true, "Checksum": false, "Name": "vx.0"`),
		backend(`"Type": "vxlan", "Port": 0, "MTU": 0, "Name": ""`),
		backend(`"Type": "wireguard", "PSK": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "ListenPort": 1, "ListenPortV6": 65535, "Mode": "auto", "PersistentKeepaliveInterval": 25, "MTU": 1400, "Name": "..."`),
		backend(`"Type": "extension", "Timeout": "1m30.5s", "MTU": 68, "Shell": "builtin", "Concurrency": 64, "PreStartupCommand": "", "SubnetAddCommand": "true\nfalse"`),
		backend(`"Type": "extension", "Shell": "/bin/sh"`),
	}
	for _, name := range []string{"vxlan", "host-gw", "wireguard"} {
		text, _ := example(t, name)
		accepted = append(accepted, string(text))
	}
	refused := []string{
		`[]`,
		`{}`,
		`"text"`,
		`{"Network": 1}`,
		`{"Network": "10.50.0.0"}`,
		`{"Network": "10.50.0.256/16"}`,
		`{"Network": "10.50.0.0/29"}`,
		`{"Network": "fd00::/48"}`,
		networkOf(`, "Netwrok": 1`),
		networkOf(`, "SubnetLen": "24"`),
		networkOf(`, "SubnetLen": 31`),
		networkOf(`, "SubnetLen": 24.5`),
		networkOf(`, "SubnetMin": "10.50.1.0/24"`),
		networkOf(`, "EnableIPv6": true`),
		networkOf(`, "EnableIPv6": "yes"`),
		networkOf(`, "EnableIPv6": true, "IPv6Network": "10.0.0.0/16"`),
		networkOf(`, "EnableIPv6": true, "IPv6Network": "fd00::/125"`),
		`{"EnableIPv4": false}`,
		`{"EnableIPv4": false, "EnableIPv6": false}`,
		`{"EnableIPv4": false, "Network": "10.50.0.0/16"}`,
		networkOf(`, "Backend": "vxlan"`),
		networkOf(`, "Backend": []`),
		backend(""),
		backend(`"Type": ""`),
		backend(`"Type": "ipip"`),
		backend(`"Type": "vxlna"`),
		backend(`"Type": 1`),
		backend(`"Type": "host-gw", "VNI": 1`),
		backend(`"Type": "vxlan", "VNI": 0`),
		backend(`"Type": "vxlan", "VNI": 16777216`),
		backend(`"Type": "vxlan", "Port": 65536`),
		backend(`"Type": "vxlan", "MTU": 575`),
		backend(`"Type": "vxlan", "GBP": 1`),
		backend(`"Type": "vxlan", "Name": "sixteen-letters-"`),
		backend(`"Type": "vxlan", "Name": "a/b"`),
		backend(`"Type": "vxlan", "Name": ".."`),
		backend(`"Type": "vxlan", "PSK": ""`),
		backend(`"Type": "wireguard", "PSK": "short"`),
		backend(`"Type": "wireguard", "ListenPort": 0`),
		backend(`"Type": "wireguard", "Mode": "both"`),
		backend(`"Type": "wireguard", "PersistentKeepaliveInterval": -1`),
		backend(`"Type": "wireguard", "Mode": 4`),
		backend(`"Type": "extension", "Timeout": 30`),
		backend(`"Type": "extension", "Timeout": "30"`),
		backend(`"Type": "extension", "Timeout": "-1s"`),
		backend(`"Type": "extension", "Timeout": "soon"`),
		backend(`"Type": "extension", "MTU": 67`),
		backend(`"Type": "extension", "Shell": "sh"`),
		backend(`"Type": "extension", "Concurrency": 0`),
		backend(`"Type": "extension", "SubnetAddCommand": ["true"]`),
		backend(`"Type": "extension", "SubnetAddComand": "true"`),
	}
	schema := compileSchema(t)
	for want, texts := range map[bool][]string{true: accepted, false: refused} {
		for _, text := range texts {
			if err := validate(schema, text); (err == nil) != want {
				t.Errorf("schema: accepts %v, want %v: %s\n%v", err == nil, want, text, err)
			}
			if err := checkNetwork([]byte(text)); (err == nil) != want {
				t.Errorf("daemon: accepts %v, want %v: %s\n%v", err == nil, want, text, err)
			}
		}
	}
}

func validate(schema *jsonschema.Schema, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// What a schema cannot say, and what the daemon forgives for the sake of configs made for flannel.
func TestWhereTheSchemaAndTheDaemonDiffer(t *testing.T) {
	schema := compileSchema(t)
	for _, tt := range []struct {
		what, text string
		daemon     bool
	}{
		{"any case of letters", `{"network": "10.50.0.0/16"}`, true},
		{"a type in any case", networkOf(`, "Backend": {"Type": "VXLAN"}`), true},
		{"null for a key that is not given", networkOf(`, "SubnetLen": null`), true},
		{"a command that does not parse", networkOf(`, "Backend": {"Type": "extension", "SubnetAddCommand": "if"}`), false},
		{"a bound outside the network", networkOf(`, "SubnetMin": "10.51.0.0"`), false},
		{"a subnet as long as the network", networkOf(`, "SubnetLen": 16`), false},
		{"one port for two links", networkOf(`, "Backend": {"Type": "wireguard", "ListenPort": 1, "ListenPortV6": 1}`), false},
		{"a duration of nothing", networkOf(`, "Backend": {"Type": "extension", "Timeout": "0s"}`), false},
	} {
		inSchema, inDaemon := validate(schema, tt.text) == nil, checkNetwork([]byte(tt.text)) == nil
		if inDaemon != tt.daemon || inSchema == tt.daemon {
			t.Errorf("%s: schema accepts %v, daemon %v, want %v for the daemon alone", tt.what, inSchema, inDaemon, tt.daemon)
		}
	}
}

// A key that is new has to come into the schema too.
func TestTheSchemaKnowsTheDaemonsKeys(t *testing.T) {
	known := regexp.MustCompile(`known are (.*)$`)
	keysOf := func(text string) []string {
		t.Helper()
		m := known.FindStringSubmatch(fmt.Sprint(checkNetwork([]byte(text))))
		if m == nil {
			t.Fatalf("%s: it does not say which keys are known: %v", text, checkNetwork([]byte(text)))
		}
		keys := strings.Split(m[1], ", ")
		slices.Sort(keys)
		return keys
	}
	schema := compileSchema(t)
	names := func(s *jsonschema.Schema) []string { return slices.Sorted(maps.Keys(s.Properties)) }
	if diff := cmp.Diff(keysOf(networkOf(`, "Qqqqqqqqqqqq": 1`)), names(schema)); diff != "" {
		t.Errorf("keys of the network (-daemon +schema):\n%s", diff)
	}
	for _, s := range schema.Properties["Backend"].OneOf {
		if s.Title == "alloc" {
			continue // it takes any
		}
		text := networkOf(fmt.Sprintf(`, "Backend": {"Type": %q, "Qqqqqqqqqqqq": 1}`, s.Title))
		if diff := cmp.Diff(keysOf(text), names(s)); diff != "" {
			t.Errorf("keys of type %s (-daemon +schema):\n%s", s.Title, diff)
		}
	}
}
