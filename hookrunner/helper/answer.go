package helper

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// Commands are what the daemon answers of a hook's commands.
type Commands interface {
	// Command carries out a command line as hc tells of its surroundings: Env has PATH alone. Its error wraps an
	// interp.ExitStatus; any other ends the hook. Command lines that it does not know it hands to next. Files it opens for
	// reading by open. All reading comes before any doing: it may be called again with what it wants to read.
	Command(ctx context.Context, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, open OpenFunc) error
	// Change returns what Command does for a command line, to be called once, if that is nothing but changes to the kernel, or a
	// complaint of it: it needs no next handler, no files and no stdin.
	Change(argv []string) (do func(context.Context, interp.HandlerContext) error, ok bool)
}

// An OpenFunc opens a file for reading, by its absolute name.
type OpenFunc = func(name string) (io.ReadCloser, error)

// errUnknown answers for a command that is not the daemon's.
var errUnknown = errors.New("not a command of the daemon")

// answer answers a request.
func (p *process) answer(ctx context.Context, fields []string, commands Commands) error {
	r, err := requestOf(fields)
	if err != nil {
		return err
	}
	var out, errOut printed
	hc := interp.HandlerContext{Env: expand.ListEnviron("PATH=" + r.path), Dir: r.dir, Stdout: &out, Stderr: &errOut}
	flush := func() error { return errors.Join(out.flush(p.wire, msgStdout), errOut.flush(p.wire, msgStderr)) }
	for done, argv := range r.lines {
		in := &inputs{given: r.input}
		r.input = nil // is the first line's
		hc.Stdin = &lazyInput{in: in}
		before, complained := len(out.text), len(errOut.text)
		err = commands.Command(ctx, hc, argv, p.next(argv, flush), in.open)
		if in.wants != nil { // and has only complained that it is not there
			out.text, errOut.text = out.text[:before], errOut.text[:complained]
			return errors.Join(flush(), p.wire.send(msgInput, strconv.Itoa(done), *in.wants))
		}
		if errors.Is(err, errUnknown) {
			return errors.Join(flush(), p.wire.send(msgUnknown, strconv.Itoa(done)))
		}
		if err != nil {
			break
		}
	}
	status, ok := errors.AsType[interp.ExitStatus](err)
	if err != nil && !ok {
		return errors.Join(flush(), p.wire.send(msgFailed, err.Error()))
	}
	return errors.Join(flush(), p.wire.send(msgStatus, strconv.Itoa(int(status))))
}

// next is what a command calls for a program: for the command itself, or for one that is part of it.
func (p *process) next(command []string, flush func() error) interp.ExecHandlerFunc {
	return func(_ context.Context, argv []string) error {
		if len(argv) == len(command) && &argv[0] == &command[0] {
			return errUnknown
		}
		if err := errors.Join(flush(), p.wire.send(msgProgram, argv...)); err != nil {
			return err
		}
		kind, fields, err := p.wire.receive()
		switch {
		case err != nil:
			return err
		case len(fields) == 1 && kind == msgStatus:
			status, err := exitStatus(fields[0])
			return errors.Join(status, err)
		}
		return errors.New("the program did not run")
	}
}

// printed is what a command prints, until it is sent.
type printed struct{ text []byte }

// Write is part of io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.text = append(p.text, b...)
	return len(b), nil
}

func (p *printed) flush(w *wire, kind byte) error {
	for len(p.text) > 0 {
		n := min(len(p.text), 1<<20)
		if err := w.send(kind, string(p.text[:n])); err != nil {
			return err
		}
		p.text = p.text[n:]
	}
	return nil
}

// inputs are the texts that came with a command, and the one that it wants beside them: reading from what a hook holds could
// last for ever, so the helper does it.
type inputs struct {
	given []string // names and texts
	wants *string
}

var errWanted = errors.New("to be read by the helper")

func (in *inputs) text(name string) (string, error) {
	for i := 0; i < len(in.given); i += 2 {
		if in.given[i] == name {
			return in.given[i+1], nil
		}
	}
	in.wants = &name
	return "", errWanted
}

// open opens files, and what is no file only where its text has come.
func (in *inputs) open(name string) (io.ReadCloser, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Mode().IsRegular() || info.IsDir()) {
		return f, nil
	}
	f.Close()
	if err != nil {
		return nil, err
	}
	return &lazyInput{in: in, name: name}, nil
}

// A lazyInput is read when somebody wants it.
type lazyInput struct {
	in   *inputs
	name string
	rest *string
}

// Read is part of io.Reader.
func (l *lazyInput) Read(p []byte) (int, error) {
	if l.rest == nil {
		text, err := l.in.text(l.name)
		if err != nil {
			return 0, err
		}
		l.rest = &text
	}
	if *l.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, *l.rest)
	*l.rest = (*l.rest)[n:]
	return n, nil
}

// Close is part of io.Closer.
func (l *lazyInput) Close() error { return nil }
