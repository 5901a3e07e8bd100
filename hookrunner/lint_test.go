package hookrunner

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin"
)

func TestLintFindsWhatIsProbablyAMistake(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backend map[string]string
		want    []string
	}{
		{"nothing in a careful hook", map[string]string{
			"PreStartupCommand":   `KEY=$(wg genkey); echo "$KEY" > privatekey; wg genkey | tee privatekey | wg pubkey; cat privatekey | wg pubkey`,
			"SubnetAddCommand":    `read -r KEY; f() { ip route add "$1" dev wg0; }; wg set wg0 peer "$KEY" allowed-ips "$SUBNET" && f "$SUBNET"; sed s/a/b/ x`,
			"SubnetRemoveCommand": `read -r KEY; wg set wg0 peer "$KEY" remove; echo "${NOTHING:-none} ${N:=1} $N"`,
		}, nil},
		{"a program that is not there", map[string]string{
			"PreStartupCommand": "true\n  A=1 no-such-program $IFACE; command 'no-such' x; /no/such/file",
		}, []string{
			"PreStartupCommand:2:7: no-such-program is neither in-process nor installed",
			"PreStartupCommand:2:31: no-such is neither in-process nor installed",
			"PreStartupCommand:2:52: /no/such/file is neither in-process nor installed",
		}},
		{"variables that the event does not set", map[string]string{
			"PreStartupCommand":  `echo $SUBNET $NETWORK $NODE_PUBLIC_IP $NODE_NETWORK`,
			"PostStartupCommand": `VNI=1; echo $SUBNET $VNI ${VNL%x} $IPV6SUBNET`,
		}, []string{
			"PreStartupCommand:1:6: $SUBNET is not set for PreStartup", "PreStartupCommand:1:39: $NODE_NETWORK is not set for PreStartup",
			"PostStartupCommand:1:26: $VNL is not set for PostStartup",
			"PostStartupCommand:1:35: $IPV6SUBNET is not set: the network has none of its address family",
		}},
		{"a peer's data that becomes code", map[string]string{
			"SubnetAddCommand":    `read DATA; COPY="x $DATA"; eval "$DATA"; sh -c "$COPY"; ip route add "$(cat)" dev lo; echo $COPY`,
			"SubnetRemoveCommand": `Y=$X; X=$(head -n 1); $X; bash -s; . /dev/stdin; echo a > "$Y"; arp -d $(cut -d, -f1); command sh -c "$X"; true`,
		}, []string{
			"SubnetAddCommand:1:33: what a peer wrote is run as a command by eval",
			"SubnetAddCommand:1:48: what a peer wrote is run as a command by sh",
			`SubnetAddCommand:1:92: what a peer wrote is not in quotes: it may become several words, or none: write "$…"`,
			"SubnetRemoveCommand:1:23: what a peer wrote is run as a command",
			"SubnetRemoveCommand:1:27: bash runs its stdin as a command, which is what a peer wrote",
			"SubnetRemoveCommand:1:36: . runs its stdin as a command, which is what a peer wrote",
			"SubnetRemoveCommand:1:59: what a peer wrote names a file",
			`SubnetRemoveCommand:1:72: what a peer wrote is not in quotes: it may become several words, or none: write "$…"`,
			"SubnetRemoveCommand:1:102: what a peer wrote is run as a command by sh",
		}},
		{"an effect that nobody takes back", map[string]string{
			"SubnetAddCommand": `grep x y | sed z; cat x; bash -c true`,
		}, []string{
			"SubnetAddCommand:1:26: a program outside of overlayd changes things here, and there is no SubnetRemoveCommand to take them back",
		}},
		{"the same with another shell", map[string]string{
			"Shell": "/bin/sh", "SubnetAddCommand": `cat x; bash -c 'ip route'`,
		}, []string{
			"SubnetAddCommand:1:8: a program outside of overlayd changes things here, and there is no SubnetRemoveCommand to take them back",
		}},
		{"a private key that others can read", map[string]string{
			"PreStartupCommand":  `umask 022; wg genkey > private.key; umask 077; wg genkey > private.key`,
			"PostStartupCommand": `wg genkey | tee /tmp/privatekey >/dev/null; chmod 644 privatekey; chmod go+r my.key; chmod 600 my.key`,
		}, []string{
			"PreStartupCommand:1:24: a private key is written to a file that others can read: write umask 077 before",
			"PostStartupCommand:1:17: a private key is written where others can put a file of that name first: leave the directory out",
			"PostStartupCommand:1:51: others may read a private key: write chmod 600",
			"PostStartupCommand:1:73: others may read a private key: write chmod 600",
		}},
		{"a private key that everybody is told", map[string]string{
			"PreStartupCommand":  `wg genkey; wg genkey | tee privatekey; cat privatekey; { wg genkey; } > f`,
			"PostStartupCommand": `wg genkey`,
		}, []string{
			"PreStartupCommand:1:1: the private key is printed, and what PreStartup prints all nodes are told",
			"PreStartupCommand:1:12: the private key is printed, and what PreStartup prints all nodes are told",
			"PreStartupCommand:1:40: the private key is printed, and what PreStartup prints all nodes are told",
		}},
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
			for _, f := range c.Lint(true, false, builtin.Answers) {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
