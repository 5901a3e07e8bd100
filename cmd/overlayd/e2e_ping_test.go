package main

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestPingSaysWhichLayerFails(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "script")
	w := worldOf(t, "vxlan", 3)
	here, there, other := w.Nodes()[0], w.Nodes()[1], w.Nodes()[2]
	subnet := there.SubnetFile().Subnets[0].String()
	want := func(what, command string, patterns ...string) {
		t.Helper()
		got, err := here.Shell(command)
		must(t, err)
		for _, p := range patterns {
			words := strings.ReplaceAll(p, " ", `\s`) // long lines are broken
			if !regexp.MustCompile(`(?m)` + words).MatchString(got) {
				t.Errorf("%s: no %s in\n%s", what, p, got)
			}
		}
	}
	want("a matrix", "overlayd ping --all",
		`^PEER +UNDERLAY +TUNNEL +OVERLAY +PATH MTU$`,
		`^`+subnet+` +[0-9.]+ ms +[0-9.]+ ms +[0-9.]+ ms +1450$`,
		`^`+other.SubnetFile().Subnets[0].String()+` .* 1450$`)
	want("all is well", "overlayd ping",
		`^PEER +LAYER +ADDRESS +ROUND TRIP +PATH MTU$`,
		`^`+subnet+` +underlay +`+there.Address().String()+` +[0-9.]+ ms +1500$`,
		`^ +tunnel +[0-9.]+ +[0-9.]+ ms +1450\n +overlay +[0-9.]+ +[0-9.]+ ms +1450$`,
		`^`+other.SubnetFile().Subnets[0].String()+` +underlay `)

	want("a picture", "overlayd graph --ping", `^graph overlay {$`, `^\tself -- peer0 \[style=solid, label="[0-9.]+ ms"\]$`)
	want("another", "overlayd graph -o svg", `^<svg `, `>`+subnet+`</text>`)
	want("a page", "overlayd graph -o html", `<td>`+there.Address().String())

	_, err := there.Shell("ip addr flush dev pods0")
	must(t, err)
	want("no bridge", "overlayd ping "+subnet, ` +tunnel .* 1450$`, ` +overlay .* - +-$`, `^`+subnet+`: nobody has .* there yet: it is the container bridge's$`)
	// A smaller MTU on the way than containers are promised.
	_, err = here.Shell("ip route add " + there.Address().String() + " dev eth0 mtu lock 1400")
	must(t, err)
	_, err = there.Shell("ip link set eth0 mtu 1400")
	must(t, err)
	want("a small MTU", "overlayd ping "+subnet+"; test $? = 7", `^`+subnet+`: packets of more than 13[0-9]+ bytes are lost, and containers are promised 1450: set the key MTU`)
	there.Kill()
	_, err = there.Shell("ip link del flannel-vxlan")
	must(t, err)
	want("no tunnel", "overlayd ping "+there.Address().String()+"; test $? = 7", `^`+subnet+`: the node answers and its overlay does not: is the backend's port open both ways`)
	want("how far it has come", "script -qec 'overlayd ping --all' /dev/null; test $? = 7", "\rpinged 2 of 2\r\x1b\\[K")
	want("nobody's", "overlayd ping 192.0.2.99 2>&1; test $? = 2", `no peer has this address, subnet or identity$`)
}

func TestJudge(t *testing.T) {
	peer := netip.MustParsePrefix("10.50.7.0/24")
	for _, tt := range []struct {
		layers, answers string
		good            bool
		verdict         string
	}{
		{"underlay tunnel overlay", "underlay tunnel overlay", true, ""},
		{"underlay tunnel overlay", "underlay overlay", true, ""},
		{"underlay tunnel overlay", "tunnel overlay", true, "its public address does not answer"},
		{"underlay tunnel overlay", "underlay tunnel", true, "nobody has 10.50.7.1 there yet"},
		{"underlay tunnel overlay", "underlay", false, "the node answers and its overlay does not: is the backend's port open"},
		{"underlay tunnel overlay", "", false, "nothing answers"},
		{"underlay overlay", "underlay overlay", true, ""},
		{"underlay overlay", "underlay", false, "the node answers and its overlay does not: either nobody has 10.50.7.1 there yet"},
		{"underlay overlay", "", false, "nothing answers"},
	} {
		p := pinged{Peer: peer}
		for name := range strings.FieldsSeq(tt.layers) {
			l := layer{Name: name}
			if strings.Contains(tt.answers, name) {
				l.Trip, l.MTU = 0.001, 1450
			}
			p.Layers = append(p.Layers, l)
		}
		if p.judge(1450); p.Good != tt.good || !strings.HasPrefix(p.Verdict, tt.verdict) || tt.verdict == "" && p.Verdict != "" {
			t.Errorf("of %q, %q answer: good %v, %q", tt.layers, tt.answers, p.Good, p.Verdict)
		}
	}
}
