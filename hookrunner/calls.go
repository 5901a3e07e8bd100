package hookrunner

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// maxFrames bounds the depth of the Go stack under a command, that is of calls in it, in frames. Go ends the whole process
// at 1 GB of stack; this many frames take some 10 MB and allow more than a thousand calls of functions in each other.
const maxFrames = 20_000

// calls looks at all commands, builtins too, before they run.
type calls struct{ count atomic.Uint64 }

func (c *calls) handle(ctx context.Context, argv []string) ([]string, error) {
	if c.count.Add(1)%256 == 0 && runtime.Callers(maxFrames, make([]uintptr, 1)) > 0 {
		return nil, errors.New("functions call each other too deep")
	}
	if argv[0] == "umask" && len(argv) == 2 && isPrivate(argv[1]) {
		return []string{"true"}, nil
	}
	if argv[0] == "echo" || argv[0] == "printf" {
		// Without a reader, other shells die of SIGPIPE here. This one would write on until its time is up.
		if pipe, ok := interp.HandlerCtx(ctx).Stdout.(*os.File); ok && nobodyReads(pipe) {
			return []string{"exit", "141"}, nil
		}
	}
	return argv, nil
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
