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
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// TestMain sets the umask that the package asks for.
func TestMain(m *testing.M) {
	syscall.Umask(0o077)
	goleak.VerifyTestMain(m)
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
	o.Dir = t.TempDir()
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
	return r.execute(ctx, t, c.commands[hooks.SubnetAdd], r.options.Commands.Begin(t.scope))
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

// recorder is Commands that keep what they were asked to do, and answer what the examples need of the real tools.
type recorder struct {
	mu   sync.Mutex
	log  []string
	mtu  int
	fail error // of End
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Begin(scope string) Run {
	r.note("begin %s", scope)
	return recordedRun{r, scope}
}

type recordedRun struct {
	*recorder
	scope string
}

func (r recordedRun) LinkMTU() int { return r.mtu }

func (r recordedRun) End(_ context.Context, v Verdict) error {
	r.note("end %s: %s", r.scope, [...]string{"undo", "keep", "sweep", "clear"}[v])
	return r.fail
}

func (r recordedRun) Exec(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		hc := interp.HandlerCtx(ctx)
		switch strings.Join(argv[:min(2, len(argv))], " ") {
		case "cut -d/":
			text, err := io.ReadAll(hc.Stdin)
			address, _, _ := strings.Cut(string(text), "/")
			fmt.Fprintln(hc.Stdout, address)
			return err
		case "tee privatekey":
			text, err := io.ReadAll(hc.Stdin)
			hc.Stdout.Write(text)
			if err == nil {
				err = os.WriteFile(filepath.Join(hc.Dir, argv[1]), text, 0o666)
			}
			return err
		case "wg genkey", "wg pubkey":
			fmt.Fprintln(hc.Stdout, argv[1])
			return nil
		case "cat /sys/class/net/flannel-vxlan/address":
			fmt.Fprintln(hc.Stdout, "52:54:00:00:00:03")
			return nil
		}
		switch argv[0] {
		case "ip", "wg", "arp", "bridge":
			r.note("%q", argv)
			return nil
		}
		return next(ctx, argv)
	}
}
