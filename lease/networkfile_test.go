package lease_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/overlayd/overlayd/lease"
)

func TestNetworkFiles(t *testing.T) {
	for _, test := range []struct{ name, file, want string }{
		{"JSON stays as it is", "{\n  \"Network\": \"10.3.0.0/16\",\n  \"Backend\": {\"Type\": \"alloc\"}\n}\n",
			`{"Network":"10.3.0.0/16","Backend":{"Type":"alloc"}}`},
		{"comments go", "// flannel's\n\n  // example\n{\"Network\":\"10.3.0.0/16\"}", `{"Network":"10.3.0.0/16"}`},
		{"YAML keeps the order of keys", "Backend:\n  Type: alloc\nNetwork: 10.3.0.0/16\nSubnetLen: 24\nEnableIPv6: false\n",
			`{"Backend":{"Type":"alloc"},"Network":"10.3.0.0/16","SubnetLen":24,"EnableIPv6":false}`},
		{"a block is one string", "Network: 10.3.0.0/16\nBackend:\n  Type: extension\n  SubnetAddCommand: |\n    echo \"<$SUBNET>\" &&\n    true\n",
			`{"Network":"10.3.0.0/16","Backend":{"Type":"extension","SubnetAddCommand":"echo \"<$SUBNET>\" &&\ntrue\n"}}`},
		{"lists, null, numbers and dates", "Network: 10.3.0.0/16\nSubnetLen: ~\nBackend: {Type: x, a: [1, 0x10, 2.5, true, null, yes], d: 2026-01-02}\n",
			`{"Network":"10.3.0.0/16","SubnetLen":null,"Backend":{"Type":"x","a":[1,16,2.5,true,null,"yes"],"d":"2026-01-02"}}`},
		{"JSON with a comma too many is YAML", `{"Network": "10.3.0.0/16",}`, `{"Network":"10.3.0.0/16"}`},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			got, err := lease.ReadNetwork([]byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, got); err != nil || compact.String() != test.want {
				t.Errorf("got %s, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestNetworkFilesThatAreRefused(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{"", "the file says nothing"},
		{"// only this\n", "the file says nothing"},
		{"just text", "parse network config: 1:1: not an object"},
		{"// comment\n{\n  \"Netwrok\": \"10.3.0.0/16\"\n}", `parse network config: 3:3: unknown key "Netwrok"`},
		{"{\n  \"Network\": \"10.3.0.0/16\"\n  \"SubnetLen\": 24\n}", "parse network config: 3:3: invalid character '\"' after object key:value pair"},
		{"Network: 10.3.0.0/16\nSubnetLne: 24\n", `parse network config: 2:1: unknown key "SubnetLne": did you mean "SubnetLen"?`},
		{"Network: 10.3.0.0/16\n\nSubnetMin: 10.3.0.1\n", "parse network config: 3:13: SubnetMin: 10.3.0.1 does not start a /24"},
		{"Network: 10.3.0.0/16\nNetwork: 10.3.0.0/16\n", `parse network config: 2:1: key "Network" is there a second time`},
		{"Network: 10.3.0.0/16\nBackend:\n  Type: [x]\n", `parse network config: 3:`},
		{"Network: 10.3.0.0/16\n24: x\n", `2:1: key "24" is not text: put it in quotes`},
		{"Network: 10.3.0.0/16\nBackend:\n  <<: x\n", `3:3: key "<<" is not text`},
		{"Network: &n 10.3.0.0/16\nIPv6Network: *n\n", "2:14: an alias: write out what it stands for"},
		{"Network: 10.3.0.0/16\nSubnetLen: .inf\n", "2:12: .inf has no form in JSON"},
		{"Network: 10.3.0.0/16\n---\nNetwork: 10.4.0.0/16\n", "a second YAML document begins"},
		{"Network: [\n", "neither JSON nor YAML: line 1:"},
	} {
		if got, err := lease.ReadNetwork([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %s, %v\nwant %s", test.file, got, err, test.want)
		}
	}
}

func TestPlacesInABackendAreThoseInTheFile(t *testing.T) {
	for name, file := range map[string]string{
		"JSON": "// flannel's\n{\n  \"Network\": \"10.3.0.0/16\",\n  \"Backend\": {\"Type\": \"x\", \"é\": 1,\n    \"here\": 2}\n}\n",
		"YAML": "Network: 10.3.0.0/16\n\nBackend:\n  Type: x\n\n    # é\n  here: 2\n",
	} {
		text, err := lease.ReadNetwork([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		network, err := lease.ParseNetwork(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := line(string(network.Backend.Raw)), line(file); got != want {
			t.Errorf("%s: the key is in line %d of the Backend, and in line %d of the file", name, got, want)
		}
	}
}

// line is the one in which the word "here" stands.
func line(text string) int {
	before, _, _ := strings.Cut(text, "here")
	return 1 + strings.Count(before, "\n")
}

func TestAPartOfAFileKeepsItsPlaces(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte("iface: eth0\nnetwork:\n  Netwrok: 10.3.0.0/16\n"), &document); err != nil {
		t.Fatal(err)
	}
	_, err := lease.ReadNetworkNode(document.Content[0].Content[3])
	if err == nil || !strings.Contains(err.Error(), `3:3: unknown key "Netwrok"`) {
		t.Errorf("got %v", err)
	}
}

func TestSameJSON(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2,3]}`, "{ \"b\": [2, 3],\n \"a\": 1 }", true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`no json`, `no json`, false},
	} {
		if got := lease.SameJSON([]byte(test.a), []byte(test.b)); got != test.want {
			t.Errorf("SameJSON(%s, %s) = %t", test.a, test.b, got)
		}
	}
}
