package control

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/screen"
	"github.com/overlayd/overlayd/lease"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew")

func path(subnet, publicIP string) (p lease.Path) {
	if subnet != "" {
		p.Subnet = netip.MustParsePrefix(subnet)
	}
	if publicIP != "" {
		p.PublicIP = netip.MustParseAddr(publicIP)
	}
	return p
}

// daemonUp fills the state of a daemon that is up, with peers in all states.
func daemonUp(s *State) {
	s.Configure("extension", 17)
	s.SetMTU(1450)
	s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp, Node: hooks.Node{
		Networks:  []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16")},
		Lease:     lease.Lease{V4: path("10.50.7.0/24", "192.0.2.7")},
		Interface: "eth0", MTU: 1500,
	}})
	now := time.Now()
	ran := func(hook hooks.Hook, took time.Duration) hooks.HookRun {
		return hooks.HookRun{Hook: hook, Reason: hooks.Join, Started: now.Add(-took), Took: took}
	}
	for _, p := range []hooks.PeerStatus{
		{Lease: &lease.Lease{V4: path("10.50.200.0/24", "192.0.2.200")}, State: hooks.PeerPending},
		{Lease: &lease.Lease{V4: path("10.50.3.0/24", "192.0.2.3")}, State: hooks.PeerUp, Last: ran(hooks.SubnetAdd, 1234*time.Microsecond)},
		{
			Lease: &lease.Lease{V4: path("10.50.4.0/24", "192.0.2.4")}, State: hooks.PeerRetrying, Attempts: 3, NextTry: now.Add(12 * time.Second),
			Err:  errors.New("SubnetAdd 10.50.4.0/24: exit status 2: RTNETLINK answers: File exists"),
			Last: ran(hooks.SubnetAdd, 30*time.Second),
		},
		{
			Lease: &lease.Lease{V4: path("10.50.5.0/24", "192.0.2.5")}, State: hooks.PeerRemoving, Attempts: 1, NextTry: now.Add(time.Second),
			Err:  errors.New("SubnetRemove 10.50.5.0/24: \x1b]0;owned\x07\nexit status 1"),
			Last: ran(hooks.SubnetRemove, 20*time.Millisecond),
		},
		{
			Lease: &lease.Lease{V4: path("10.50.6.0/24", "")}, State: hooks.PeerLeftOver,
			Err:  errors.New("SubnetRemove 10.50.6.0/24: exit status 1"),
			Last: ran(hooks.SubnetRemove, 2500*time.Millisecond),
		},
	} {
		p.Since = now.Add(-20 * time.Minute)
		p.Last.Scope = p.Lease.String()
		s.ObservePeer(p)
	}
	s.ObserveListed()
}

func TestTextFitsAPersonAndATerminal(t *testing.T) {
	for name, tt := range map[string]struct {
		fill func(*State)
		wait time.Duration
	}{
		"waiting for a network": {func(s *State) {
			s.SetProblem("waiting for a network config at etcd key /coreos.com/network/config: write it with overlayd config put FILE")
		}, time.Second},
		"start is retried": {func(s *State) {
			s.Configure("extension", 3)
			s.ObserveNode(hooks.NodeStatus{
				Phase: hooks.NodeStarting, NextTry: time.Now().Add(time.Minute),
				Node: hooks.Node{Interface: "eth0", Lease: lease.Lease{V4: path("", "192.0.2.7")}},
				Err:  errors.New("PreStartup: exit status 2: " + strings.Repeat("too long ", 20)),
			})
		}, 20 * time.Second},
		"up with peers": {daemonUp, 5 * time.Second},
		"both families": {func(s *State) {
			s.Configure("wireguard", 4)
			s.SetWireGuard("userspace")
			s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp, Node: hooks.Node{
				Networks:  []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16"), netip.MustParsePrefix("fd00:50::/48")},
				Lease:     lease.Lease{V4: path("10.50.7.0/24", "192.0.2.7"), V6: path("fd00:50:0:7::/64", "2001:db8::7")},
				Interface: "eth0",
			}})
			s.ObservePeer(hooks.PeerStatus{
				Lease: &lease.Lease{V4: path("10.50.8.0/24", "192.0.2.8"), V6: path("fd00:50:0:8::/64", "2001:db8::8")},
				State: hooks.PeerUp, Since: time.Now(),
			})
			s.ObservePeer(hooks.PeerStatus{
				Lease: &lease.Lease{V6: path("fd00:50:0:9::/64", "2001:db8::9")}, State: hooks.PeerPending, Since: time.Now(),
			})
		}, 72 * time.Hour},
		"trouble": {func(s *State) {
			daemonUp(s)
			s.SetProblem("the last good network config stays: etcd /coreos.com/network/config@18: Backend: SubnetAddCommand:1:14: reached EOF without closing quote \"")
			s.SetEtcd(errors.New("renew lease: context deadline exceeded"))
			s.SetUnreadable([]lease.Unreadable{
				{Key: "/coreos.com/network/subnets/\x1b[2J", Err: errors.New("read key: not a subnet")},
				{Key: "/coreos.com/network/subnets/10.50.9.0-24", Err: errors.New("invalid character 'x'")},
			})
		}, 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			synctest.Test(t, func(t *testing.T) {
				s := NewState(Facts{Version: "v0.1.0", NodeID: "node-7", Etcd: EtcdAccess{Endpoints: []string{"http://192.0.2.254:2379"}}})
				s.status.Daemon.PID = 4711
				tt.fill(s)
				time.Sleep(tt.wait)
				s.ObserveTurn()
				if err := s.Snapshot().Text(&text, time.Now(), false); err != nil {
					t.Fatal(err)
				}
			})
			for line := range strings.Lines(text.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screen.Columns {
					t.Errorf("a line has %d columns: %s", n, line)
				}
				if strings.ContainsRune(line, '\x1b') {
					t.Errorf("a line has an escape: %q", line)
				}
			}
			file := "testdata/" + strings.ReplaceAll(name, " ", "-") + ".txt"
			if *update {
				if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text.String()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpansAreInTheLargestUnitOfWhichThereAreTwo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0 s", 1400 * time.Millisecond: "1 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min",
		119 * time.Minute: "119 min", 47 * time.Hour: "47 h", 48 * time.Hour: "2 d",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestPrintableTextStaysAndOtherIsQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"plain, größer \"quoted\"": "plain, größer \"quoted\"",
		"a\nb":                     `"a\nb"`,
		"\x1b[2J":                  `"\x1b[2J"`,
		"\x9b2J":                   "\uFFFD2J",
		"\u009b2J":                 `"\u009b2J"`,
		"abc\u202etxt":             `"abc\u202etxt"`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is printed as %s, want %s", text, got, want)
		}
	}
}

func TestEventsAndHooksFitATerminal(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var b strings.Builder
	for _, e := range []Event{
		{Time: at, Kind: NodeEvent, Subject: "node", Text: "up"},
		{Time: at, Kind: EtcdEvent, Text: "does not answer", Error: "etcd is not reachable: http://192.0.2.254:2379: dial tcp 192.0.2.254:2379: connect: connection refused"},
	} {
		if err := e.WriteScreen(&b); err != nil {
			t.Fatal(err)
		}
	}
	run := HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.7.0/24,fd50:0:0:7::/64", Reason: hooks.Join, Started: at, Took: 0.5, Error: "exit status 3: oh dear"}
	entry := HookEntry{HookRun: run, Stdout: "a  table   kept\n" + strings.Repeat("word ", 20), Effects: []string{
		"ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0",
		"ip neighbour add 10.50.7.0 lladdr 36:42:d6:ee:30:ea dev flannel-vxlan nud permanent",
	}}
	if err := entry.WriteScreen(&b); err != nil {
		t.Fatal(err)
	}
	want := `2026-03-01T12:00:00.000Z  node    node                up
2026-03-01T12:00:00.000Z  etcd    -
    does not answer: etcd is not reachable: http://192.0.2.254:2379: dial tcp
    192.0.2.254:2379: connect: connection refused
2026-03-01T12:00:00.000Z SubnetAdd 10.50.7.0/24,fd50:0:0:7::/64, for reason
    join, in 500 ms: failed: exit status 3: oh dear
    undone  ip route add 10.50.7.0/24 via 192.0.2.7 dev eth0
    undone  ip neighbour add 10.50.7.0 lladdr 36:42:d6:ee:30:ea dev \
            flannel-vxlan nud permanent
    stdout  a  table   kept
    stdout  word word word word word word word word word word word word word
            word word word word word word word
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestColoursAreOfStatesAlone(t *testing.T) {
	t.Parallel()
	s, now := observed().Snapshot(), time.Now()
	var plain, coloured strings.Builder
	if err := errors.Join(s.Text(&plain, now, false), s.Text(&coloured, now, true)); err != nil {
		t.Fatal(err)
	}
	if got := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(coloured.String(), ""); got != plain.String() {
		t.Errorf("without its colours it is\n%s\nwant\n%s", got, &plain)
	}
	for _, want := range []string{"\x1b[33mdegraded\x1b[0m", "\x1b[32mup ", "\x1b[31mretrying", "\x1b[31mleft over", "\x1b[33mremoving"} {
		if !strings.Contains(coloured.String(), want) {
			t.Errorf("no %q in\n%q", want, &coloured)
		}
	}
}
