package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/hookrunner/script"
)

const (
	// killDelay is how long programs have after SIGTERM before SIGKILL comes, but for those that ignore SIGTERM.
	killDelay = 2 * time.Second
	// leaveDelay is how long a command may go on after SIGKILL before the helper with it is given up.
	leaveDelay = 200 * time.Millisecond
)

// An execution is one run of a hook's command: its streams and all that it started.
type execution struct {
	job            Job
	stdin          *os.File
	stdout, stderr *output
	jobs           jobs
	umask          bool // the command has changed it
}

func newExecution(job Job, m mark) (*execution, error) {
	stdin, err := holding(job.Stdin)
	if err != nil {
		return nil, fmt.Errorf("make stdin: %w", err)
	}
	x := &execution{job: job, stdin: stdin, stdout: &output{}, stderr: &output{}}
	x.jobs.init(m)
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

// body runs the command, by the in-process shell or by the job's.
func (x *execution) body(s *script.Script, inProcess middleware) func(context.Context) error {
	return func(ctx context.Context) error {
		if x.job.Shell != "" {
			sh := &exec.Cmd{Path: x.job.Shell, Args: []string{x.job.Shell, "-c", x.job.Text}, Dir: x.job.Dir, Env: x.job.Env}
			return x.program(sh, stdio{x.stdin, x.stdout, x.stderr})
		}
		return x.interpret(ctx, s, inProcess)
	}
}

// run calls body, and returns when body does, or soon after the context's end, whatever body does. It then ends all that
// the command left running. Its error is body's; clean reports whether nothing of the command can go on.
func (x *execution) run(ctx context.Context, body func(context.Context) error) (clean bool, err error) {
	inner, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- recovered(inner, body) }()
	clean, err = x.await(ctx, ended)
	stop()
	killed := x.jobs.end(syscall.SIGKILL)
	if !isClosed(x.jobs.idle) {
		select {
		case <-x.jobs.idle:
		case <-time.After(leaveDelay):
			clean = false
		}
	}
	x.stdin.Close()
	x.stdout.close()
	x.stderr.close()
	return clean && killed == nil, errors.Join(err, killed)
}

func (x *execution) await(ctx context.Context, ended <-chan error) (bool, error) {
	select {
	case err := <-ended:
		return true, err
	case <-ctx.Done():
	}
	for _, step := range [...]struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGTERM, killDelay}, {syscall.SIGKILL, leaveDelay}} {
		_ = x.jobs.end(step.signal) // run tells of those that survive
		select {
		case err := <-ended:
			return true, err
		case <-time.After(step.patience):
		}
	}
	return false, errors.New("it could not be interrupted")
}

// recovered turns a panic of the shell into an error.
func recovered(ctx context.Context, body func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the in-process shell broke down: %v", p)
		}
	}()
	return body(ctx)
}
