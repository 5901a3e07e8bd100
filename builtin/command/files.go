package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// filed is the action of a text tool that reads files, or stdin when there are none. Every file is opened before anything is
// read; each that cannot be is told of, in the tool's words, and ends the tool with the status when the others are read. Without words
// nothing is told.
func filed(words string, names []string, status int, read func(ctx context.Context, c *call, name string, from io.Reader) error) action {
	if len(names) == 0 {
		names = []string{"-"}
	}
	return action{run: func(ctx context.Context, c *call) error {
		var failed error
		for _, name := range names {
			if c.special(name) {
				return unknown(name)
			}
		}
		for _, name := range names {
			err := c.reading(ctx, name, func(from io.Reader) error { return read(ctx, c, name, from) })
			if refused, ok := errors.AsType[*fs.PathError](err); ok {
				if words != "" {
					fmt.Fprintln(c.Stderr, fileFailure(fmt.Sprintf(words, name), refused).text)
				}
				failed = &failure{status: exit(status), cause: err}
			} else if err != nil {
				return err
			}
		}
		return failed
	}}
}

// reading calls read with what is in a file, or with stdin for "-".
func (c *call) reading(ctx context.Context, name string, read func(io.Reader) error) error {
	if name == "-" {
		return read(c.Stdin)
	}
	f, err := os.Open(c.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return read(stoppable{ctx, f})
}

// special reports whether a name is of something that could not be read here as it is by a program: a named pipe, for which
// one waits, or the program's own streams.
func (c *call) special(name string) bool {
	if foreign(name) || strings.HasPrefix(filepath.Clean(name), "/sys") {
		return true
	}
	info, err := os.Stat(c.path(name))
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0 && name != os.DevNull
}

// names takes the rest of the line, which are names of files. "-" is stdin.
func names(l *line) (list []string) {
	l.take("--")
	for l.more() {
		if strings.HasPrefix(l.peek(), "-") && l.peek() != "-" || l.peek() == "" {
			l.unknown()
		}
		list = append(list, l.next())
	}
	return list
}

// parseCatFiles reads "cat" of files.
func parseCatFiles(l *line) action {
	return filed("cat: %s", names(l), 1, func(_ context.Context, c *call, _ string, from io.Reader) error {
		_, err := io.Copy(c.Stdout, from)
		return err
	})
}

// parseLS reads "ls" of files and directories, one name a line.
func parseLS(l *line) action {
	l.take("-1")
	files := names(l)
	if len(files) == 0 {
		files = []string{"."}
	}
	slices.Sort(files)
	return action{run: func(ctx context.Context, c *call) error { return listFiles(c, files) }}
}

func listFiles(c *call, files []string) error {
	var plain, dirs []string
	var failed error
	for _, name := range files {
		info, err := os.Stat(c.path(name))
		if err != nil {
			info, err = os.Lstat(c.path(name))
		}
		switch {
		case err != nil:
			fmt.Fprintln(c.Stderr, fileFailure(fmt.Sprintf("ls: cannot access '%s'", name), err).text)
			failed = &failure{status: 2, cause: err}
		case info.IsDir():
			dirs = append(dirs, name)
		default:
			plain = append(plain, name)
		}
	}
	var text strings.Builder
	for _, name := range plain {
		fmt.Fprintln(&text, name)
	}
	for i, dir := range dirs {
		entries, err := os.ReadDir(c.path(dir))
		if err != nil {
			fmt.Fprintln(c.Stderr, fileFailure(fmt.Sprintf("ls: cannot open directory '%s'", dir), err).text)
			failed = &failure{status: 2, cause: err}
			continue
		}
		if len(files) > 1 {
			if i > 0 || len(plain) > 0 {
				fmt.Fprintln(&text)
			}
			fmt.Fprintf(&text, "%s:\n", dir)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				fmt.Fprintln(&text, e.Name())
			}
		}
	}
	_, err := io.WriteString(c.Stdout, text.String())
	return errors.Join(failed, err)
}

// parseBasename reads "basename NAME [SUFFIX]".
func parseBasename(l *line) action {
	words := names(l)
	if len(words) == 0 || len(words) > 2 {
		l.unknownWord("basename")
		return action{}
	}
	base := filepath.Base(words[0])
	if len(words) == 2 && base != words[1] {
		base = strings.TrimSuffix(base, words[1])
	}
	return saying(base)
}

// parseDirname reads "dirname NAME…".
func parseDirname(l *line) action {
	words := names(l)
	if len(words) == 0 {
		l.unknownWord("dirname")
	}
	for i, word := range words {
		trimmed := strings.TrimRight(word, "/")
		switch at := strings.LastIndex(trimmed, "/"); {
		case trimmed == "":
			words[i] = "/"
		case at < 0:
			words[i] = "."
		default:
			if words[i] = strings.TrimRight(trimmed[:at], "/"); words[i] == "" {
				words[i] = "/"
			}
		}
	}
	return saying(strings.Join(words, "\n"))
}

// saying is the action of saying a line.
func saying(text string) action {
	return action{run: func(_ context.Context, c *call) error {
		_, err := fmt.Fprintln(c.Stdout, text)
		return err
	}}
}
