package control

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// problem says on one line what went wrong and when it is tried again. A long error does not push the latter off the line.
func problem(text string, next, now time.Time, width int) string {
	if text == "" {
		return ""
	}
	tail := ""
	if !next.IsZero() {
		tail = fmt.Sprintf("; next try in %s", Span(next.Sub(now)))
	}
	return shorten(printable(text), width-len(tail)) + tail
}

// shorten cuts a text that is longer than the width.
func shorten(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// prefixed is the text after the prefix, or nothing at all.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// printable is the text if a terminal shows it as it is, else the text quoted as in Go.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// Span is a time in the largest unit of which there are at least two.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}

// Duration is the time that a hook took, given in seconds.
func Duration(seconds float64) string {
	switch ms := seconds * 1000; {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return fmt.Sprintf("%.0f s", seconds)
}
