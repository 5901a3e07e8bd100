package hookrunner

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	endless = "still running after 1s, its Timeout"
	// tooBig is what ends by what the kernel allows its process, or by what the daemon does, whichever looks first.
	tooBig = "it took |exit status |the process of the hook ended: exit status "
)

// What a hook does to itself fails the hook, ends in time and leaves nothing, and the next hook runs as if nothing had been.
func TestNothingThatAHookDoesHurtsTheDaemon(t *testing.T) {
	tests := []struct {
		name, command string
		want          string // stdout
		err           string // the beginning of the error; "" for success, endless for what ends with its time, or tooBig
		onlyIn        string
		large         bool // with the race detector, too large for the limits
	}{
		{name: "growing for ever", command: "A=x; while :; do A=$A$A; done", err: tooBig, onlyIn: "builtin"},
		{name: "growing for ever", command: "A=xxxxxxxxxxxxxxxx; while :; do A=$A$A; done", err: tooBig, onlyIn: "sh"},
		{name: "a program that grows for ever", command: "sh -c 'A=xxxxxxxxxxxxxxxx; while :; do A=$A$A; done'", err: tooBig},
		{name: "many that grow", command: "for i in 1 2 3 4; do { head -c 150000000 /dev/zero; sleep 60; } | tail -c 150000000 >/dev/null & done; wait",
			err: "it took "},
		{name: "writing for ever", command: "yes", err: endless},
		{name: "writing a file for ever", command: "dd if=/dev/zero of=file bs=1 count=1 seek=1100000000 2>/dev/null || echo failed", want: "failed\n"},
		{name: "killing its shell", command: "kill $$; echo not reached", err: "the process of the hook ended: signal: terminated", onlyIn: "builtin"},
		{name: "killing its shell by force", command: "kill -9 $$", err: "the process of the hook ended: signal: killed", onlyIn: "builtin"},
		{name: "killing its shell", command: "kill $$; echo not reached", err: "exit status 143", onlyIn: "sh"},
		{name: "stopping its shell", command: "kill -STOP $$", err: endless, onlyIn: "builtin"},
		{name: "leaving behind what has left the session", command: "setsid sleep 60 & setsid -f sleep 60; sleep 0.1; echo x", want: "x\n"},
		{name: "leaving behind what has left the session, and dying", command: "setsid -f sleep 60; sleep 0.1; kill -9 $$",
			err: "the process of the hook ended: signal: killed", onlyIn: "builtin"},
		{name: "waiting for what has left the session and ignores SIGTERM", err: endless,
			command: `setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.1; done' & wait`},
		{name: "a thousand jobs", command: "i=0; while [ $i -lt 1000 ]; do sleep 60 & i=$((i+1)); done; wait", err: endless, large: true},
		{name: "a thousand jobs of the shell", command: "i=0; while [ $i -lt 1000 ]; do { while :; do :; done; } & i=$((i+1)); done; wait",
			err: endless, onlyIn: "builtin"},
		{name: "exits in odd places", command: "(exit 3); echo $?; X=$(exit 4); echo $?; f() { exit 5; }; f | cat; echo $?; { exit 6; } & wait $!; echo $?; f; echo no",
			want: "3\n4\n0\n6\n", err: "exit status 5"},
		{name: "much to read", command: "head -c 16777216 /dev/zero | cat | wc -c", want: "16777216\n"},
		{name: "much to read from a file", command: "head -c 16777216 /dev/zero > f; cat f f | wc -c", want: "33554432\n"},
		{name: "closing its streams", command: "exec >&- 2>&- <&-; echo x; true"},
		{name: "an own umask", command: "umask 022; echo > a; umask; ls -l a | cut -c 1-10", want: "0022\n-rw-r--r--\n"},
	}
	for _, tt := range tests {
		for name, shell := range shells {
			if tt.onlyIn != "" && tt.onlyIn != name {
				continue
			}
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				if race && (tt.large || tt.err == tooBig) {
					t.Skip("the race detector takes more memory than a hook may")
				}
				if strings.Contains(tt.command, "setsid") {
					needs(t, "setsid")
				}
				timeout := 30 * time.Second
				if tt.err == endless {
					timeout = time.Second
				}
				r := newRunner(t, backend("Shell", shell, "Timeout", timeout.String()), Options{})
				began := time.Now()
				got, err := r.output(t.Context(), tt.command, "")
				if took := time.Since(began); took > timeout+killDelay+late {
					t.Errorf("took %s", took)
				}
				if tt.want != "" && got != tt.want {
					t.Errorf("stdout: got %q, want %q", got, tt.want)
				}
				if text := errorText(err); text != tt.err && (tt.err == "" || !slices.ContainsFunc(strings.Split(tt.err, "|"), func(begin string) bool { return strings.HasPrefix(text, begin) })) {
					t.Errorf("error: got %q, want %q", text, tt.err)
				}
				if left := processesOf(r.options.Dir); left != nil {
					t.Errorf("still running: %q", left)
				}
				// umask 077, and no memory of the one before.
				got, err = r.output(t.Context(), "echo > b; ls -l b | cut -c 1-10; echo $A", "")
				if got != "-rw-------\n\n" || err != nil {
					t.Errorf("the next hook: got %q, %v", got, err)
				}
			})
		}
	}
}

// Hooks that die do so in the midst of others, which go on.
func TestAHookThatDiesTakesNoOtherWithIt(t *testing.T) {
	r := newRunner(t, backend(), Options{})
	others := make(chan error)
	for range 3 {
		go func() {
			_, err := r.output(t.Context(), "sleep 0.5; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done", "")
			others <- err
		}()
	}
	for range 5 {
		if _, err := r.output(t.Context(), "kill -9 $$", ""); err == nil {
			t.Error("a hook that dies succeeded")
		}
	}
	for range 3 {
		if err := <-others; err != nil {
			t.Error(err)
		}
	}
}

func TestMemoryComesBack(t *testing.T) {
	if race {
		t.Skip("the race detector takes more memory than a hook may")
	}
	r := newRunner(t, backend(), Options{})
	taken := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := taken()
	// 64 MiB of the shell's, and 64 KiB that are kept of a flood.
	for range 3 {
		if _, err := r.output(t.Context(), `A=0123456789abcdef; i=0; while [ $i -lt 22 ]; do A=$A$A; i=$((i+1)); done; echo $A`, ""); err != nil {
			t.Fatal(err)
		}
	}
	if grown := int64(taken()) - int64(before); grown > 16<<20 {
		t.Errorf("this process took %d bytes", grown)
	}
	for _, pid := range children(t) {
		text, _ := os.ReadFile(filepath.Join("/proc", pid, "statm"))
		var size, resident, shared int
		fmt.Sscan(string(text), &size, &resident, &shared)
		if used := (resident - shared) * os.Getpagesize(); used > 256<<20 {
			t.Errorf("helper %s keeps %d bytes", pid, used)
		}
	}
}

// children are the processes that this one started and that have not ended.
func children(t *testing.T) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, _ := os.ReadFile(file)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}
