package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/script"
)

// maxFrames bounds the depth of the Go stack under a command, that is of calls in it, in frames. Go ends the whole process
// at 1 GB of stack; this many frames take some 10 MB and allow more than a thousand calls of functions in each other.
const maxFrames = 20_000

// calls looks at all commands, builtins too, before they run.
type calls struct {
	execution *execution
	script    *script.Script
	count     atomic.Uint64
}

func (c *calls) handle(ctx context.Context, argv []string) ([]string, error) {
	if c.count.Add(1)%256 == 0 && runtime.Callers(maxFrames, make([]uintptr, 1)) > 0 {
		return nil, errors.New("functions call each other too deep")
	}
	if c.script.Functions[argv[0]] {
		return argv, nil
	}
	switch argv[0] {
	case "umask":
		return c.umask(interp.HandlerCtx(ctx), argv[1:]), nil
	case "kill":
		status := kill(interp.HandlerCtx(ctx).Stderr, argv[1:])
		return []string{"eval", fmt.Sprintf("(exit %d)", status)}, nil
	case "eval":
		return c.eval(argv)
	case ".", "source":
		return argv, c.source(interp.HandlerCtx(ctx), argv[1:])
	case "echo", "printf":
		// Without a reader, other shells die of SIGPIPE here. This one would write on until its time is up.
		if pipe, ok := interp.HandlerCtx(ctx).Stdout.(*os.File); ok && nobodyReads(pipe) {
			return []string{"exit", "141"}, nil
		}
	}
	return argv, nil
}

// umask carries out the builtin, which changes this process until the end of the hook, and returns what is left to do.
func (c *calls) umask(hc interp.HandlerContext, args []string) []string {
	if len(args) == 0 {
		now := unix.Umask(0o077)
		unix.Umask(now)
		return []string{"echo", fmt.Sprintf("%04o", now)}
	}
	mask, err := strconv.ParseUint(args[0], 8, 16)
	if err != nil || mask > 0o777 || len(args) > 1 {
		fmt.Fprintf(hc.Stderr, "umask: %s: not an octal number\n", args[0])
		return []string{"false"}
	}
	c.execution.umask = true
	unix.Umask(int(mask))
	return []string{"true"}
}

// eval returns the builtin with a text that does in this shell what the given one does in others.
func (c *calls) eval(argv []string) ([]string, error) {
	s, err := script.Parse("eval", strings.Join(argv[1:], " "))
	if err != nil {
		return argv, nil // the builtin complains of it
	}
	s, err = s.InProcess()
	if err != nil {
		return nil, err
	}
	return []string{"eval", s.String()}, nil
}

// source refuses a file that this shell would read otherwise than others.
func (c *calls) source(hc interp.HandlerContext, args []string) error {
	if len(args) == 0 {
		return nil
	}
	name := absolute(hc.Dir, args[0])
	if isFIFO(name) {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // the builtin complains of it, or finds it in PATH
	}
	s, err := script.Parse(args[0], string(text))
	if err != nil {
		return nil
	}
	again, err := s.InProcess()
	if err == nil && again.String() != s.String() {
		err = fmt.Errorf("%s has a pipe into the shell, a job in the background or >|, which is not possible in-process in a file: %s", args[0], `use "Shell": "/bin/sh"`)
	}
	return err
}

// nobodyReads reports whether a file is a pipe whose other end is closed.
func nobodyReads(f *os.File) (closed bool) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	_ = conn.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, 0)
		closed = err == nil && n == 1 && poll[0].Revents&unix.POLLERR != 0
	})
	return closed
}
