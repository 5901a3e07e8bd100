package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/internal/netns"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(memberVariable); dir != "" {
		if err := beMember(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(netns.MainInside(m))
}

// An example is a network config with the five hooks of its extension backend.
type example struct {
	Network string
	Backend struct{ PreStartupCommand, PostStartupCommand, SubnetAddCommand, SubnetRemoveCommand, ShutdownCommand string }
}

func readExample(t *testing.T, name string) (e example) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", name+".json"))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A side runs hooks one way in one namespace.
type side struct {
	inside *netns.Namespace
	set    *Set // nil for the real tools
	run    func(t *testing.T, hook, stdin string, env []string) (stdout string)
}

// underlay gives a namespace the host's own network: a cable to a host that knows nothing of us.
func underlay(t *testing.T, n *netns.Namespace) {
	t.Helper()
	other, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		output(t, n, "ip link del eth0") // closing the other end removes it too, but later
		other.Close()
	})
	err = errors.Join(netns.Connect(n, "eth0", other, "eth0", 1500), n.Addr("eth0", netip.MustParsePrefix("192.0.2.1/24")))
	if err != nil {
		t.Fatal(err)
	}
	// The kernel notices the carrier a moment later.
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(output(t, n, "ip link show eth0"), "state UP"); {
		if time.Now().After(deadline) {
			t.Fatal("waited 10 s for the cable")
		}
	}
}

// output is what a command line prints inside a namespace.
func output(t *testing.T, n *netns.Namespace, line string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Run(cmd); err != nil {
		t.Fatalf("%s: %v: %s", line, err, &out)
	}
	return out.String()
}

// inProcess is the side that interprets the hooks here, in this process's own namespace, where userspace WireGuard works.
func inProcess(t *testing.T) side {
	t.Helper()
	here, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	set, err := Open(Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(set.Close(), here.Close()); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	return side{here, set, func(t *testing.T, hook, stdin string, env []string) string {
		file, err := syntax.NewParser().Parse(strings.NewReader(hook), "")
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		none := func(_ context.Context, argv []string) error { return fmt.Errorf("%q was handed on", argv) }
		run := set.Begin("node")
		runner, err := interp.New(
			interp.StdIO(strings.NewReader(stdin), &stdout, &stderr), interp.Dir(dir), interp.Env(expand.ListEnviron(env...)),
			interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return inRun(run, none) }),
		)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a hook that hangs fails its own test only
		defer cancel()
		if err := runner.Run(ctx, file); err != nil {
			t.Fatalf("%s: %v: %s", hook, err, stderr.String())
		}
		run.Keep()
		return stdout.String()
	}}
}

// wireguardIP is an ip that makes WireGuard links with wireguard-go where the kernel makes none.
const wireguardIP = `#!/bin/sh
case "$*" in
"link add "*" type wireguard") %[1]s "$@" 2>/dev/null || exec wireguard-go "$3" >/dev/null 2>&1 ;;
*) exec %[1]s "$@" ;;
esac
`

// needs skips a test that looks with programs that the machine lacks.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// realTools is the side that runs the hooks with sh and the programs of this machine.
func realTools(t *testing.T) side {
	t.Helper()
	needs(t, "ip", "bridge", "arp", "wg", "wireguard-go")
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Fatal(err)
	}
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	programs, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "ip"), fmt.Appendf(nil, wireguardIP, ip), 0o755); err != nil {
		t.Fatal(err)
	}
	return side{n, nil, func(t *testing.T, hook, stdin string, env []string) string {
		cmd := exec.Command("sh", "-c", "umask 077; "+hook)
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = strings.NewReader(stdin), &stdout, &stderr, dir
		cmd.Env = append(env, "PATH="+programs+":"+os.Getenv("PATH"))
		if err := n.Run(cmd); err != nil {
			t.Fatalf("%s: %v: %s", hook, err, stderr.String())
		}
		return stdout.String()
	}}
}

// state is all that the hooks may have changed, as the real tools tell it.
func (s side) state(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, line := range []string{"ip -d link", "ip addr", "ip route show table all"} {
		fmt.Fprintf(&text, "# %s\n%s", line, normal(output(t, s.inside, line)))
	}
	for _, line := range []string{"ip neigh show nud all", "bridge fdb", "wg show all"} { // in an order that means nothing
		lines := strings.SplitAfter(normal(output(t, s.inside, line)), "\n")
		slices.Sort(lines)
		fmt.Fprintf(&text, "# %s\n%s", line, strings.Join(lines, ""))
	}
	return text.String()
}

// What the kernel chose, and what it does for IPv6 by itself in its own time, differs from run to run. A station's address may have
// 33:33: in its midst. Different versions of WireGuard in userspace open their links with different options.
var (
	chosen  = regexp.MustCompile(`\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b|@if\d+|link-netnsid \d+| key: \S+|(?m)^\d+: |pi \w+ vnet_hdr \w+`)
	own     = regexp.MustCompile(`(?m)^(.*(fe80::|ff00::|ff02::|transfer:)|33:33:).*\n(       valid_lft.*\n)?`)
	peerMAC = regexp.MustCompile(`02:00:00:00:00:\d\d`)
)

func normal(text string) string {
	text = own.ReplaceAllString(text, "")
	return chosen.ReplaceAllStringFunc(text, func(s string) string {
		if peerMAC.MatchString(s) {
			return s
		}
		return "~"
	})
}

// Two peers, with what their PreStartup said in each example.
var peers = []struct{ subnet, publicIP, mac, key string }{
	{"10.50.7.0/24", "192.0.2.7", "02:00:00:00:00:07", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="},
	{"10.50.8.0/24", "192.0.2.8", "02:00:00:00:00:08", "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="},
}

// Not parallel, and neither are its parts: one side of each is this process's namespace.
func TestEachExampleLeavesWhatTheRealToolsLeave(t *testing.T) {
	for _, name := range []string{"host-gw", "vxlan", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			e := readExample(t, name)
			sides := []side{realTools(t), inProcess(t)}
			var steps [2][]string
			for i, s := range sides {
				underlay(t, s.inside)
				steps[i] = life(t, e, s, name)
			}
			for i, want := range steps[0] {
				if diff := cmp.Diff(want, steps[1][i]); diff != "" {
					t.Errorf("step %d (-real tools +in process):\n%s", i, diff)
				}
			}
		})
	}
}

// life runs the hooks of a node's life and returns what they said and left at each step.
func life(t *testing.T, e example, s side, name string) (steps []string) {
	t.Helper()
	env := []string{"NETWORK=" + e.Network, "SUBNET=10.50.1.0/24", "PUBLIC_IP=192.0.2.1", "LANG=C"}
	step := func(hook, stdin string, env []string) {
		said := s.run(t, hook, stdin+"\n", env)
		if len(said) == 45 { // a key
			said = "(key)\n"
		}
		steps = append(steps, normal(said)+s.state(t))
	}
	step(e.Backend.PreStartupCommand, "", env)
	step(e.Backend.PostStartupCommand, "", env)
	of := func(i int) (data string, env []string) {
		p := peers[i]
		data = map[string]string{"vxlan": p.mac, "wireguard": p.key}[name]
		return data, []string{"NETWORK=" + e.Network, "SUBNET=" + p.subnet, "PUBLIC_IP=" + p.publicIP, "LANG=C"}
	}
	for i := range peers {
		data, env := of(i)
		step(e.Backend.SubnetAddCommand, data, env)
	}
	data, peerEnv := of(0)
	step(e.Backend.SubnetRemoveCommand, data, peerEnv)
	step(e.Backend.ShutdownCommand, "", env)
	return steps
}

// inRun answers the commands of a run in this process.
func inRun(r *Run, next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	open := func(name string) (io.ReadCloser, error) { return os.Open(name) }
	return TextTools(func(ctx context.Context, argv []string) error {
		return r.Command(ctx, interp.HandlerCtx(ctx), argv, next, open)
	})
}

func TestARunThatIsUndoneLeavesNothing(t *testing.T) {
	needs(t, "ip", "bridge")
	s := inProcess(t)
	underlay(t, s.inside)
	before := s.state(t)
	run := s.set.Begin("10.50.7.0/24")
	handler := inRun(run, func(context.Context, []string) error { return errors.New("handed on") })
	runner, err := interp.New(interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return handler }))
	if err != nil {
		t.Fatal(err)
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(`ip link add vx0 mtu 1400 type vxlan id 1 dstport 8472 && ip link set vx0 up
		ip route add 10.50.7.0/24 via 10.50.7.0 dev vx0 onlink; ip route add 10.50.8.0/24 via 192.0.2.8`), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Run(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if mtu := run.LinkMTU(); mtu != 1400 {
		t.Errorf("the MTU is %d", mtu)
	}
	if err := run.Undo(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, s.state(t)); diff != "" {
		t.Errorf("what is left (-before +after):\n%s", diff)
	}
}
