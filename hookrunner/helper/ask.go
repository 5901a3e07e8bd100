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

// ask has the daemon answer a command, or a chain of them, and hands to next what the daemon does not know.
func (h *helper) ask(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		hc := interp.HandlerCtx(ctx)
		r := request{dir: hc.Dir, path: hc.Env.Get("PATH").String(), lines: h.lines(argv)}
		for len(r.lines) > 0 {
			a, err := h.exchange(ctx, r, next)
			// What commands printed is passed on when others can ask again: who reads it may have to.
			a.print(hc)
			if err != nil {
				return err
			}
			switch a.kind {
			case msgStatus:
				status, err := exitStatus(a.text)
				return errors.Join(status, err)
			case msgUnknown:
				if err := next(ctx, r.lines[a.done]); err != nil {
					return err
				}
				r.lines, r.input = r.lines[a.done+1:], nil
			case msgInput:
				if a.done > 0 {
					r.lines, r.input = r.lines[a.done:], nil
				}
				text, err := input(ctx, hc, a.text)
				if err != nil {
					fmt.Fprintf(hc.Stderr, "%s: %v\n", r.lines[0][0], err)
					return interp.ExitStatus(1)
				}
				r.input = append(r.input, a.text, text)
			default:
				return errors.New(a.text)
			}
		}
		return nil
	}
}

// lines are the command lines of a chain, or the one that it is.
func (h *helper) lines(argv []string) (lines [][]string) {
	if argv[0] != h.chain {
		return [][]string{argv}
	}
	for _, word := range argv {
		if word == h.chain {
			lines = append(lines, nil)
			continue
		}
		lines[len(lines)-1] = append(lines[len(lines)-1], word)
	}
	return lines
}

// An answer is what the daemon said last, and what the commands printed.
type answer struct {
	kind        byte
	done        int    // how many commands have been carried out
	text        string // what else the message says
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
			return a, a.set(kind, fields, len(r.lines))
		}
	}
}

// set takes over the last message of an answer to a number of commands.
func (a *answer) set(kind byte, fields []string, commands int) (err error) {
	a.kind = kind
	if kind == msgUnknown || kind == msgInput {
		if len(fields) > 0 {
			a.done, err = strconv.Atoi(fields[0])
			fields = fields[1:]
		}
		if err != nil || a.done < 0 || a.done >= commands {
			return fmt.Errorf("message %q tells of command %d of %d", kind, a.done+1, commands)
		}
	}
	a.text = strings.Join(fields, "")
	return nil
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
