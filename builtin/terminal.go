package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A Terminal is where a person runs a command.
type Terminal struct {
	Env            []string // as os.Environ returns it; PATH finds real tools
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Command carries out one command line, as hooks' are, for a person at a terminal, and returns its exit status. The error
// is of what is not the command's own failure: that has been printed.
func (s *Set) Command(ctx context.Context, t Terminal, argv ...string) (status int, err error) {
	words := make([]string, len(argv))
	for i, word := range argv {
		if words[i], err = syntax.Quote(word, syntax.LangBash); err != nil {
			return 0, fmt.Errorf("quote %q: %w", word, err)
		}
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(strings.Join(words, " ")), "")
	if err != nil {
		return 0, err
	}
	const patience = 2 * time.Second // between SIGINT and SIGKILL
	real := interp.DefaultExecHandler(patience)
	shell, err := interp.New(
		interp.StdIO(t.Stdin, t.Stdout, t.Stderr), interp.Env(expand.ListEnviron(t.Env...)),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.Exec(real) }),
	)
	if err != nil {
		return 0, err
	}
	err = shell.Run(ctx, file)
	if exit, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(exit), nil
	}
	if err == nil {
		err = s.ephemeral(ctx, argv)
	}
	return 0, err
}

// ephemeral complains of a WireGuard device that was made just now, and would end with this process.
func (s *Set) ephemeral(ctx context.Context, argv []string) error {
	if argv[0] != "ip" || len(argv) < 3 || argv[len(argv)-1] != "wireguard" {
		return nil
	}
	devices, err := s.kernel.List(ctx, kernel.Device{})
	for _, o := range devices {
		if d := o.(kernel.Device); d.Userspace {
			return fmt.Errorf("add WireGuard link %s: this kernel has no WireGuard, and in userspace it ends with this command", d.Name)
		}
	}
	return err
}
