package hookrunner

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLintFindsWhatIsProbablyAMistake(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend map[string]string
		want    []string
	}{
		{"nothing in a careful hook", map[string]string{
			"PreStartupCommand":   `wg genkey | tee privatekey | wg pubkey`,
			"SubnetAddCommand":    `read -r KEY; f() { ip route add "$1" dev wg0; }; wg set wg0 peer "$KEY" allowed-ips "$SUBNET" && f "$SUBNET"`,
			"SubnetRemoveCommand": `read -r KEY; wg set wg0 peer "$KEY" remove; echo "${NOTHING:-none}"`,
		}, nil},
		{"a program that is not there", map[string]string{
			"PreStartupCommand": "true\n  no-such-program $IFACE",
		}, []string{"PreStartupCommand:2:3: no-such-program is neither in-process nor installed"}},
		{"variables that the event does not set", map[string]string{
			"PreStartupCommand":  `echo $SUBNET $NETWORK`,
			"PostStartupCommand": `VNI=1; echo $SUBNET $VNI $VNL`,
		}, []string{"PreStartupCommand:1:6: $SUBNET is not set for PreStartup", "PostStartupCommand:1:26: $VNL is not set for PostStartup"}},
		{"a peer's data that becomes code", map[string]string{
			"SubnetAddCommand": `read DATA; COPY="x $DATA"; eval "$DATA"; sh -c "$COPY"; ip route add "$(cat)" dev lo; echo $COPY`,
		}, []string{
			"SubnetAddCommand:1:33: what a peer wrote is run as a command by eval",
			"SubnetAddCommand:1:48: what a peer wrote is run as a command by sh",
			`SubnetAddCommand:1:92: what a peer wrote is not in quotes: it may become several words, or none: write "$…"`,
			"SubnetAddCommand:1:42: a program outside of overlayd changes things here, and there is no SubnetRemoveCommand to take them back",
		}},
		{"a private key that others can read", map[string]string{
			"Shell":              "/bin/sh",
			"PreStartupCommand":  `true > private.key`,
			"PostStartupCommand": `umask 077; true > private.key; true < private.key`,
		}, []string{"PreStartupCommand:1:6: a private key is written to a file that others can read: put umask 077 before"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.backend["Type"] = "extension"
			raw, err := json.Marshal(tt.backend)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range c.Lint() {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
