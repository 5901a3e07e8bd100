package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// maxBatch is the longest file of command lines, in bytes.
const maxBatch = 16 << 20

// A batch is a file of command lines of one tool, all of which are read before any is carried out.
type batch struct {
	file  string   // "-" is stdin
	force bool     // go on after a line that failed
	argv  []string // of the batch, up to its lines: the tool and its options
}

// A batchLine is one line of a batch: its number, its words, and what it means or why it means nothing.
type batchLine struct {
	number int
	words  []string
	action
	err error
}

// parseBatch takes the name of the file, which ends the line. Each line of the file is a command line with the options of
// the batch, and is handed on alone when it is not known.
func parseBatch(l *line, b batch, grammar func(*line) action) action {
	if b.file = l.next(); b.file != "-" && foreign(b.file) || b.file == "" {
		l.unknownWord(b.file)
	}
	options := line{family: l.family, layout: l.layout}
	return action{run: func(ctx context.Context, c *call) error {
		text, err := b.read(c)
		if err != nil {
			return err
		}
		var steps []batchLine
		for i, words := range batchLines(text) {
			if len(words) == 0 {
				continue
			}
			one := options
			one.words = words
			if strings.HasPrefix(words[0], "-") { // options are for the whole batch
				f := &failure{text: fmt.Sprintf("Object %q is unknown, try \"%s help\".", words[0], b.argv[0]), status: 1}
				steps = append(steps, batchLine{number: i + 1, action: action{run: func(context.Context, *call) error { return f }}})
				continue
			}
			a := grammar(&one)
			if one.err == nil && len(one.words) > 0 {
				one.unknown()
			}
			if word, ok := errors.AsType[unknown](one.err); ok && !c.installed(b.argv[0]) {
				return word // before anything is done
			}
			steps = append(steps, batchLine{i + 1, words, a, one.err})
		}
		return b.carryOut(ctx, c, steps)
	}}
}

func (b batch) read(c *call) (string, error) {
	from := c.Stdin
	if b.file != "-" {
		f, err := c.open(c.path(b.file))
		if err != nil {
			return "", fileFailure(fmt.Sprintf("Cannot open file %q for reading", b.file), err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxBatch))
	return string(text), err
}

// carryOut does the lines in their order. A line that makes no sense ends the batch. One that fails otherwise does so
// unless the batch is to go on.
func (b batch) carryOut(ctx context.Context, c *call, steps []batchLine) error {
	var failed error
	for _, s := range steps {
		err := s.err
		exits := err != nil && strings.HasPrefix(err.Error(), "Error: ") && !strings.HasPrefix(err.Error(), "Error: argument of ")
		if err == nil {
			err = c.tool.explain(s.carryOut(ctx, c), s.action)
		}
		if _, ok := errors.AsType[unknown](err); ok {
			err, exits = c.next(ctx, slices.Concat(b.argv, s.words)), false
		} else if f, ok := errors.AsType[*failure](err); ok {
			fmt.Fprintln(c.Stderr, f.text)
		}
		exits = exits || refusedNeighbour(s.words, err)
		status, ok := errors.AsType[interp.ExitStatus](err)
		switch {
		case err == nil:
			continue
		case !ok:
			return err
		case status == statusUsage || exits:
			return &failure{status: status, cause: err}
		}
		fmt.Fprintf(c.Stderr, "Command failed %s:%d\n", b.file, s.number)
		if failed = (&failure{status: 1, cause: err}); !b.force {
			break
		}
	}
	return failed
}

// refusedNeighbour reports whether the kernel refused a neighbour, which ends ip where other refusals do not.
func refusedNeighbour(words []string, err error) bool {
	status, _ := errors.AsType[interp.ExitStatus](err)
	if status != 2 || len(words) < 2 {
		return false
	}
	begins := func(word string, with ...string) bool {
		return slices.ContainsFunc(with, func(w string) bool { return strings.HasPrefix(w, word) })
	}
	return begins(words[0], "neighbour", "neighbor") && !begins(words[1], "show", "list", "lst", "flush", "get")
}

// batchLines splits a text into the words of its lines, as iproute2 does: quotes hold a word together, a number sign
// begins a comment, and a backslash at its end joins a line with the next.
func batchLines(text string) (lines [][]string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " \x00"), "\n") {
		joined := strings.Count(line, "\x00")
		line, _, _ = strings.Cut(strings.ReplaceAll(line, "\x00", ""), "#")
		for range joined { // so that lines keep their numbers
			lines = append(lines, nil)
		}
		lines = append(lines, batchWords(line))
	}
	return lines
}

func batchWords(line string) (words []string) {
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		if line == "" {
			return words
		}
		if quote := line[:1]; quote == `"` || quote == "'" {
			word, rest, _ := strings.Cut(line[1:], quote)
			words, line = append(words, word), rest
			continue
		}
		end := strings.IndexAny(line, " \t\r\n")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
}
