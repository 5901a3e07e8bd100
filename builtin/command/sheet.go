package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A layout is how a tool is asked to print.
type layout struct {
	oneLine bool // each object on a line of its own, its lines joined by backslashes
	brief   bool // in columns, the important things only
	json    bool
	pretty  bool // JSON with indentation
	details bool // all that is known
	stats   int  // counters; 2 for kinds of errors as well
	numbers bool // no names for numbers

	compress bool // VLANs of which each is the next of the one before as a range
}

// A sheet is what a question is answered with, as text or as JSON. Whoever fills it in says each thing once: what JSON calls
// it, what it is, and how the text has it.
type sheet struct {
	layout
	w     *bufio.Writer
	depth int
	first bool // nothing stands yet in the array or object that is open
}

// answered is the action of a question. Nothing is printed when it fails. JSON is one array.
func answered(as layout, question func(context.Context, *call, *sheet) error) action {
	return action{run: func(ctx context.Context, c *call) error {
		var text strings.Builder
		s := &sheet{layout: as, w: bufio.NewWriterSize(&text, 1<<12), first: true}
		var err error
		s.array("", "", func() { err = question(ctx, c, s) })
		if as.json {
			s.w.WriteByte('\n')
		}
		if err != nil {
			return err
		}
		s.w.Flush()
		_, err = io.WriteString(c.Stdout, text.String())
		return err
	}}
}

// text prints what JSON does not have.
func (s *sheet) text(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.w, format, args...)
	}
}

// say prints one thing. In JSON a key of "" is one of an array, and in a text without a format there is nothing of it.
func (s *sheet) say(key string, value any, format string) {
	switch {
	case s.json:
		s.name(key)
		s.value(value)
	case strings.Contains(format, "%"):
		fmt.Fprintf(s.w, format, value)
	default:
		s.w.WriteString(format)
	}
}

// key prints what is in JSON alone.
func (s *sheet) key(key string, value any) {
	if s.json {
		s.say(key, value, "")
	}
}

// end is what separates the lines of one object.
func (as layout) end() string {
	if as.oneLine {
		return "\\"
	}
	return "\n"
}

// object prints an object of JSON around what f prints.
func (s *sheet) object(key string, f func()) { s.around(key, "{", "}", f) }

// array prints an array of JSON around what f prints, whose text begins as it says.
func (s *sheet) array(key, text string, f func()) {
	s.text("%s", text)
	s.around(key, "[", "]", f)
}

func (s *sheet) around(key, begin, end string, f func()) {
	if !s.json {
		f()
		return
	}
	s.name(key)
	s.w.WriteString(begin)
	if s.pretty && begin == "[" {
		s.w.WriteByte(' ')
	}
	s.depth, s.first = s.depth+1, true
	f()
	s.depth--
	switch {
	case s.first || !s.pretty:
	case begin == "[":
		s.w.WriteByte(' ')
	default:
		s.newLine()
	}
	s.first = false
	s.w.WriteString(end)
}

// name begins a value of JSON.
func (s *sheet) name(key string) {
	if !s.first {
		s.w.WriteByte(',')
	}
	s.first = false
	if key == "" {
		return
	}
	if s.pretty {
		s.newLine()
	}
	s.quote(key)
	s.w.WriteByte(':')
	if s.pretty {
		s.w.WriteByte(' ')
	}
}

func (s *sheet) newLine() { s.w.WriteString("\n" + strings.Repeat("    ", s.depth)) }

// A literal is a value of JSON in iproute2's own spelling.
type literal string

func (s *sheet) value(value any) {
	switch v := value.(type) {
	case string:
		s.quote(v)
	case fmt.Stringer:
		s.quote(v.String())
	case literal:
		s.w.WriteString(string(v))
	case nil:
		s.w.WriteString("null")
	default:
		fmt.Fprint(s.w, v)
	}
}

// escapes are those of iproute2's JSON. Other bytes stand for themselves.
var escapes = strings.NewReplacer("\t", `\t`, "\n", `\n`, "\r", `\r`, "\f", `\f`, "\b", `\b`, `\`, `\\`, `"`, `\"`)

func (s *sheet) quote(text string) {
	s.w.WriteByte('"')
	escapes.WriteString(s.w, text)
	s.w.WriteByte('"')
}

// flag prints a thing that is there or not: true in JSON, a word in a text.
func (s *sheet) flag(is bool, key, text string) {
	if is {
		s.say(key, true, text)
	}
}

// number prints the number that a text is, with the text's own spelling.
func (s *sheet) number(key, digits, format string) {
	if _, err := strconv.ParseUint(digits, 10, 64); err == nil {
		s.say(key, literal(digits), format)
	}
}

// list prints words: an array in JSON, joined by a separator between two brackets in a text.
func (s *sheet) list(key, begin, separator, end string, words []string) {
	if !s.json {
		s.text("%s%s%s", begin, strings.Join(words, separator), end)
		return
	}
	s.array(key, "", func() {
		for _, word := range words {
			s.say("", word, "")
		}
	})
}

// printed is the action of a question that is answered with a text.
func printed(question func(context.Context, *call, io.Writer) error) action {
	return answered(layout{}, func(ctx context.Context, c *call, s *sheet) error { return question(ctx, c, s.w) })
}
