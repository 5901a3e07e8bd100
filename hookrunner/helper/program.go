package helper

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// Statuses that shells give to what they could not run.
const (
	statusNotExecutable = interp.ExitStatus(126)
	statusNotFound      = interp.ExitStatus(127)
	statusSignaled      = interp.ExitStatus(128) // and the signal's number
)

// stdio is where a program reads and writes.
type stdio struct {
	in       *os.File // nil for nothing to read
	out, err io.Writer
}

// lookUp runs the program that a shell would run for a command line: the one of that name in the hook's PATH.
func (x *execution) lookUp(hc interp.HandlerContext, argv []string) error {
	path, err := interp.LookPathDir(hc.Dir, hc.Env, argv[0])
	if err != nil {
		status, why := statusNotFound, "not found"
		if strings.Contains(argv[0], "/") && !strings.Contains(err.Error(), "no such file") {
			status, why = statusNotExecutable, "Permission denied"
		}
		fmt.Fprintf(hc.Stderr, "%s: %s\n", argv[0], why)
		return status
	}
	in, _ := hc.Stdin.(*os.File)
	c := &exec.Cmd{Path: path, Args: argv, Dir: hc.Dir, Env: exported(hc.Env)}
	return x.program(c, stdio{in, hc.Stdout, hc.Stderr})
}

// program runs a program and waits for it, and for all that it wrote, but not for processes that it leaves in the
// background. Its error is an interp.ExitStatus, but for one of our own that stops the hook.
func (x *execution) program(c *exec.Cmd, s stdio) error {
	if s.in != nil {
		c.Stdin = s.in
	}
	out, outDone, err := x.file(s.out)
	if err != nil {
		return err
	}
	defer outDone()
	c.Stdout, c.Stderr = out, out
	if s.err != s.out {
		diagnostics, errDone, err := x.file(s.err)
		if err != nil {
			return err
		}
		defer errDone()
		c.Stderr = diagnostics
	}
	err = x.jobs.start(c)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #!, which shells run by themselves
		c = &exec.Cmd{Path: "/bin/sh", Args: append([]string{"sh", c.Path}, c.Args[1:]...), Dir: c.Dir, Env: c.Env,
			Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr}
		err = x.jobs.start(c)
	}
	switch {
	case errors.Is(err, errEnded):
		return err
	case err != nil:
		fmt.Fprintf(s.err, "%s: %v\n", c.Args[0], err)
		return statusNotExecutable
	}
	return status(wait(c))
}

// status is the exit status of a program as shells give it.
func status(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if w := exit.Sys().(syscall.WaitStatus); w.Signaled() {
		return statusSignaled + interp.ExitStatus(w.Signal())
	}
	return interp.ExitStatus(exit.ExitCode())
}

// file returns a file for a program to write to in place of w, and what waits until all of it has reached w. After a
// SIGKILL that waits no longer than drainPatience: only who left the hook's groups can still hold the file open.
func (x *execution) file(w io.Writer) (*os.File, func(), error) {
	switch w := w.(type) {
	case *os.File:
		return w, func() {}, nil
	case *output:
		f, err := w.file()
		return f, func() {}, err
	case shared:
		return x.file(w.Writer)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(w, read) // ends when the program does, or by the deadline
	}()
	return write, func() {
		write.Close()
		select {
		case <-copied:
		case <-x.jobs.killed:
			read.SetReadDeadline(time.Now().Add(drainPatience))
			<-copied
		}
		read.Close()
	}, nil
}

// exported is the environment of the programs that a shell starts, sorted.
func exported(env expand.Environ) []string {
	values := map[string]string{}
	for name, v := range env.Each {
		delete(values, name)
		if v.IsSet() && v.Exported && v.Kind == expand.String {
			values[name] = name + "=" + v.Str
		}
	}
	return slices.Sorted(maps.Values(values))
}
