package command

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// parseCat reads "cat" of attributes of links. The kernel is asked for them: the files in /sys are those of the network
// namespace that /sys was mounted in, which need not be this one.
func parseCat(l *line) action {
	if !strings.HasPrefix(path.Clean(l.peek()), "/sys") {
		return parseCatFiles(l)
	}
	var files []string
	for l.more() {
		file := path.Clean(l.peek())
		if ok, _ := path.Match("/sys/class/net/*/*", file); !ok || linkAttribute(kernel.Link{}, path.Base(file)) == "" {
			l.unknown()
			break
		}
		files = append(files, l.next())
	}
	return action{run: func(ctx context.Context, c *call) error {
		var missing []string
		for _, file := range files {
			err := catAttribute(ctx, c, file)
			if errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, "cat: "+file+": No such file or directory")
			} else if err != nil {
				return err
			}
		}
		return failures(missing)
	}}
}

// failures is one failure for several files, nil for none.
func failures(texts []string) error {
	if texts == nil {
		return nil
	}
	return &failure{text: strings.Join(texts, "\n"), status: 1}
}

func catAttribute(ctx context.Context, c *call, file string) error {
	link, err := findLink(ctx, c, path.Base(path.Dir(path.Clean(file))))
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.Stdout, linkAttribute(link, path.Base(path.Clean(file))))
	return err
}

// linkAttribute is the content of a link's file in /sys, "" for files that are not known here.
func linkAttribute(link kernel.Link, file string) string {
	switch file {
	case "address":
		return string(link.Address) + "\n"
	case "mtu":
		return fmt.Sprintln(link.MTU)
	case "ifindex":
		return fmt.Sprintln(link.Index)
	case "operstate":
		return link.Operstate + "\n"
	}
	return ""
}

func parseTee(l *line) action {
	flag := os.O_TRUNC
	if l.take("-a", "--append") {
		flag = os.O_APPEND
	}
	files := operands(l)
	return action{run: func(ctx context.Context, c *call) error {
		var closed []string
		to := []io.Writer{c.Stdout}
		for _, name := range files {
			f, err := os.OpenFile(c.path(name), os.O_WRONLY|os.O_CREATE|flag, 0o666)
			if err != nil {
				closed = append(closed, fileFailure("tee: "+name, err).text)
				continue
			}
			defer f.Close()
			to = append(to, f)
		}
		_, err := io.Copy(io.MultiWriter(to...), c.Stdin)
		return errors.Join(failures(closed), err)
	}}
}

// path is a file's name as seen from the hook's directory.
func (c *call) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.Dir, name)
}

// foreign reports whether a file's name means something else to this process than to a program that a hook starts.
func foreign(name string) bool {
	return strings.HasPrefix(name, "/dev/") && name != "/dev/null" || strings.HasPrefix(name, "/proc/")
}

// operands takes the rest of the line, which are names of files.
func operands(l *line) (names []string) {
	for l.more() {
		if strings.HasPrefix(l.peek(), "-") || foreign(l.peek()) {
			l.unknown()
			break
		}
		names = append(names, l.next())
	}
	return names
}

// longestLine is what the text tools bear in a line, in bytes. Nothing that a hook reads is longer.
const longestLine = 1 << 20

// lines reads lines with their ends, of which the last may have none.
func lines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(nil, longestLine)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i+1], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	return s
}

// parseHead reads "head [-n N] [FILE]" and "head -c N [FILE]".
func parseHead(l *line) action {
	p := parseAmount(l)
	if p.from {
		l.unknownWord("+")
	}
	return filed("head: cannot open '%s' for reading", oneFile(l), 1, func(_ context.Context, c *call, _ string, from io.Reader) error {
		if p.bytes {
			_, err := io.Copy(c.Stdout, io.LimitReader(from, int64(p.n)))
			return err
		}
		in := lines(from)
		for i := 0; i < p.n && in.Scan(); i++ {
			if _, err := c.Stdout.Write(in.Bytes()); err != nil {
				return err
			}
		}
		return in.Err()
	})
}

// parseTail reads "tail [-n N] [FILE]", "tail -n +N [FILE]" and "tail -c N [FILE]".
func parseTail(l *line) action {
	p := parseAmount(l)
	return filed("tail: cannot open '%s' for reading", oneFile(l), 1, func(_ context.Context, c *call, _ string, from io.Reader) error {
		switch {
		case p.bytes:
			return tailBytes(c.Stdout, from, p.n)
		case p.from:
			in := lines(from)
			for i := 1; in.Scan(); i++ {
				if i < p.n {
					continue
				}
				if _, err := c.Stdout.Write(in.Bytes()); err != nil {
					return err
				}
			}
			return in.Err()
		}
		var last []string
		in := lines(from)
		for in.Scan() {
			if last = append(last, in.Text()); len(last) > p.n {
				last = last[1:]
			}
		}
		_, err := io.WriteString(c.Stdout, strings.Join(last, ""))
		return errors.Join(in.Err(), err)
	})
}

func tailBytes(to io.Writer, from io.Reader, n int) error {
	var last []byte
	buffer := make([]byte, 1<<15)
	for {
		got, err := from.Read(buffer)
		last = append(last, buffer[:got]...)
		last = last[max(0, len(last)-n):]
		if err == io.EOF {
			_, err = to.Write(last)
			return err
		}
		if err != nil {
			return err
		}
	}
}

// oneFile takes the name of a file, if there is one. Of several, the tools print the names.
func oneFile(l *line) []string {
	files := names(l)
	if len(files) > 0 && strings.HasPrefix(files[0], "+") { // an amount, in the old way
		l.unknownWord(files[0])
	}
	if len(files) > 1 {
		l.unknownWord(files[1])
	}
	return files
}

// An amount is how much of a text is meant.
type amount struct {
	n     int
	bytes bool
	from  bool // all from the nth on
}

// mostBytes is the largest amount in bytes that is answered here.
const mostBytes = 1 << 20

// parseAmount takes "-n N", "-nN", "-N" or "-c N", where N is a number, and before it in "-n +N" a plus.
func parseAmount(l *line) amount {
	p := amount{n: 10}
	word := l.peek()
	if !strings.HasPrefix(word, "-") || word == "-" {
		return p
	}
	l.next()
	text := word[1:]
	switch {
	case strings.HasPrefix(text, "n"):
		text = text[1:]
	case strings.HasPrefix(text, "c"):
		text, p.bytes = text[1:], true
	}
	if text == "" && l.more() {
		text = l.next()
	}
	rest, from := strings.CutPrefix(text, "+")
	p.from = from && !p.bytes
	most := uint64(math.MaxInt32)
	if p.bytes {
		most = mostBytes
	}
	var ok bool
	if p.n, ok = decimal(rest, most); !ok || from && p.bytes || from && text == word[1:] {
		l.unknownWord(word)
	}
	return p
}
