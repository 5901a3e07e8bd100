package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

func exit(status int) interp.ExitStatus { return interp.ExitStatus(status) }

// A grepper is a grep command.
type grepper struct {
	pattern                                                            *regexp.Regexp
	quiet, invert, count, number, only, silent, unnamed, ignore, names bool
	extended, fixed, whole                                             bool
	files                                                              []string
}

// parseGrep reads grep with basic, extended and fixed patterns. Patterns that Go's library has otherwise are left to the real
// tool.
func parseGrep(l *line) action {
	g := grepper{}
	var pattern *string
	for l.more() && strings.HasPrefix(l.peek(), "-") && len(l.peek()) > 1 && l.peek() != "--" {
		word := l.next()
		for i, option := range word[1:] {
			flag := map[rune]*bool{
				'q': &g.quiet, 'v': &g.invert, 'c': &g.count, 'n': &g.number, 'o': &g.only, 's': &g.silent, 'h': &g.unnamed,
				'i': &g.ignore, 'l': &g.names, 'E': &g.extended, 'F': &g.fixed, 'x': &g.whole,
			}[option]
			switch {
			case flag != nil:
				*flag = true
			case option == 'e' && i == len(word)-2 && pattern == nil && l.more():
				pattern = new(l.next())
			default:
				l.unknownWord(word)
			}
		}
	}
	l.take("--")
	if pattern == nil {
		if !l.more() {
			l.unknownWord("grep")
			return action{}
		}
		pattern = new(l.next())
	}
	for l.more() { // options may stand behind, which few know
		g.files = append(g.files, names(l)...)
	}
	if g.extended && g.fixed || g.only && (g.invert || g.count) || g.names && g.count {
		l.unknownWord("grep")
	}
	var ok bool
	if g.pattern, ok = g.compile(*pattern); !ok {
		l.unknownWord(*pattern)
	}
	return action{run: g.run}
}

// compile makes one expression of a pattern, of which each line is an alternative.
func (g grepper) compile(pattern string) (*regexp.Regexp, bool) {
	var alternatives []string
	for one := range strings.SplitSeq(pattern, "\n") {
		switch {
		case g.fixed:
			one = regexp.QuoteMeta(one)
		case !g.extended:
			var ok bool
			if one, ok = extended(one); !ok {
				return nil, false
			}
		case strings.Contains(one, `\`) && !onlyEscapes(one):
			return nil, false
		}
		alternatives = append(alternatives, "("+one+")")
	}
	text := strings.Join(alternatives, "|")
	if g.whole {
		text = "^(" + text + ")$"
	}
	if _, err := regexp.CompilePOSIX(text); err != nil {
		return nil, false
	}
	if g.ignore {
		text = "(?i)" + text
	}
	expression, err := regexp.Compile(text) // which CompilePOSIX cannot ignore case in
	if err != nil {
		return nil, false
	}
	expression.Longest()
	return expression, true
}

// onlyEscapes reports whether all backslashes stand before characters that would mean something.
func onlyEscapes(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' {
			continue
		}
		if i++; i == len(pattern) || !strings.ContainsRune(`\.[]{}()*+?|^$/-`, rune(pattern[i])) {
			return false
		}
	}
	return true
}

// extended makes an extended expression of a basic one, in which braces, brackets and others need a backslash to mean
// something.
func extended(basic string) (string, bool) {
	var b strings.Builder
	start := true // where a star is itself
	for i := 0; i < len(basic); i++ {
		c := basic[i]
		switch {
		case c == '[':
			end := bracketEnd(basic, i)
			if end < 0 || strings.Contains(basic[i:end], `\`) {
				return "", false
			}
			b.WriteString(basic[i:end])
			i = end - 1
		case c == '\\':
			if i++; i == len(basic) {
				return "", false
			}
			switch c = basic[i]; {
			case strings.ContainsRune("(){}+?|", rune(c)):
				b.WriteByte(c)
				start = c == '(' || c == '|'
				continue
			case strings.ContainsRune(`\.[]*^$/-`, rune(c)):
				b.WriteString(regexp.QuoteMeta(string(c)))
			default:
				return "", false
			}
		case c == '*' && start, strings.ContainsRune("(){}+?|", rune(c)), c == '^' && i > 0 && !start, c == '$' && i < len(basic)-1 && basic[i+1] != '\\':
			b.WriteString(regexp.QuoteMeta(string(c)))
		default:
			b.WriteByte(c)
			if start = c == '^' && i == 0; start {
				continue
			}
		}
		start = false
	}
	return b.String(), true
}

// bracketEnd is the place behind a bracket expression, -1 without an end.
func bracketEnd(text string, begin int) int {
	i := begin + 1
	if i < len(text) && text[i] == '^' {
		i++
	}
	if i < len(text) && text[i] == ']' {
		i++
	}
	for i < len(text) {
		switch {
		case strings.HasPrefix(text[i:], "[:"):
			end := strings.Index(text[i:], ":]")
			if end < 0 {
				return -1
			}
			i += end + 2
		case text[i] == ']':
			return i + 1
		default:
			i++
		}
	}
	return -1
}

// errFound ends the reading once it is known that something matches.
var errFound = errors.New("found")

func (g grepper) run(ctx context.Context, c *call) error {
	found := false
	words := "grep: %s"
	if g.silent {
		words = ""
	}
	err := filed(words, g.files, 2, func(ctx context.Context, c *call, name string, from io.Reader) error {
		matches, err := g.file(c, name, from)
		found = found || matches
		return err
	}).run(ctx, c)
	switch {
	case errors.Is(err, errFound), found && g.quiet:
		return nil
	case err != nil:
		return err
	case !found:
		return &failure{status: 1}
	}
	return nil
}

func (g grepper) file(c *call, name string, from io.Reader) (found bool, err error) {
	prefix := ""
	if len(g.files) > 1 && !g.unnamed {
		prefix = strings.Replace(name, "-", "(standard input)", bitOf(name == "-")) + ":"
	}
	matched := 0
	in := lines(from)
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSuffix(in.Text(), "\n")
		if g.pattern.MatchString(text) == g.invert {
			continue
		}
		matched++
		switch {
		case g.quiet:
			return true, errFound
		case g.names:
			_, err := fmt.Fprintln(c.Stdout, strings.Replace(name, "-", "(standard input)", bitOf(name == "-")))
			return true, err
		case g.count:
		default:
			if err := g.print(c, prefix, n, text); err != nil {
				return true, err
			}
		}
	}
	if g.count {
		_, err = fmt.Fprintf(c.Stdout, "%s%d\n", prefix, matched)
	}
	return matched > 0, errors.Join(err, in.Err())
}

func bitOf(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (g grepper) print(c *call, prefix string, n int, text string) error {
	if g.number {
		prefix += fmt.Sprintf("%d:", n)
	}
	parts := []string{text}
	if g.only {
		parts = g.pattern.FindAllString(text, -1)
	}
	for _, part := range parts {
		if g.only && part == "" {
			continue
		}
		if _, err := fmt.Fprintln(c.Stdout, prefix+part); err != nil {
			return err
		}
	}
	return nil
}
