package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

// A cutter is a cut command: which pieces of each line stay.
type cutter struct {
	ranges    []span
	delimiter []byte // of fields; nil for bytes
	delimited bool   // leave out lines without one
	files     []string
}

// A span is a range of pieces, counted from 1, both ends inside.
type span struct{ first, last int }

func parseCut(l *line) action {
	c := cutter{}
	var fields, bytes, delimiter string
	for l.more() {
		switch {
		case flagValue(l, "-d", &delimiter), flagValue(l, "-f", &fields):
		case flagValue(l, "-c", &bytes), flagValue(l, "-b", &bytes):
		case l.take("-s"):
			c.delimited = true
		default:
			c.files = names(l)
		}
	}
	switch {
	case (fields == "") == (bytes == ""), bytes != "" && delimiter != "", len(delimiter) > 1:
		l.unknownWord("cut")
	case fields != "":
		c.delimiter = []byte("\t")
		if delimiter != "" {
			c.delimiter = []byte(delimiter)
		}
	}
	var ok bool
	if c.ranges, ok = parseSpans(fields + bytes); !ok {
		l.unknownWord(fields + bytes)
	}
	if c.delimited && fields == "" {
		l.unknownWord("-s")
	}
	return filed("cut: %s", c.files, 1, c.run)
}

// flagValue takes an option with its value, in the same word or in the next.
func flagValue(l *line, name string, value *string) bool {
	switch {
	case !strings.HasPrefix(l.peek(), name), *value != "": // once only
		return false
	case l.peek() != name:
		*value = strings.TrimPrefix(l.next(), name)
	case len(l.words) > 1:
		l.next()
		*value = l.next()
	default:
		return false
	}
	return true
}

// parseSpans reads a list such as "1,3-5,7-".
func parseSpans(text string) (spans []span, ok bool) {
	for item := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(item, "-")
		s := span{1, math.MaxInt}
		var errFirst, errLast error
		if first != "" {
			s.first, errFirst = strconv.Atoi(first)
		}
		if last != "" {
			s.last, errLast = strconv.Atoi(last)
		}
		if !isRange {
			s.last = s.first
		}
		if errors.Join(errFirst, errLast) != nil || first+last == "" || s.first < 1 || s.last < s.first {
			return nil, false
		}
		spans = append(spans, s)
	}
	return spans, true
}

func (c cutter) run(_ context.Context, to *call, _ string, from io.Reader) error {
	in, out := lines(from), bufio.NewWriter(to.Stdout)
	for in.Scan() {
		c.cut(out, bytes.TrimSuffix(in.Bytes(), []byte("\n")))
	}
	return errors.Join(in.Err(), out.Flush())
}

func (c cutter) cut(out *bufio.Writer, text []byte) {
	if c.delimited && !bytes.Contains(text, c.delimiter) {
		return
	}
	defer out.WriteByte('\n')
	if c.delimiter == nil {
		for i, b := range text {
			if c.keeps(i + 1) {
				out.WriteByte(b)
			}
		}
		return
	}
	pieces := bytes.Split(text, c.delimiter)
	if len(pieces) == 1 {
		out.Write(text)
		return
	}
	separator := []byte(nil)
	for i, piece := range pieces {
		if c.keeps(i + 1) {
			out.Write(separator)
			out.Write(piece)
			separator = c.delimiter
		}
	}
}

func (c cutter) keeps(n int) bool {
	for _, s := range c.ranges {
		if s.first <= n && n <= s.last {
			return true
		}
	}
	return false
}
