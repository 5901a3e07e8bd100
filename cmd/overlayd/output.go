package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// All that overlayd says to a person at a terminal passes through this file, except the results that a command was asked
// for. The rules: one line an error, prefixed "overlayd: ", lower case, no period; what to try follows as "overlayd: hint: "
// lines. The daemon's events go to its log instead.

// The exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // the command line or the environment does not parse
	exitConfig      = 3 // the network config, the daemon's config, or a file that one of them names, is invalid or not to be had
	exitUnreachable = 6 // no daemon answers
	exitDegraded    = 7 // a daemon answers, and is not as was asked for
)

// A refusal is an error that ends the program with a status of its own, and says what to try.
type refusal struct {
	err    error
	status int
	hints  []string
	said   bool // a process inside has told the person already
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// refuse wraps an error with the status that it ends the program with, and with what to try. A nil error stays nil.
func refuse(status int, err error, hints ...string) error {
	if err == nil {
		return nil
	}
	return &refusal{err: err, status: status, hints: hints}
}

// hint adds to what the error says to try.
func hint(err error, text string) error {
	hinted := refusal{err: err, status: exitFailed}
	if r, ok := errors.AsType[*refusal](err); ok {
		hinted = *r
	}
	hinted.hints = append(slices.Clip(hinted.hints), text)
	return &hinted
}

// report prints the error and returns the exit status that it asks for.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		r = &refusal{status: exitFailed}
	}
	if r.said {
		return r.status
	}
	fmt.Fprintf(w, "overlayd: %s\n", strings.ReplaceAll(err.Error(), "\n", "\noverlayd: "))
	for _, hint := range r.hints {
		fmt.Fprintf(w, "overlayd: hint: %s\n", hint)
	}
	return r.status
}

// printJudged prints what a command has found, as JSON or as text. Where that is not good, the exit status alone says so.
func printJudged(w io.Writer, output string, found any, text func(io.Writer) error, good bool) error {
	print := text
	if output == "json" {
		print = func(w io.Writer) error { return json.NewEncoder(w).Encode(found) }
	}
	if err := print(w); err != nil {
		return err
	}
	if !good {
		return &refusal{status: exitDegraded, said: true, err: errors.New("something is amiss")}
	}
	return nil
}

// hasColours reports whether what is written there may be in colours: on a terminal, unless the environment has NO_COLOR
// (no-color.org) or calls the terminal dumb.
func hasColours(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// isTerminal reports whether what is written there is seen at once by a person.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// A progress says how far long work has come, in one line on a terminal that it takes away in the end. Work that takes less than a
// second it does not mention, and nil says nothing at all.
type progress struct {
	w    io.Writer
	what string // has been done

	mu    sync.Mutex
	begun time.Time
	done  int
	said  bool
}

// newProgress returns nil where nobody looks.
func newProgress(w io.Writer, what string) *progress {
	if !isTerminal(w) {
		return nil
	}
	return &progress{w: w, what: what, begun: time.Now()}
}

// step says that one more of so many is done. It may be called concurrently.
func (p *progress) step(of int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if time.Since(p.begun) > time.Second {
		fmt.Fprintf(p.w, "\r%s %d of %d", p.what, p.done, of)
		p.said = true
	}
}

// end takes the line away.
func (p *progress) end() {
	if p != nil && p.said {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// newLogger returns the daemon's logger. Under systemd the journal knows the time.
func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
