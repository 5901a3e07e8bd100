package hookrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// killDelay is how long programs have after SIGTERM before SIGKILL comes.
	killDelay = 2 * time.Second
	// leaveDelay is how long a command may go on after SIGKILL before it is left behind: in-process code cannot be killed.
	leaveDelay = 200 * time.Millisecond
)

// errEnded answers what a command's background jobs begin after its end.
var errEnded = errors.New("the hook has ended")

// An execution is one run of a hook's command, in this process or not: its streams and all that it started.
type execution struct {
	dir            string
	env            []string
	stdin          *os.File
	stdout, stderr *output
	jobs           jobs
}

func (r *Runner) newExecution(t task) (*execution, error) {
	stdin, err := holding(t.stdin + "\n")
	if err != nil {
		return nil, fmt.Errorf("make stdin: %w", err)
	}
	x := &execution{dir: r.options.Dir, env: r.environ(t), stdin: stdin, stdout: &output{}, stderr: &output{}}
	x.jobs.init()
	return x, nil
}

// holding returns the end of a pipe from which a text can be read, and nothing more. Nobody needs to: it fits in.
func holding(text string) (*os.File, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	read, write := os.NewFile(uintptr(pipe[0]), "stdin"), pipe[1]
	defer unix.Close(write)
	// The kernel gives an owner of very many pipes small ones, of a page.
	if size, err := unix.FcntlInt(uintptr(write), unix.F_GETPIPE_SZ, 0); err != nil || size < len(text) {
		read.Close()
		return nil, errors.Join(errors.New("the pipe is too small"), err)
	}
	if _, err := unix.Write(write, []byte(text)); err != nil {
		read.Close()
		return nil, err
	}
	return read, nil
}

// run calls body, and returns when body does, or soon after the context's end, whatever body does. It then ends all that
// the command left running. Its error is body's, but the context's cause once the context has ended: a shell that is
// interrupted may well call it success.
func (x *execution) run(ctx context.Context, body func(context.Context) error) error {
	inner, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- recovered(inner, body) }()
	err := x.await(ctx, ended)
	stop()
	x.jobs.end(syscall.SIGKILL)
	if !isClosed(x.jobs.idle) {
		select {
		case <-x.jobs.idle:
		case <-time.After(leaveDelay):
		}
	}
	x.stdin.Close()
	x.stdout.close()
	x.stderr.close()
	return err
}

func (x *execution) await(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	case <-ctx.Done():
	}
	for _, step := range [...]struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGTERM, killDelay}, {syscall.SIGKILL, leaveDelay}} {
		x.jobs.end(step.signal)
		select {
		case <-ended:
			return context.Cause(ctx)
		case <-time.After(step.patience):
		}
	}
	return fmt.Errorf("%w, and could not be interrupted", context.Cause(ctx))
}

// recovered turns a panic of the shell into an error: a hook must not take the daemon with it.
func recovered(ctx context.Context, body func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the in-process shell broke down: %v", p)
		}
	}()
	return body(ctx)
}
