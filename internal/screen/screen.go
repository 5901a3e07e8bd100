// Package screen lays out what commands print for a terminal of 80 columns.
package screen

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Columns is the width that is kept to, unless a single word is longer.
const Columns = 80

// Field is a label and its value, which is broken between words where it is long. It is nothing without a value. A word that is
// too long stays whole, on a line of its own.
func Field(width int, label, value string) string { return field(width, label, value, "") }

// Line is a Field whose value stays as it is where it is short enough.
func Line(width int, label, value string) string { return line(width, label, value, Field) }

// CommandLine is a Command whose value stays as it is where it is short enough.
func CommandLine(width int, label, value string) string { return line(width, label, value, Command) }

func line(width int, label, value string, broken func(int, string, string) string) string {
	if width+utf8.RuneCountInString(value) <= Columns {
		return fmt.Sprintf("%-*s%s\n", width, label, value)
	}
	return broken(width, label, value)
}

// Command is a Field whose value is a command line: where it is broken stands what lets a shell read on.
func Command(width int, label, value string) string { return field(width, label, value, ` \`) }

// field ends the lines that go on with more.
func field(width int, label, value, more string) string {
	room := Columns - width - utf8.RuneCountInString(more)
	var b strings.Builder
	used := 0 // of the line's room
	for _, word := range strings.Fields(value) {
		length := utf8.RuneCountInString(word)
		switch {
		case used == 0:
			fmt.Fprintf(&b, "%-*s", width, label)
		case used+1+length <= room:
			b.WriteByte(' ')
			used++
		default:
			fmt.Fprintf(&b, "%s\n%*s", more, width, "")
			used = 0
		}
		b.WriteString(word)
		used += length
	}
	if used > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// Text is running text whose paragraphs are filled anew. Lines that begin with space stay as they are.
func Text(text string) string {
	var b strings.Builder
	var paragraph []string
	end := func() {
		b.WriteString(Field(0, "", strings.Join(paragraph, " ")))
		paragraph = nil
	}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" && line[0] != ' ' && line[0] != '\t' {
			paragraph = append(paragraph, line)
			continue
		}
		end()
		b.WriteString(line)
	}
	end()
	return strings.TrimRight(b.String(), "\n")
}
