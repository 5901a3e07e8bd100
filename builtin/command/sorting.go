package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// mostText is what sort and uniq bear, in bytes.
const mostText = 16 << 20

// parseSort reads "sort [-r] [-u]" of bytes, as LANG=C has it.
func parseSort(l *line) action {
	reverse, unique := false, false
	for l.more() && strings.HasPrefix(l.peek(), "-") && l.peek() != "-" {
		switch l.next() {
		case "-r":
			reverse = true
		case "-u":
			unique = true
		case "-ru", "-ur":
			reverse, unique = true, true
		default:
			l.unknownWord("sort")
		}
	}
	var all []string
	files := names(l)
	a := filed("sort: cannot read: %s", files, 2, func(_ context.Context, c *call, _ string, from io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(from, mostText))
		for one := range strings.Lines(string(text)) {
			all = append(all, strings.TrimSuffix(one, "\n"))
		}
		return err
	})
	return action{run: func(ctx context.Context, c *call) error {
		for _, name := range files { // sort tells of the first file that it lacks, and says nothing else
			if _, err := os.Stat(c.path(name)); err != nil && name != "-" {
				return &failure{text: fileFailure("sort: cannot read: "+name, err).text, status: 2, cause: err}
			}
		}
		if err := a.run(ctx, c); err != nil {
			return err
		}
		slices.Sort(all)
		if unique {
			all = slices.Compact(all)
		}
		if reverse {
			slices.Reverse(all)
		}
		_, err := io.WriteString(c.Stdout, joined(all))
		return err
	}}
}

// joined is a text of lines, each with its end.
func joined(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// parseUniq reads "uniq" and "uniq -c" of stdin.
func parseUniq(l *line) action {
	count := l.take("-c")
	return action{run: func(_ context.Context, c *call) error {
		in := lines(c.Stdin)
		last, times := "", 0
		flush := func() error {
			if times == 0 {
				return nil
			}
			format := "%[2]s\n"
			if count {
				format = "%7d %s\n"
			}
			_, err := fmt.Fprintf(c.Stdout, format, times, last)
			return err
		}
		for in.Scan() {
			text := strings.TrimSuffix(in.Text(), "\n")
			if times > 0 && text != last {
				if err := flush(); err != nil {
					return err
				}
				times = 0
			}
			last = text
			times++
		}
		if err := in.Err(); err != nil {
			return err
		}
		return flush()
	}}
}

// parseWC reads "wc" with one of -l, -w and -c, of stdin or one file.
func parseWC(l *line) action {
	what := ""
	if l.more() {
		what = l.next()
	}
	if what != "-l" && what != "-w" && what != "-c" {
		l.unknownWord(what)
	}
	files := names(l)
	if len(files) > 1 {
		l.unknownWord(files[1])
	}
	return filed("wc: %s", files, 1, func(_ context.Context, c *call, name string, from io.Reader) error {
		n, err := countOf(what, from)
		if err != nil {
			return err
		}
		suffix := ""
		if len(files) > 0 {
			suffix = " " + name
		}
		_, err = fmt.Fprintf(c.Stdout, "%d%s\n", n, suffix)
		return err
	})
}

// countOf counts lines, words or bytes.
func countOf(what string, from io.Reader) (n int, err error) {
	buffer := make([]byte, 1<<15)
	inside := false
	for {
		got, err := from.Read(buffer)
		for _, b := range buffer[:got] {
			space := b == ' ' || '\t' <= b && b <= '\r'
			switch {
			case what == "-c", what == "-l" && b == '\n', what == "-w" && !space && !inside:
				n++
			}
			inside = !space
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
