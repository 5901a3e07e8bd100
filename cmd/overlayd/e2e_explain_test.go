package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

func TestExplainSaysWhoseAnAddressIsAndWhatServesIt(t *testing.T) {
	t.Parallel()
	w := worldOf(t, "vxlan", 2)
	here, there := w.Nodes()[0], w.Nodes()[1]
	subnet := there.SubnetFile().Subnets[0]
	gateway := subnet.Addr()
	for _, asked := range []string{gateway.Next().Next().String(), subnet.String(), there.Address().String()} {
		got, err := here.Shell("overlayd explain " + asked)
		must(t, err)
		want := fmt.Sprintf(`node        another node, UUID
subnet      %s
public IP   %s
lease       etcd /coreos.com/network/subnets/%s@REVISION
state       up for SPAN
last hook   SubnetAdd, for reason join, SPAN ago, in TIME
made        ip route add %[1]s via %[4]s dev flannel-vxlan onlink
made        ip neighbour add %[4]s lladdr MAC dev flannel-vxlan nud permanent
made        bridge fdb add MAC dev flannel-vxlan dst %[2]s self permanent
by          SubnetAdd, for reason join, SPAN ago, in TIME
kernel      as the ledger says, 3 of 3
`, subnet, there.Address(), strings.ReplaceAll(subnet.String(), "/", "-"), gateway)
		got = alike.Replace(got)
		got, way, _ := strings.Cut(got, "way ")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("explain %s (-want +got):\n%s", asked, diff)
		}
		if way != "" && !strings.Contains(way, " dev ") {
			t.Errorf("the way is %q", way)
		}
	}
	own, err := here.Shell("overlayd explain " + here.Address().String())
	must(t, err)
	if !strings.Contains(own, "node        this node, ") || !strings.Contains(own, "made        ip link add flannel-vxlan type vxlan ") {
		t.Errorf("of this node:\n%s", own)
	}
	for asked, want := range map[string]struct {
		status int
		text   string
	}{
		"10.50.0.1": {exitFailed, "it is in the overlay's network 10.50.0.0/16, and in no node's subnet"},
		"192.0.2.9": {exitFailed, "it is no node's public address, and not in the overlay"},
		"nobody":    {exitUsage, "no node has this subnet or identity"},
	} {
		got, err := here.Shell(fmt.Sprintf("overlayd explain %s 2>&1; test $? = %d", asked, want.status))
		if err != nil || !strings.Contains(got, want.text) {
			t.Errorf("explain %s: %v\n%s\nwant %+v", asked, err, got, want)
		}
	}
}

// alike puts words for what differs from run to run.
var alike = replacements{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b\d+ (s|min)\b`), "SPAN"},
	{regexp.MustCompile(`in [0-9.]+ m?s`), "in TIME"},
	{regexp.MustCompile(`\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b`), "MAC"},
	{regexp.MustCompile(`@\d+,\s+renewed SPAN ago,\s+ends in\s+\d+\s+h\s+unless\s+renewed`), "@REVISION"},
	{regexp.MustCompile(` \\\n +`), " "},                        // where a command is broken
	{regexp.MustCompile(`for reason start`), "for reason join"}, // it depends on who was first
}

type replacements []struct {
	from *regexp.Regexp
	to   string
}

func (all replacements) Replace(text string) string {
	for _, r := range all {
		text = r.from.ReplaceAllString(text, r.to)
	}
	return text
}

func TestAnExplanationSaysWhatIsAmiss(t *testing.T) {
	now := time.Now()
	added := &control.HookRun{Hook: hooks.SubnetAdd, Reason: hooks.Join, Started: now.Add(-time.Minute), Took: 1.5}
	x := explanation{
		Paths: []control.Path{{}}, State: string(hooks.PeerUp), Since: now.Add(-time.Minute),
		Effects: []control.Effect{{Command: "ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0", MadeBy: added}, {Command: "ip link add x", Missing: true}},
	}
	var b strings.Builder
	must(t, x.text(&b, now))
	want := `node        another node
state       up for 60 s
made        ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0
by          SubnetAdd, for reason join, 60 s ago, in 1.5 s
missing     ip link add x
by          a run that the hook log has no more
kernel      not as the ledger says: 1 of 2 are missing or otherwise
`
	if diff := cmp.Diff(want, b.String()); diff != "" || x.good() {
		t.Errorf("it is good: %v (-want +got):\n%s", x.good(), diff)
	}
	x.Effects[1].Missing = false
	if !x.good() {
		t.Error("it is not good, though nothing is missing")
	}
	x.Record = &control.Record{}
	if x.good() {
		t.Error("it is good, though its lease has gone")
	}
	x.Record = nil
	x.State = string(hooks.PeerRetrying)
	if x.good() {
		t.Error("it is good, though hooks fail")
	}
}

func TestExplainWithoutADaemon(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("overlayd", "explain", "10.50.7.1", "--run-dir", t.TempDir()).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitUnreachable || !strings.Contains(string(out), "no overlayd runs") {
		t.Errorf("got %v\n%s", err, out)
	}
}
