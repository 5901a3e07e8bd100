package control

import (
	"fmt"
	"io"
	"strings"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/screen"
)

// Bounds of what is remembered of hooks that have run.
const (
	loggedHooks   = 500
	loggedText    = 4 << 10 // bytes of each stream
	loggedEffects = 50
)

// A HookEntry is a hook that has run, with what it printed and did. Its JSON keys are stable.
type HookEntry struct {
	HookRun
	Stdout  string   `json:"stdout,omitzero"`
	Stderr  string   `json:"stderr,omitzero"`
	Effects []string `json:"effects,omitempty"` // what it did in the kernel, as command lines that do the same; undone where it failed
}

// A hookLog is the last hooks that have run. The zero value has none.
type hookLog struct {
	ring []HookEntry
	next int // where the next goes once the ring is full
}

func (l *hookLog) add(e HookEntry) {
	if len(l.ring) < loggedHooks {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.next] = e
	l.next = (l.next + 1) % loggedHooks
}

// all are the entries, the oldest first.
func (l *hookLog) all() []HookEntry {
	return append(append([]HookEntry{}, l.ring[l.next:]...), l.ring[:l.next]...)
}

// ReportHook says what a hook printed and did in the kernel, as command lines, before ObserveHook tells of its run.
func (s *State) ReportHook(_ hooks.Hook, scope, stdout, stderr string, effects []string) {
	e := HookEntry{Stdout: clipTo(loggedText, stdout), Stderr: clipTo(loggedText, stderr)}
	for i, line := range effects {
		if i == loggedEffects {
			e.Effects = append(e.Effects, fmt.Sprintf("… and %d more", len(effects)-i))
			break
		}
		e.Effects = append(e.Effects, clip(line))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.output[scope], s.reports = e, true
}

// HookLog returns the last hooks that have run, 500 at most, the oldest first.
func (s *State) HookLog() []HookEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hookLog.all()
}

// WriteText writes the entry for people and for programs that read lines: a line, and below it what the hook did and printed.
func (e HookEntry) WriteText(w io.Writer) error {
	return e.write(w, func(indent int, label, text string, _ bool) string {
		return fmt.Sprintf("%-*s%s\n", indent, label, text)
	})
}

// WriteScreen writes the same for a terminal, with long lines broken.
func (e HookEntry) WriteScreen(w io.Writer) error {
	return e.write(w, func(indent int, label, text string, command bool) string {
		switch {
		case indent == 0:
			return strings.TrimLeft(screen.Line(4, "", text), " ")
		case command:
			return screen.CommandLine(indent, label, text)
		}
		return screen.Line(indent, label, text)
	})
}

// write lays out each line by the function.
func (e HookEntry) write(w io.Writer, line func(indent int, label, text string, command bool) string) error {
	var b strings.Builder
	outcome := "ok"
	if e.Error != "" {
		outcome = "failed: " + printable(strings.TrimPrefix(e.Error, fmt.Sprintf("%s %s: ", e.Hook, e.Scope)))
	}
	b.WriteString(line(0, "", fmt.Sprintf("%s  %s %s, for reason %s, in %s: %s", e.Started.Format("2006-01-02T15:04:05.000Z07:00"), e.Hook, printable(e.Scope), e.Reason, Duration(e.Took), outcome), false))
	did := "did"
	if e.Error != "" {
		did = "undone"
	}
	for _, part := range []struct {
		label string
		lines []string
	}{{did, e.Effects}, {"stdout", printedLines(e.Stdout)}, {"stderr", printedLines(e.Stderr)}} {
		for _, text := range part.lines {
			b.WriteString(line(12, "    "+part.label, printable(text), part.label == did))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printedLines are the lines of what a hook printed, none of what is blank.
func printedLines(text string) []string {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
