package command

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// parseSleep reads "sleep TIME…".
func parseSleep(l *line) action {
	var total time.Duration
	if !l.more() {
		l.fail(1, "sleep: missing operand\nTry 'sleep --help' for more information.")
	}
	for l.more() {
		word := l.next()
		if strings.HasPrefix(word, "-") || l.more() && strings.Trim(word, "0123456789.smhd") != "" { // each of several wrong ones is told of
			l.unknownWord(word)
		}
		digits, unit := word, time.Second
		if n := len(word); n > 0 {
			if u, ok := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[word[n-1]]; ok {
				digits, unit = word[:n-1], u
			}
		}
		seconds, err := strconv.ParseFloat(digits, 64)
		switch {
		case strings.Trim(digits, "0123456789.") != "": // C knows more ways to write numbers
			if digits == "" || !strings.ContainsAny(digits[:1], "0123456789.+iInN") {
				l.fail(1, "sleep: invalid time interval '%s'\nTry 'sleep --help' for more information.", word)
			}
			l.unknownWord(word)
		case err != nil:
			l.fail(1, "sleep: invalid time interval '%s'\nTry 'sleep --help' for more information.", word)
		}
		total += time.Duration(min(seconds*float64(unit), float64(1<<62)))
	}
	return action{run: func(ctx context.Context, c *call) error {
		timer := time.NewTimer(total)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// dateForms are the letters of date's formats as Go spells the same.
var dateForms = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06",
	'y': "06", 'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'e': "_2", 'Z': "MST", 'z': "-0700", 'R': "15:04",
	'p': "PM", 'I': "03", 'j': "002",
}

// parseDate reads "date [-u] [+FORMAT]".
func parseDate(l *line) action {
	zone := time.Local
	if l.take("-u", "--utc", "--universal") {
		zone = time.UTC
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	if l.more() {
		word := l.next()
		var ok bool
		if format, ok = strings.CutPrefix(word, "+"); !ok {
			l.unknownWord(word)
		}
	}
	if _, ok := formatDate(format, time.Time{}); !ok {
		l.unknownWord("+" + format)
	}
	return action{run: func(_ context.Context, c *call) error {
		text, _ := formatDate(format, time.Now().In(zone))
		_, err := fmt.Fprintln(c.Stdout, text)
		return err
	}}
}

func formatDate(format string, t time.Time) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) {
			return "", false
		}
		form, known := dateForms[format[i]]
		switch {
		case known:
			b.WriteString(t.Format(form))
		case format[i] == 's':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		case format[i] == 'N':
			fmt.Fprintf(&b, "%09d", t.Nanosecond())
		case format[i] == 'n':
			b.WriteByte('\n')
		case format[i] == 't':
			b.WriteByte('\t')
		case format[i] == '%':
			b.WriteByte('%')
		default:
			return "", false
		}
	}
	return b.String(), true
}

// parseHostname reads "hostname" and "hostname -s".
func parseHostname(l *line) action {
	short := l.take("-s", "--short")
	return action{run: func(_ context.Context, c *call) error {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		if short {
			name, _, _ = strings.Cut(name, ".")
		}
		_, err = fmt.Fprintln(c.Stdout, name)
		return err
	}}
}
