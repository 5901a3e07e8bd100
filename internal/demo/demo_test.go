package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/netns"
)

// These environment variables make the test program show the demo, and tell its processes from those of other tests.
const (
	showing = "DEMO_TEST_SHOWING" // one of the plays
	whose   = "DEMO_TEST_WHOSE"
)

// The test program is also the demo, and the daemon that the demo runs.
func TestMain(m *testing.M) {
	var err error
	switch mode := os.Getenv(showing); {
	case len(os.Args) > 1 && os.Args[1] == "run":
		err = standIn()
	case mode != "":
		err = Run(context.Background(), plays[mode])
	default:
		os.Exit(netns.MainInside(m))
	}
	if status, ok := errors.AsType[ExitStatus](err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

const (
	config = `{"Network": "10.50.0.0/16", "Backend": {"Type": "host-gw"}}`
	dual   = `{"Network": "10.50.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:50::/48"}`
)

// play are the options of a demo of stand-ins.
func play(config string, nodes int, keep bool) Options {
	return Options{Config: []byte(config), Nodes: nodes, Keep: keep, Out: os.Stdout, Binary: "/proc/self/exe", Logger: quiet()}
}

var plays = map[string]Options{"once": play(config, 3, false), "keep": play(config, 3, true), "dual": play(dual, 2, false)}

// A theater is a process that shows the demo.
type theater struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// newTheater prepares a process that shows the demo of three stand-ins. At the test's end nothing of it may be left.
func newTheater(t *testing.T, mode, does string) *theater {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command here, which the stand-in for the daemon needs")
	}
	show := &theater{Cmd: exec.Command("/proc/self/exe")}
	show.Env = append(os.Environ(), showing+"="+mode, fault+"="+does, whose+"="+t.Name())
	show.Stdout, show.Stderr = &show.stdout, &show.stderr
	t.Cleanup(func() {
		if show.Process != nil && show.ProcessState == nil {
			show.Process.Kill()
			show.Wait()
		}
		await(t, "all processes to end", func() bool { return processes(t) == 0 })
	})
	return show
}

// processes counts those that run for this test.
func processes(t *testing.T) (count int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err == nil && slices.Contains(strings.Split(string(environ), "\x00"), whose+"="+t.Name()) {
			count++
		}
	}
	return count
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

const story = `overlayd demo: an overlay network of 3 nodes on this machine
network 10.50.0.0/16, backend host-gw
each node is a network namespace with a daemon in it:
  overlayd run --etcd-endpoints http://192.0.2.254:2379 --state-dir /run/state

 T s  underlay 192.0.2.0/24 is up, etcd answers at 192.0.2.254
 T s  3 daemons started
 T s  node 1, at 192.0.2.1, has 10.50.1.0/24
 T s  node 2, at 192.0.2.2, has 10.50.2.0/24
 T s  node 3, at 192.0.2.3, has 10.50.3.0/24
 T s  node 1 reaches all others
 T s  node 2 reaches all others
 T s  node 3 reaches all others
 T s  full reach: 6 of 6 pings answered, T s after the start

hooks run, and their times
  node 1  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)
  node 2  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)
  node 3  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)

ping over IPv4, round-trip time in ms
            to 1   to 2   to 3
  node 1       - T T
  node 2 T      - T
  node 3 T T      -

path MTU over IPv4, node 1 to node 2: 1500 bytes; FLANNEL_MTU says 1500

one more node joins
 T s  1 daemon started
 T s  node 4, at 192.0.2.4, has 10.50.4.0/24
 T s  node 1 reaches node 4
 T s  node 2 reaches node 4
 T s  node 3 reaches node 4
 T s  node 4 reaches all others
 T s  full reach: 6 of 6 pings answered, T s after the start

hooks run, and their times
  node 4  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)

one node leaves
 T s  node 1 stopped, and its lease is deleted
 T s  3 routes to it gone, T s later
 T s  the others still reach each other: 6 of 6 pings answered
 T s  all nodes stopped, nothing remains
`

// timeless puts T for times, and what nodes do at the same time in the order of their numbers.
func timeless(output string) string {
	output = regexp.MustCompile(` *\b\d+\.\d\d([ \n])`).ReplaceAllString(output, " T$1")
	output = regexp.MustCompile(` +T`).ReplaceAllString(output, " T")
	lines := strings.SplitAfter(output, "\n")
	simultaneous := regexp.MustCompile(`node \d(, at| reaches)`)
	for i := 0; i < len(lines); {
		j := i
		kind := ""
		for j < len(lines) {
			found := simultaneous.FindStringSubmatch(lines[j])
			if found == nil || kind != "" && found[1] != kind {
				break
			}
			kind, j = found[1], j+1
		}
		slices.Sort(lines[i:j])
		i = max(j, i+1)
	}
	return strings.Join(lines, "")
}

const dualStory = `overlayd demo: an overlay network of 2 nodes on this machine
network 10.50.0.0/16 and fd00:50::/48, backend vxlan
each node is a network namespace with a daemon in it:
  overlayd run --etcd-endpoints http://192.0.2.254:2379 --state-dir /run/state

 T s  underlay 192.0.2.0/24 is up, etcd answers at 192.0.2.254
 T s  2 daemons started
 T s  node 1, at 192.0.2.1, has 10.50.1.0/24, fd00:50:0:1::/64
 T s  node 2, at 192.0.2.2, has 10.50.2.0/24, fd00:50:0:2::/64
 T s  node 1 reaches all others
 T s  node 2 reaches all others
 T s  full reach: 4 of 4 pings answered, T s after the start

hooks run, and their times
  node 1  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)
  node 2  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)

ping over IPv4, round-trip time in ms
            to 1   to 2
  node 1       - T
  node 2 T      -

ping over IPv6, round-trip time in ms
            to 1   to 2
  node 1       - T
  node 2 T      -

path MTU over IPv4, node 1 to node 2: 1500 bytes; FLANNEL_MTU says 1500
path MTU over IPv6, node 1 to node 2: 1500 bytes; FLANNEL_MTU says 1500

one more node joins
 T s  1 daemon started
 T s  node 3, at 192.0.2.3, has 10.50.3.0/24, fd00:50:0:3::/64
 T s  node 1 reaches node 3
 T s  node 2 reaches node 3
 T s  node 3 reaches all others
 T s  full reach: 8 of 8 pings answered, T s after the start

hooks run, and their times
  node 3  PostStartup 1.0 ms, SubnetAdd 2.0 ms (last of 2)

one node leaves
 T s  node 1 stopped, and its lease is deleted
 T s  4 routes to it gone, T s later
 T s  the others still reach each other: 4 of 4 pings answered
 T s  all nodes stopped, nothing remains
`

func TestTheDemoTellsItsStory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mode, want string }{
		{"of an IPv4 network", "once", story},
		{"of a network of both families", "dual", dualStory},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			show := newTheater(t, tt.mode, "")
			if err := show.Run(); err != nil {
				t.Fatalf("%v\n%s%s", err, &show.stdout, &show.stderr)
			}
			for line := range strings.Lines(show.stdout.String()) {
				if len(line) > 80+len("\n") {
					t.Errorf("wider than 80 columns: %s", line)
				}
			}
			if diff := cmp.Diff(tt.want, timeless(show.stdout.String())); diff != "" {
				t.Errorf("story (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDemoFailsWhenANode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, want string }{
		{"ends by itself", "node 2 ended by itself: exit status 1\n  its log ends:\n    no reason at all\n"},
		{"keeps routes", "3 routes to node 1, which left, still there after 10s\n"},
		{"promises too large an MTU", "path MTU is 1500, less than the FLANNEL_MTU=1501 that subnet.env promises\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			show := newTheater(t, "once", tt.name)
			show.Run()
			if got := show.ProcessState.ExitCode(); got != 1 || !strings.HasPrefix(show.stderr.String(), tt.want) {
				t.Errorf("status %d, error\n%s\nwant 1 and\n%s\noutput:\n%s", got, &show.stderr, tt.want, &show.stdout)
			}
		})
	}
}

func TestTheDemoEndsInOrderWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, mode, fault string
		line              string // after which the interrupt comes
		status            int
		stderr            string
	}{
		{"while it stays", "keep", "", "What the last daemon", 0, ""},
		{"while a node waits", "once", "never gets a subnet", "3 daemons started", 1, "stopped before the end: interrupt signal received\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			show := newTheater(t, tt.mode, tt.fault)
			show.Stdout = nil
			out, err := show.StdoutPipe()
			must(t, err)
			must(t, show.Start())
			if !readUntil(t, out, tt.line) {
				t.Fatalf("ended too early: %v, %s", show.Wait(), &show.stderr)
			}
			must(t, show.Process.Signal(unix.SIGINT))
			rest, err := io.ReadAll(out)
			must(t, err)
			show.Wait()
			if got := show.ProcessState.ExitCode(); got != tt.status || show.stderr.String() != tt.stderr {
				t.Errorf("status %d, error %q; want %d, %q", got, &show.stderr, tt.status, tt.stderr)
			}
			if !strings.HasSuffix(string(rest), "all nodes stopped, nothing remains\n") {
				t.Errorf("output ends\n%s", rest)
			}
		})
	}
}

func TestNothingOutlivesADemoThatIsKilled(t *testing.T) {
	t.Parallel()
	show := newTheater(t, "keep", "")
	show.Stdout = nil
	out, err := show.StdoutPipe()
	must(t, err)
	must(t, show.Start())
	if !readUntil(t, out, "What the last daemon") {
		t.Fatalf("ended too early: %v, %s", show.Wait(), &show.stderr)
	}
	if got := processes(t); got != 2+3 {
		t.Errorf("%d processes, want the demo twice and three nodes", got)
	}
	must(t, show.Process.Kill())
}

// readUntil reads, one byte at a time, until the text has come; it answers false at the end.
func readUntil(t *testing.T, r io.Reader, text string) bool {
	t.Helper()
	var seen []byte
	for b := make([]byte, 1); !bytes.HasSuffix(seen, []byte(text)); seen = append(seen, b...) {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Logf("output:\n%s", seen)
			return false
		}
	}
	return true
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config string
		nodes        int
		want         string
	}{
		{"a config that is none", `{"Network": "10.50.0.0"}`, 3, "parse network config"},
		{"one node", config, 1, "nodes 1: not within 2 and 200"},
		{"too many nodes", config, 201, "nodes 201: not within 2 and 200"},
		{"a network that is the underlay's", `{"Network": "192.0.0.0/16"}`, 3,
			"Network 192.0.0.0/16 overlaps 192.0.2.0/24, where the demo's nodes are: try another network"},
		{"an IPv6 network that is the underlay's", `{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "2001:db8::/56"}`, 3,
			"IPv6Network 2001:db8::/56 overlaps 2001:db8::/64, where the demo's nodes are: try another network"},
		{"a network without a subnet for the node that joins", `{"Network": "10.50.0.0/24", "SubnetLen": 26}`, 3,
			"Network 10.50.0.0/24 has 3 subnets, the demo needs 4: try fewer nodes or a larger network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := Run(t.Context(), Options{Config: []byte(tt.config), Nodes: tt.nodes})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
		})
	}
}
