package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
)

func TestWhatDaemonsSayIsAsTheSchemasSay(t *testing.T) {
	t.Parallel()
	for kind, config := range map[string]string{
		"vxlan": `{"Type": "vxlan"}`,
		"extension": `{"Type": "extension", "PostStartupCommand": "ip link add br-hooks type bridge", "ShutdownCommand": "ip link del br-hooks",
		  "SubnetAddCommand": "echo $SUBNET; echo $IPV6SUBNET >&2; ip route add $SUBNET via $PUBLIC_IP; case $PUBLIC_IP in *.77) exit 3;; esac"}`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			tools(t, "script")
			w := newWorldOver(t, network(dual, config), 2, true)
			here, there := w.Nodes()[0], w.Nodes()[1]
			w.up(here, there)
			w.put(subnetsKey+"garbage", "none")
			w.put(subnetsKey+"10.50.250.0-24&fd50:0:0:fa::-64", `{"PublicIP": "192.0.2.77", "PublicIPv6": "2001:db8::77", "BackendType": "`+kind+`", "BackendData": "none"}`)
			w.await(here, func(s control.Status) error {
				if len(s.Peers) != 2 || s.Unreadable.Count != 1 {
					return fmt.Errorf("it has %d peers, and %d keys are no leases", len(s.Peers), s.Unreadable.Count)
				}
				for _, p := range s.Peers {
					if p.State == hooks.PeerPending {
						return errors.New("hooks have yet to run")
					}
				}
				return nil
			})
			etcd := " --etcd-endpoints " + w.Endpoint()
			_, err := here.Shell(`echo '{` + dual + `, "EnableNFTables": true, "Backend": ` + config + `}' | overlayd config put -` + etcd)
			must(t, err)
			for _, line := range []string{
				"status", "explain " + there.Address().String(), "explain " + here.Address().String(), "explain 10.50.250.1", "ping " + there.Address().String(),
				"hook log", "events", "doctor" + etcd, "lease list" + etcd, "config history" + etcd,
			} {
				w.conforms(here, line)
				shown := "overlayd " + line + "; test $? = 0 -o $? = 7 -o $? = 1"
				text, err := here.Shell(shown)
				must(t, err)
				if records[schemaOfLine(line)] {
					whole := text
					text, err = here.Shell("script -qec '" + shown + "' /dev/null </dev/null")
					must(t, err)
					text = strings.ReplaceAll(text, "\r\n", "\n")
					if text == whole {
						t.Errorf("%s: on a terminal nothing is broken", line)
					}
				}
				wantColumns(t, line, text)
			}
		})
	}
}

// records are the commands that print a record a line, as grep and cut want it, however long addresses of both families and
// errors make it, unless somebody looks on.
var records = map[string]bool{"hook log": true, "events": true, "lease list": true}

// conforms wants what the command prints as JSON to be as its schema says. The command may find something amiss.
func (w *world) conforms(n *cluster.Node, line string) {
	w.Helper()
	command := schemaOfLine(line)
	text, err := n.Shell("overlayd " + line + " -o json; test $? = 0 -o $? = 7 -o $? = 1")
	must(w.T, err)
	schema := compileOutput(w.T, command)
	values := json.NewDecoder(strings.NewReader(text))
	for count := 0; ; count++ {
		var one json.RawMessage
		err := values.Decode(&one)
		if errors.Is(err, io.EOF) && count > 0 {
			return
		}
		must(w.T, err)
		if err := validate(schema, string(one)); err != nil {
			w.Errorf("%s: %v\n%s", line, err, one)
		}
	}
}

// schemaOfLine is the name of the schema for a command line.
func schemaOfLine(line string) string {
	for _, name := range schemaNames() {
		if line == name || strings.HasPrefix(line, name+" ") {
			return name
		}
	}
	return ""
}

// Every command that can print JSON has a schema.
func TestEveryOutputHasASchema(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "overlayd ")
		if f := c.Flags().Lookup("output"); f != nil && strings.Contains(f.Usage, "json") {
			if name == "config get" {
				return // which prints the network config
			}
			if _, err := schemaOf(name); err != nil {
				t.Error(err)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(io.Discard, io.Discard))
}

func TestADaemonThatHasJustStartedIsAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(control.NewState(control.Facts{}).Snapshot())
	must(t, err, validate(compileOutput(t, "status"), string(text)))
}

func TestTheSchemaCommand(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"schema":            "0:config canary\nconfig history\ndoctor\n",
		"schema hook log":   `0:{\n  "$schema"`,
		"schema stauts":     "2:overlayd: schema \"stauts\": no command of this name has one: did you mean status?\n",
		"schema hook":       "2:overlayd: schema \"hook\": no command of this name has one\noverlayd: hint: see overlayd schema for those that do\n",
		"schema status now": "2:",
	} {
		var out, errs strings.Builder
		status := run(t.Context(), strings.Fields(line), &out, &errs)
		if got := fmt.Sprintf("%d:%s%s", status, &out, &errs); !strings.HasPrefix(got, strings.ReplaceAll(want, `\n`, "\n")) {
			t.Errorf("%s: got\n%s\nwant\n%s", line, got, want)
		}
	}
}
