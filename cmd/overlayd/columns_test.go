package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/screen"
)

// wantColumns wants lines that a terminal need not break. A word that is too long for any line may stand alone.
func wantColumns(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))
		if n > screen.Columns && len(strings.Fields(line)) > 1 {
			t.Errorf("%s: a line has %d columns: %s", what, n, line)
		}
	}
}

// Tools print the help of the programs whose names they have.
func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	count := 0
	var visit func(c *cobra.Command, words []string)
	visit = func(c *cobra.Command, words []string) {
		if c.DisableFlagParsing {
			return
		}
		var out, errs strings.Builder
		if status := run(t.Context(), append(words, "--help"), &out, &errs); status != exitOK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%q: exit status %d\n%s%s", words, status, &out, &errs)
		}
		wantColumns(t, strings.Join(append(words, "--help"), " "), out.String())
		count++
		for _, sub := range c.Commands() {
			visit(sub, append(words[:len(words):len(words)], sub.Name()))
		}
	}
	visit(newRoot(io.Discard, io.Discard), nil)
	if count < 40 {
		t.Errorf("just %d commands have help", count)
	}
}
