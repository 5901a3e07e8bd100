package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
)

// parseTr reads "tr SET1 SET2", "tr -d SET" and "tr -s SET" with sets of single bytes and ranges.
func parseTr(l *line) action {
	remove := l.take("-d")
	squeeze := !remove && l.take("-s")
	from := parseSet(l)
	var to []byte
	if !remove && !squeeze {
		to = parseSet(l)
	}
	return action{run: func(_ context.Context, c *call) error {
		in, out := bufio.NewReader(c.Stdin), bufio.NewWriter(c.Stdout)
		last := -1
		for {
			b, err := in.ReadByte()
			if err == io.EOF {
				return out.Flush()
			}
			if err != nil {
				return errors.Join(err, out.Flush())
			}
			at := bytes.LastIndexByte(from, b)
			switch {
			case at >= 0 && to != nil:
				b = to[min(at, len(to)-1)]
			case at >= 0 && (remove || last == int(b)):
				continue
			}
			last = int(b)
			out.WriteByte(b)
		}
	}}
}

// parseSet takes a set of bytes, in which only ranges and \n, \t and \\ are special.
func parseSet(l *line) (set []byte) {
	if !l.more() {
		l.unknown()
	}
	word := l.next()
	if word == "" {
		l.unknown()
	}
	text := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, "\x00").Replace(word)
	if strings.ContainsAny(text, `[\`) || strings.HasPrefix(text, "-") {
		l.unknownWord(word)
	}
	text = strings.ReplaceAll(text, "\x00", `\`)
	for i := 0; i < len(text); i++ {
		set = append(set, text[i])
		if i+2 < len(text) && text[i+1] == '-' {
			if text[i+2] < text[i] {
				l.unknownWord(word)
			}
			for b := int(text[i]) + 1; b <= int(text[i+2]); b++ {
				set = append(set, byte(b))
			}
			i += 2
		}
	}
	return set
}
