package screen

import (
	"strings"
	"testing"
)

func TestLinesAreBrokenBetweenWords(t *testing.T) {
	long := strings.Repeat("x", 90)
	for _, tt := range []struct{ name, got, want string }{
		{"nothing", Field(8, "label", " "), ""},
		{"one line", Field(8, "label", "two  words"), "label   two words\n"},
		{"just so", Field(8, "label", strings.Repeat("é", 60)+" "+strings.Repeat("é", 11)), "label   " + strings.Repeat("é", 60) + " " + strings.Repeat("é", 11) + "\n"},
		{"too much by one", Field(8, "label", strings.Repeat("é", 60)+" "+strings.Repeat("é", 12)), "label   " + strings.Repeat("é", 60) + "\n        " + strings.Repeat("é", 12) + "\n"},
		{"a long word", Field(2, "", "a "+long+" b"), "  a\n  " + long + "\n  b\n"},
		{"a text", Text("a\n" + strings.Repeat("b ", 40) + "\n\n    kept  so\n\tand\tso\nend\n"), "a" + strings.Repeat(" b", 39) + "\nb\n\n    kept  so\n\tand\tso\nend"},
		{"a short line", Line(2, "a", "b  c"), "a b  c\n"},
		{"a long line", Line(2, "a", strings.Repeat("b  ", 27)), "a" + strings.Repeat(" b", 27) + "\n"},
		{"a short command", CommandLine(2, "", "ip  link"), "  ip  link\n"},
		{"a command", Command(4, "", strings.Repeat("ip ", 30)), "    ip" + strings.Repeat(" ip", 24) + " \\\n    ip ip ip ip ip\n"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, tt.got, tt.want)
		}
	}
}
