package command

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }

// A result is what a person sees of a command.
type result struct {
	Stdout, Stderr string
	Status         int
}

// A shell runs lines with the commands of this package, and notes those that reach the next handler.
type shell struct {
	kernel Kernel
	dir    string
	path   string   // PATH
	passed []string // command lines that were handed on
}

// run runs a line and returns its result and its error.
func (s *shell) run(t *testing.T, text string) (result, error) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr buffer
	next := func(ctx context.Context, argv []string) error {
		s.passed = append(s.passed, strings.Join(argv, " "))
		return interp.ExitStatus(statusNotFound)
	}
	runner, err := interp.New(
		interp.StdIO(strings.NewReader(""), &stdout, &stderr), interp.Dir(s.dir),
		interp.Env(expand.ListEnviron("PATH="+s.path)),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return Handler(s.kernel, next) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a command that hangs fails its own test only
	defer cancel()
	err = runner.Run(ctx, file)
	status, ok := errors.AsType[interp.ExitStatus](err)
	if err != nil && !ok {
		t.Fatalf("%s: %v", text, err)
	}
	return result{stdout.String(), stderr.String(), int(status)}, err
}

// A buffer may be written to by the commands of a pipeline at once.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// fakeShell is a shell on a kernel in memory, with no program installed, after the lines have run.
func fakeShell(t *testing.T, lines ...string) *shell {
	t.Helper()
	s := &shell{kernel: kernel.NewFake(), dir: t.TempDir()}
	for _, line := range lines {
		if r, _ := s.run(t, line); r.Status != 0 {
			t.Fatalf("%s: %+v", line, r)
		}
	}
	return s
}

// fields splits a command line as a shell would, as far as these tests need it.
func fields(line string) []string {
	argv := strings.Fields(line)
	for i, word := range argv {
		argv[i] = strings.Trim(word, `"`)
	}
	return argv
}

// parse returns the operations that a command line means.
func parse(line string) ([]kernel.Op, error) {
	argv := fields(line)
	tool, ok := lookup(argv[0])
	if !ok {
		return nil, unknown(argv[0])
	}
	a, err := tool.parse(argv)
	return a.ops, err
}
