package helper

import (
	"fmt"
	"strings"
)

// An Output is what a hook wrote to one of its streams: the beginning, at most Kept bytes, and how many bytes more there were.
type Output struct {
	Text    string
	Dropped int64
}

// Blank reports whether there is nothing to be seen.
func (o Output) Blank() bool { return strings.TrimSpace(o.Text) == "" }

// Brief is the output for a log line: trimmed, cut at a limit in bytes, with a note of what is missing.
func (o Output) Brief(limit int) string {
	text := strings.TrimSpace(o.Text)
	missing := o.Dropped
	if len(text) > limit {
		missing += int64(len(text) - limit)
		text = text[:limit]
	}
	if missing == 0 {
		return text
	}
	return fmt.Sprintf("%s… and %d bytes more", strings.ToValidUTF8(text, ""), missing)
}

// LastLine is the last line that says something, "" without one, not longer than a message may be.
func (o Output) LastLine() string {
	const longest = 200
	text := strings.TrimSpace(o.Text)
	line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + "…"
	}
	return line
}
