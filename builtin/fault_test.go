package builtin

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

// A faulty kernel refuses one operation, after so many others.
type faulty struct {
	kernel.Kernel
	left int
}

// never is how many operations no hook carries out.
const never = 1 << 30

func (f *faulty) Do(ctx context.Context, ops ...kernel.Op) error {
	for _, op := range ops {
		f.left--
		if f.left == -1 {
			return &kernel.OpError{Op: op, Errno: syscall.ENOBUFS}
		}
		if err := f.Kernel.Do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// refused reports whether the kernel has refused its operation.
func (f *faulty) refused() bool { return f.left < 0 }

// A step is one hook of a life.
type step struct {
	name, hook, scope, stdin string
	env                      []string
	end                      func(*Run, context.Context) error
}

// stepsOf is a life with two peers, and then the start of the next while everything of the one before is there.
func stepsOf(e example, name string) (steps []step) {
	keep := func(r *Run, _ context.Context) error { r.Keep(); return nil }
	env := []string{"NETWORK=" + e.Network, "SUBNET=10.50.1.0/24", "PUBLIC_IP=192.0.2.1"}
	start := []step{
		{"PreStartup", e.Backend.PreStartupCommand, "node", "", env, keep},
		{"PostStartup", e.Backend.PostStartupCommand, "node", "", env, keep},
	}
	var add, remove []step
	for _, p := range peers {
		data := map[string]string{"vxlan": p.mac, "wireguard": p.key}[name]
		env := []string{"NETWORK=" + e.Network, "SUBNET=" + p.subnet, "PUBLIC_IP=" + p.publicIP}
		add = append(add, step{"SubnetAdd", e.Backend.SubnetAddCommand, p.subnet, data, env, (*Run).Sweep})
		remove = append(remove, step{"SubnetRemove", e.Backend.SubnetRemoveCommand, p.subnet, data, env, (*Run).Clear})
	}
	steps = append(append(append(steps, start...), add...), start...)
	steps = append(append(steps, add...), remove[0])
	return append(steps, step{"Shutdown", e.Backend.ShutdownCommand, "node", "", env, (*Run).Clear})
}

// Each operation of each hook fails once. Not parallel: userspace WireGuard is in this process's own namespace.
func TestAHookWhoseAnyOperationFailsLeavesTheStateOfBeforeAndItsRetrySucceeds(t *testing.T) {
	needs(t, "ip", "bridge", "wg")
	for _, name := range []string{"host-gw", "vxlan", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			here, err := netns.Current()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { here.Close() })
			underlay(t, here)
			log := slog.New(slog.DiscardHandler)
			k, err := kernel.Open(log)
			if err != nil {
				t.Fatal(err)
			}
			f := &faulty{k, never}
			scopes, err := kernel.NewScopes(f, "", log)
			if err != nil {
				t.Fatal(err)
			}
			set := &Set{kernel: f, scopes: scopes, log: log}
			t.Cleanup(func() { set.Close() })
			h := hookSide{side{inside: here, set: set}, t.TempDir()}
			for _, s := range stepsOf(readExample(t, name), name) {
				faults := h.faults(t, f, s)
				t.Logf("%s: %d faults", s.name, faults)
			}
		})
	}
}

// A hookSide runs hooks as the daemon does: a scope is as before when its hook fails.
type hookSide struct {
	side
	dir string
}

// faults has each operation of the hook fail once, and returns how many those were. In the end the hook has run.
func (h hookSide) faults(t *testing.T, f *faulty, s step) int {
	t.Helper()
	before := h.state(t)
	for n := 0; ; n++ {
		f.left = n
		run, err := h.hook(t, s)
		if !f.refused() {
			f.left = never
			if err != nil {
				t.Fatalf("%s without a fault: %v", s.name, err)
			}
			if err := s.end(run, t.Context()); err != nil {
				t.Fatalf("%s: end: %v", s.name, err)
			}
			return n
		}
		f.left = never
		if err := run.Undo(t.Context()); err != nil {
			t.Errorf("%s, operation %d refused: undo: %v", s.name, n, err)
		}
		if diff := cmp.Diff(before, h.state(t)); diff != "" {
			t.Fatalf("%s, operation %d refused, after which the hook ended with %v (-before +after):\n%s", s.name, n, err, diff)
		}
	}
}

// hook runs the step's hook in its scope.
func (h hookSide) hook(t *testing.T, s step) (*Run, error) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(s.hook), "")
	if err != nil {
		t.Fatal(err)
	}
	run := h.set.Begin(s.scope)
	none := func(_ context.Context, argv []string) error { return fmt.Errorf("%q was handed on", argv) }
	var stdout, stderr strings.Builder
	runner, err := interp.New(
		interp.StdIO(strings.NewReader(s.stdin+"\n"), &stdout, &stderr), interp.Dir(h.dir), interp.Env(expand.ListEnviron(s.env...)),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return inRun(run, none) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := runner.Run(ctx, file); err != nil {
		return run, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return run, nil
}
