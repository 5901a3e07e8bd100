package hookrunner

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// helpers are the processes that the tests' hooks run in: this program, started by this name.
var helpers = helper.NewPool("/proc/self/exe", "hook-helper")

func TestMain(m *testing.M) {
	if os.Args[0] != "hook-helper" {
		goleak.VerifyTestMain(closing{m})
	}
	if err := helper.Main(textTools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// closing are tests that close the helpers at their end.
type closing struct{ *testing.M }

func (c closing) Run() int {
	status := c.M.Run()
	if err := helpers.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// textTools are those of the real helper, with keys that are no secret.
func textTools(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	real := builtin.TextTools(next)
	return func(ctx context.Context, argv []string) error {
		if len(argv) == 2 && argv[0] == "wg" {
			hc := interp.HandlerCtx(ctx)
			if argv[1] == "pubkey" {
				io.Copy(io.Discard, hc.Stdin)
			}
			_, err := fmt.Fprintln(hc.Stdout, argv[1])
			return err
		}
		return real(ctx, argv)
	}
}

// backend is a Backend object of pairs of keys and values.
func backend(pairs ...any) json.RawMessage {
	object := map[string]any{"Type": "extension"}
	for i := 0; i < len(pairs); i += 2 {
		object[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return text
}

// newRunner returns a Runner in a directory of its own. When the test ends, no process of its hooks may be left.
func newRunner(t testing.TB, raw json.RawMessage, o Options) *Runner {
	t.Helper()
	c, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Helpers = t.TempDir(), helpers
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t.Cleanup(func() {
		for _, process := range processesOf(o.Dir) {
			t.Errorf("still running: %s", process)
		}
	})
	return New(c, o)
}

// processesOf lists the processes whose HOME is dir, which only hooks have.
func processesOf(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		env, _ := os.ReadFile(process + "/environ")
		if strings.Contains("\x00"+string(env), "\x00HOME="+dir+"\x00") {
			name, _ := os.ReadFile(process + "/cmdline")
			found = append(found, strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

// output runs a command as SubnetAdd and returns its stdout.
func (r *Runner) output(ctx context.Context, command string, stdin string) (string, error) {
	raw := backend("SubnetAddCommand", command)
	if r.config.Shell != "" {
		raw = backend("SubnetAddCommand", command, "Shell", r.config.Shell)
	}
	c, err := Parse(raw)
	if err != nil {
		return "", err
	}
	t := task{hook: hooks.SubnetAdd, call: call(hooks.Join), scope: peer.String(), subject: peer, stdin: stdin}
	result, err := r.execute(ctx, t, c.commands[hooks.SubnetAdd], r.options.Begin(t.scope))
	return result.Stdout.Text, err
}

var (
	own = lease.Lease{
		V4: lease.Path{Subnet: netip.MustParsePrefix("10.50.3.0/24"), PublicIP: netip.MustParseAddr("192.0.2.3")},
	}
	peer = lease.Lease{
		V4: lease.Path{
			Subnet: netip.MustParsePrefix("10.50.7.0/24"), PublicIP: netip.MustParseAddr("192.0.2.7"),
			Data: json.RawMessage(`"52:54:00:12:34:56"`),
		},
	}
)

func call(reason hooks.Reason) hooks.Call {
	return hooks.Call{Reason: reason, Node: hooks.Node{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16")}, Lease: own, Interface: "eth0", MTU: 1500,
	}}
}

// recorder begins runs that keep what they were asked to do.
type recorder struct {
	mu   sync.Mutex
	log  []string
	mtu  int
	fail error // of the end of a run
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) begin(scope string) Run {
	r.note("begin %s", scope)
	return recordedRun{r, scope}
}

type recordedRun struct {
	*recorder
	scope string
}

func (r recordedRun) LinkMTU() int   { return r.mtu }
func (r recordedRun) Done() []string { return []string{"done in " + r.scope} }

func (r recordedRun) Change(argv []string) (func(context.Context, interp.HandlerContext) error, bool) {
	return changeOf(r, argv), argv[0] != "cat"
}

// changeOf is a command line that needs nothing but commands.
func changeOf(commands helper.Commands, argv []string) func(context.Context, interp.HandlerContext) error {
	return func(ctx context.Context, hc interp.HandlerContext) error {
		return commands.Command(ctx, hc, argv, nil, nil)
	}
}

func (r recordedRun) end(verdict string) error {
	r.note("end %s: %s", r.scope, verdict)
	return r.fail
}

func (r recordedRun) Undo(context.Context) error  { return r.end("undo") }
func (r recordedRun) Keep()                       { r.end("keep") }
func (r recordedRun) Sweep(context.Context) error { return r.end("sweep") }
func (r recordedRun) Clear(context.Context) error { return r.end("clear") }

func (r recordedRun) Command(ctx context.Context, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, open helper.OpenFunc) error {
	switch argv[0] {
	case "cat":
		if argv[1] == "/sys/class/net/flannel-vxlan/address" {
			_, err := fmt.Fprintln(hc.Stdout, "52:54:00:00:00:03")
			return err
		}
	case "ip", "wg", "arp", "bridge":
		r.note("%q", argv)
		return nil
	}
	return next(ctx, argv)
}
