package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// shown is a line of a guide with a command to paste, behind a prompt or not, which may go on in the next line.
var shown = regexp.MustCompile(`(?m)^    (?:[#$] )?(?:bin/)?overlayd ((?:.*\\\n)*.*)$`)

// after is where another command, a comment or a file begins.
var after = regexp.MustCompile(`\s(#|&&|\||>|<).*`)

// What the guides show is run by hand when it is written. This finds the commands and flags that have gone since.
func TestTheGuidesKnowTheCommands(t *testing.T) {
	t.Parallel()
	guides, err := filepath.Glob("../../docs/*.md")
	must(t, err)
	count := 0
	for _, guide := range append(guides, "../../README.md") {
		text, err := os.ReadFile(guide)
		must(t, err)
		for _, match := range shown.FindAllStringSubmatch(string(text), -1) {
			line := after.ReplaceAllString(strings.ReplaceAll(match[1], "\\\n", " "), "")
			words := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if command, _, err := newRoot(nil, nil).Find(words); err == nil && command.DisableFlagParsing {
				continue // a tool, which takes any word
			}
			var out, errs strings.Builder
			if status := run(t.Context(), append(words, "--help"), &out, &errs); status != exitOK {
				t.Errorf("%s: overlayd %s: exit status %d\n%s", filepath.Base(guide), line, status, &errs)
			}
			count++
		}
	}
	if count < 60 {
		t.Errorf("just %d commands are found", count)
	}
}
