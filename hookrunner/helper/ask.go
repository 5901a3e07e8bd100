package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// maxInput is how much a command of the daemon's may read, in bytes.
const maxInput = 2 << 20

// ask has the daemon answer a command, and hands to next what the daemon does not know.
func (h *helper) ask(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		hc := interp.HandlerCtx(ctx)
		r := request{dir: hc.Dir, path: hc.Env.Get("PATH").String(), argv: argv}
		for {
			a, err := h.exchange(ctx, r, next)
			// What the command printed is passed on when others can ask again: who reads it may have to.
			a.print(hc)
			switch {
			case err != nil:
				return err
			case a.kind == msgUnknown:
				return next(ctx, argv)
			case a.kind == msgStatus:
				status, err := exitStatus(a.text)
				return errors.Join(status, err)
			case a.kind == msgFailed:
				return errors.New(a.text)
			}
			text, err := input(ctx, hc, a.text)
			if err != nil {
				fmt.Fprintf(hc.Stderr, "%s: %v\n", argv[0], err)
				return interp.ExitStatus(1)
			}
			r.streams = append(r.streams, a.text, text)
		}
	}
}

// An answer is what the daemon said last, and what the command printed.
type answer struct {
	kind        byte
	text        string
	out, errOut strings.Builder
}

func (a *answer) print(hc interp.HandlerContext) {
	io.WriteString(hc.Stdout, a.out.String())
	io.WriteString(hc.Stderr, a.errOut.String())
	a.out.Reset()
	a.errOut.Reset()
}

// exchange sends a request and returns the answer.
func (h *helper) exchange(ctx context.Context, r request, program interp.ExecHandlerFunc) (*answer, error) {
	a := &answer{}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.wire.send(msgCommand, r.fields()...); err != nil {
		return a, err
	}
	for {
		kind, fields, err := h.wire.receive()
		if err != nil {
			return a, err
		}
		switch kind {
		case msgStdout:
			a.out.WriteString(fields[0])
		case msgStderr:
			a.errOut.WriteString(fields[0])
		case msgProgram:
			a.print(interp.HandlerCtx(ctx))
			if err := h.program(ctx, fields, program); err != nil {
				return a, err
			}
		default:
			a.kind, a.text = kind, strings.Join(fields, "")
			return a, nil
		}
	}
}

// program runs a program that a command of the daemon's wants run.
func (h *helper) program(ctx context.Context, argv []string, program interp.ExecHandlerFunc) error {
	err := program(ctx, argv)
	status, ok := errors.AsType[interp.ExitStatus](err)
	if err != nil && !ok {
		return errors.Join(h.wire.send(msgFailed, err.Error()), err)
	}
	return h.wire.send(msgStatus, strconv.Itoa(int(status)))
}

// input reads what a command of the daemon's wants to read: the command's stdin, or a file that is none to the daemon.
func input(ctx context.Context, hc interp.HandlerContext, name string) (string, error) {
	from, _ := hc.Stdin.(*os.File)
	if name != "" {
		f, err := open(ctx, name, os.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxInput))
		return string(text), err
	}
	if from == nil {
		return "", nil
	}
	text, err := io.ReadAll(io.LimitReader(from, maxInput))
	return string(text), err
}
