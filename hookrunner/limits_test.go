package hookrunner

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/hooks"
)

// late is how much later than it should a busy machine may end a hook.
const (
	late = 1500 * time.Millisecond
	// killDelay is how long programs have after SIGTERM.
	killDelay = 2 * time.Second
)

func TestHooksEndInTime(t *testing.T) {
	const timeout = 300 * time.Millisecond
	tests := []struct {
		name, command string
		within        time.Duration // 0 for the timeout
		onlyIn        string        // one of shells; both without it
	}{
		{name: "a program", command: "sleep 60"},
		{name: "a program behind a shell", command: "sh -c 'sleep 60; true'"},
		{name: "a program in a substitution", command: "X=$(sleep 60)"},
		{name: "programs in a pipe", command: "sleep 60 | cat | sleep 60"},
		{name: "a job in the background that is waited for", command: "sleep 60 & wait"},
		{name: "a loop of the shell", command: "while :; do :; done"},
		{name: "a loop of programs", command: "while :; do sleep 0.01; done"},
		{name: "a loop that writes and nobody reads", command: "while :; do echo y; done | sleep 60"},
		{name: "a program that ignores SIGTERM", command: `sh -c 'trap "" TERM; while :; do sleep 0.1; done'`},
		{name: "a program that ignores SIGTERM in a substitution", command: `X=$(sh -c 'trap "" TERM; while :; do sleep 0.1; done')`},
		{name: "a program that has something to do at SIGTERM, and does not end", command: `sh -c 'trap "sleep 60" TERM; while :; do sleep 0.1; done'`,
			within: timeout + killDelay},
		{name: "a program that left the group and holds the streams", command: "setsid -f sleep 3; sleep 60"},
		{name: "a program that left the group and holds a pipe", command: "while :; do echo y; done | setsid -f sleep 5", onlyIn: "builtin",
			within: timeout + killDelay},
		{name: "a program that left the group and holds a substitution", command: "X=$(setsid -f sleep 5)", onlyIn: "builtin",
			within: timeout + killDelay},
		{name: "reading a named pipe that nobody writes", command: "mkfifo f; read X < f"},
		{name: "writing a named pipe that nobody reads", command: "mkfifo f; echo x > f"},
		{name: "a utility on a named pipe", command: "mkfifo f; cat f"},
		{name: "a process substitution", command: "cat <(sleep 60)", onlyIn: "builtin"},
		{name: "a process substitution that nobody opens", command: ": <(echo x); wait", onlyIn: "builtin"},
	}
	for _, tt := range tests {
		for name, shell := range shells {
			if tt.onlyIn != "" && tt.onlyIn != name {
				continue
			}
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRunner(t, backend("Shell", shell, "Timeout", timeout.String()), Options{})
				if strings.Contains(tt.command, "setsid") {
					needs(t, "setsid")
				}
				began := time.Now()
				_, err := r.output(t.Context(), tt.command, "")
				took := time.Since(began)
				if err == nil || !strings.HasPrefix(err.Error(), "still running after 300ms, its Timeout") {
					t.Errorf("error: got %v", err)
				}
				if longest := max(tt.within, timeout) + late; took > longest {
					t.Errorf("took %s, more than %s", took, longest)
				}
			})
		}
	}
}

func TestAProgramHasTimeForWhatItDoesAtSIGTERM(t *testing.T) {
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t, backend("Shell", shell, "Timeout", "3s"), Options{}) // a busy machine takes a while to set the trap
			out, err := r.output(t.Context(), `exec sh -c 'trap "sleep 0.3; echo bye; exit" TERM; while :; do sleep 0.1; done'`, "")
			if out != "bye\n" || err == nil {
				t.Errorf("printed %q, %v", out, err)
			}
		})
	}
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

func TestAHookIsOverWhenItsCommandIs(t *testing.T) {
	commands := map[string]string{
		"a program in the background":                         "sleep 60 &",
		"a program in the background of a program":            "sh -c 'sleep 60 & echo x'",
		"one that ignores SIGTERM":                            `sh -c 'trap "" TERM; sleep 60 & echo x'`,
		"a process substitution of a program that is missing": "nosuchprogram <(echo x) <(echo y); true",
	}
	for what, command := range commands {
		for name, shell := range shells {
			if strings.Contains(command, "<(") && name == "sh" {
				continue
			}
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRunner(t, backend("Shell", shell), Options{})
				began := time.Now()
				if _, err := r.output(t.Context(), command, ""); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > late {
					t.Errorf("took %s", took)
				}
			})
		}
	}
}

func TestInterruptedHooksFailWithTheCause(t *testing.T) {
	r := newRunner(t, backend(), Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(hooks.ErrConfigChanged) })
	if _, err := r.output(ctx, "sleep 60", ""); !errors.Is(err, hooks.ErrConfigChanged) {
		t.Errorf("got %v", err)
	}
}

func TestAFloodOfOutputIsReadAndDropped(t *testing.T) {
	commands := map[string]string{
		"of a program":         "yes | head -c 50000000",
		"of a program, stderr": "yes | head -c 50000000 >&2; yes | head -c 100000",
		"of the shell":         "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
		"of two programs":      "{ yes | head -c 5000000 & yes | head -c 5000000; wait; }",
	}
	for what, command := range commands {
		for name, shell := range shells {
			t.Run(what+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRunner(t, backend("Shell", shell), Options{})
				out, err := r.output(t.Context(), command, "")
				if err != nil {
					t.Error(err)
				}
				if len(out) != helper.Kept {
					t.Errorf("%d bytes were kept, want %d", len(out), helper.Kept)
				}
			})
		}
	}
}

func TestEndlessRecursionFailsTheHookAlone(t *testing.T) {
	for _, command := range []string{"f() { f; }; f", "f() { X=$(f); }; f", "X='eval \"$X\"'; eval \"$X\""} {
		t.Run(command, func(t *testing.T) {
			if race && strings.Contains(command, "eval") {
				t.Skip("the race detector takes more memory than a hook may")
			}
			r := newRunner(t, backend("Timeout", "20s"), Options{})
			_, err := r.output(t.Context(), command, "")
			if err == nil || !strings.HasPrefix(err.Error(), "functions call each other too deep") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a thousand calls in each other are allowed", func(t *testing.T) {
		r := newRunner(t, backend(), Options{})
		out, err := r.output(t.Context(), "f() { if [ $1 -gt 0 ]; then f $(($1-1)); else echo deep; fi; }; f 1000", "")
		if err != nil || out != "deep\n" {
			t.Errorf("got %q, %v", out, err)
		}
	})
}

func TestABrokenShellFailsTheHookAlone(t *testing.T) {
	r := newRunner(t, backend(), Options{})
	if err := os.WriteFile(filepath.Join(r.options.Dir, "nul"), []byte("a\x00b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := r.output(t.Context(), "read X < nul; set -x; echo $X", "")
	if err == nil || !strings.HasPrefix(err.Error(), "the in-process shell broke down") {
		t.Errorf("got %v", err)
	}
}

func TestStreamFilesAreNeverThisProcess(t *testing.T) {
	tests := []struct{ command, want string }{
		{"echo x > /dev/fd/3 || echo refused", "refused\n"},
		{"echo x > /dev/stdin || echo refused", "refused\n"},
		{"read X < /dev/stdout || echo refused", "refused\n"},
		{"echo a | { read X < /dev/fd/0; echo $X; }", "a\n"},
		{"echo a > /proc/self/fd/1", "a\n"},
		{"echo a >&2 2>/dev/null; X=$(echo a > /dev/stdout); echo $X", "a\n"},
		{"cat /proc/self/comm", "cat\n"},
		{"{ sh -c 'echo b' > /dev/stderr; } 2>&1", "b\n"},
		{"exec < /dev/stdin; cat", "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			r := newRunner(t, backend(), Options{})
			if got, err := r.output(t.Context(), tt.command, ""); got != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	r := newRunner(t, backend(), Options{})
	if _, err := r.output(t.Context(), "echo a > a; echo b | tee b >/dev/null; cp a c; mkdir d; touch d/e", ""); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"a", "b", "c", "d", "d/e"} {
		info, err := os.Stat(filepath.Join(r.options.Dir, file))
		if err != nil || info.Mode()&0o077 != 0 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}
