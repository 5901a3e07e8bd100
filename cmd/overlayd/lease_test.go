package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// Each script has an etcd of its own, which overlayd finds through the environment, and the URLs FREE1 and FREE2 at which
// nobody listens. Beside testscript's commands there is "put KEY VALUE [TTL]", which writes to that etcd; \n in a key is a line's
// end, and a TTL in seconds makes it expire.
func TestLeaseScripts(t *testing.T) {
	type clientKey struct{}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/lease",
		Setup: func(e *testscript.Env) error {
			member, err := embedded.Start(t.Context(), embedded.Options{Dir: e.WorkDir + "/.etcd", ListenClient: "http://127.0.0.1:0"})
			if err != nil {
				return err
			}
			e.Defer(func() { member.Close() })
			client, err := etcd.Dial(etcd.DialOptions{Endpoints: member.Endpoints()})
			if err != nil {
				return err
			}
			e.Defer(func() { client.Close() })
			e.Values[clientKey{}] = client
			e.Setenv("OVERLAYD_ETCD_ENDPOINTS", member.Endpoints()[0])
			for _, name := range []string{"FREE1", "FREE2"} {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				e.Setenv(name, "http://"+l.Addr().String())
				if err := l.Close(); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"put": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 || len(args) > 3 {
					ts.Fatalf("usage: put KEY VALUE [TTL]")
				}
				ts.Check(put(t, ts.Value(clientKey{}).(*clientv3.Client), strings.ReplaceAll(args[0], `\n`, "\n"), args[1], args[2:]))
			},
		},
	})
}

func put(t *testing.T, client *clientv3.Client, key, value string, ttl []string) error {
	var opts []clientv3.OpOption
	for _, text := range ttl {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		granted, err := client.Grant(t.Context(), seconds)
		if err != nil {
			return err
		}
		opts = append(opts, clientv3.WithLease(granted.ID))
	}
	_, err := client.Put(t.Context(), key, value, opts...)
	return err
}

func TestAStopReleasesTheLeaseOnRequest(t *testing.T) {
	config, _ := example(t, "host-gw")
	w := newWorld(t, config, 2)
	stays, leaves := w.Nodes()[0], w.Nodes()[1]
	stays.Args = append(stays.Args, "--lease-ttl", "2h")
	leaves.Args = append(leaves.Args, "--release-on-exit")
	w.up(stays, leaves)
	w.reach(stays, leaves)
	list := func() string { return w.run("lease", "list", "-o", "tsv", "--etcd-endpoints", w.Endpoint()) }
	left := map[string]int{}
	for line := range strings.Lines(list()) {
		cells := strings.Split(line, "\t")
		left[cells[0]], _ = strconv.Atoi(cells[6])
	}
	for n, hours := range map[*cluster.Node]int{stays: 2, leaves: 24} {
		if s := left[n.Subnets()]; s > hours*3600 || s < hours*3600-600 {
			t.Errorf("%s's lease lasts %d s, want about %d h", n, s, hours)
		}
	}
	refused := exec.CommandContext(w.ctx, "overlayd", "lease", "release", "--etcd-endpoints", w.Endpoint(),
		"--run-dir", fmt.Sprintf("/proc/%d/root%s", leaves.PID(), defaultRunDir))
	if text, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(text), "daemon runs and would take the lease again") {
		t.Errorf("release beside a running daemon: got %v, %s", err, text)
	}
	must(t, leaves.Stop(w.ctx))
	w.await(stays, func(s control.Status) error {
		if len(s.Peers) > 0 {
			return io.ErrNoProgress
		}
		return nil
	})
	if links, err := leaves.RoutesTo(stays); err != nil || len(links) > 0 {
		t.Errorf("the node that left still has routes %v, %v", links, err)
	}
	must(t, stays.Stop(w.ctx))
	if got := list(); !strings.HasPrefix(got, stays.Subnets()+"\t") || strings.Count(got, "\n") != 1 {
		t.Errorf("leases after both have stopped:\n%swant that of %s alone", got, stays)
	}
}

func TestParseSubnetsRefusesWhatIsNoKey(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "not of the form",
		"10.50.7.0":                 "not of the form",
		"10.50.7.1/24":              "did you mean 10.50.7.0/24?",
		"10.50.7.0/24,10.50.8.0/24": "of one family",
		"10.50.7.0/32":              "length 32",
		"::ffff:10.50.7.0/120":      "no IPv6 subnet",
	} {
		if _, err := parseSubnets(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", text, err, want)
		}
	}
}

func TestATerminalHasRoomForAnyLease(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	list := leaseList{Leases: []leaseEntry{
		{Paths: []leasePath{{Subnet: prefix("10.50.172.0/24"), PublicIP: addr("192.0.2.4")}}, Backend: "extension", NodeID: "2482635e-20d0-4f94-95db-74ee6f39b0df"},
		{
			Paths:   []leasePath{{Subnet: prefix("10.50.7.0/24"), PublicIP: addr("192.0.2.104")}, {Subnet: prefix("fd50:0:0:ac::/64"), PublicIP: addr("2001:db8::4")}},
			Backend: "a backend with much to say", NodeID: "\x1b[2J and more", Reserved: true,
		},
		{Paths: []leasePath{{Subnet: prefix("10.50.8.0/24"), PublicIP: addr("2001:db8::5")}, {Subnet: prefix("fd50:0:0:ad::/64"), PublicIP: addr("2001:db8::5")}}},
		{Paths: []leasePath{{Subnet: prefix("10.50.9.0/24"), PublicIP: addr("192.0.2.9")}}, AlsoAt: []netip.Addr{addr("2001:db8::9")}},
	}}
	var b strings.Builder
	must(t, list.screen(&b))
	want := `SUBNET            PUBLIC IP    KIND         BACKEND       NODE
10.50.172.0/24    192.0.2.4    lease        extension     2482635e
10.50.7.0/24      192.0.2.104  reservation  a backend wi  "\x1b[2J
fd50:0:0:ac::/64  2001:db8::4
10.50.8.0/24      2001:db8::5  lease        -             -
fd50:0:0:ad::/64
10.50.9.0/24      192.0.2.9    lease        -             -
                  2001:db8::9
`
	var got strings.Builder
	for line := range strings.Lines(b.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	wantColumns(t, "lease list", b.String())
}
