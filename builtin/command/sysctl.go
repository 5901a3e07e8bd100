package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A sysctlCall is a sysctl command: what it prints, and the settings that it asks for or sets.
type sysctlCall struct {
	values, names, quiet, ignore, raw bool
	settings                          []sysctlSetting
}

// A sysctlSetting is asked for, or set when it has a value.
type sysctlSetting struct {
	name  string // as it was spelled
	value *string
}

func parseSysctl(l *line) action {
	var s sysctlCall
	write := false
	for l.more() {
		word := l.next()
		if options, ok := strings.CutPrefix(word, "-"); ok && options != "" {
			for _, option := range options {
				switch option {
				case 'n':
					s.values = true
				case 'N':
					s.names = true
				case 'q':
					s.quiet = true
				case 'e':
					s.ignore = true
				case 'b':
					s.values, s.raw = true, true
				case 'w':
					write = true
				default:
					l.unknownWord(word)
				}
			}
			continue
		}
		name, value, sets := strings.Cut(word, "=")
		one := sysctlSetting{name: strings.TrimSpace(name)}
		if sets {
			one.value = new(strings.TrimSpace(value))
		}
		if !sets && write || !kernelSetting(one.name) { // a list, a pattern, or what sysctl complains of
			l.unknownWord(word)
		}
		s.settings = append(s.settings, one)
	}
	if s.settings == nil || s.names && s.values {
		l.unknownWord("sysctl")
	}
	return action{run: s.run}
}

// kernelSetting reports whether the name is that of one sysctlSetting of the network.
func kernelSetting(name string) bool {
	file := kernel.SysctlName(name)
	return strings.HasPrefix(file, "net/") && !strings.ContainsAny(file, "*?[ \\") && !strings.HasSuffix(file, "/") && file != "net/"
}

func (s sysctlCall) run(ctx context.Context, c *call) error {
	for _, one := range s.settings { // before anything is done
		if _, err := list(ctx, c, kernel.Sysctl{Name: kernel.SysctlName(one.name)}); errors.Is(err, syscall.EISDIR) {
			return unknown(one.name) // all settings below
		}
	}
	failed := 0
	for _, one := range s.settings {
		err := s.one(ctx, c, one)
		if f, ok := err.(*failure); ok {
			io.WriteString(c.Stderr, f.text)
			if one.value != nil { // which procps does not count
				failed |= 1
			} else {
				failed++
			}
		} else if err != nil {
			return err
		}
	}
	if failed > 0 {
		return &failure{status: interp.ExitStatus(failed)}
	}
	return nil
}

func (s sysctlCall) one(ctx context.Context, c *call, one sysctlSetting) error {
	file := kernel.SysctlName(one.name)
	have, err := list(ctx, c, kernel.Sysctl{Name: file})
	if err != nil {
		return err
	}
	if len(have) == 0 {
		if s.ignore {
			return nil
		}
		return &failure{text: fmt.Sprintf("sysctl: cannot stat /proc/sys/%s: No such file or directory\n", file)}
	}
	value := have[0].Value
	if one.value != nil {
		value = *one.value
		err := c.kernel.Do(ctx, kernel.Op{Verb: kernel.Set, Object: kernel.Sysctl{Name: file, Value: value}})
		if refused, ok := errors.AsType[*kernel.OpError](err); ok {
			return &failure{text: fmt.Sprintf("sysctl: setting key %q: %s\n", one.name, cause(refused)), cause: err}
		}
		if err != nil {
			return err
		}
	}
	return s.print(c, one, file, value)
}

func (s sysctlCall) print(c *call, one sysctlSetting, file, value string) error {
	name := strings.NewReplacer("/", ".", ".", "/").Replace(file)
	if one.value == nil {
		value = tabbed(value)
	}
	var err error
	switch {
	case s.quiet && one.value != nil:
	case s.names && one.value != nil: // as procps has it
		_, err = fmt.Fprintln(c.Stdout, value)
	case s.names:
		_, err = fmt.Fprintln(c.Stdout, name)
	case s.raw:
		_, err = io.WriteString(c.Stdout, value)
	case s.values:
		_, err = fmt.Fprintln(c.Stdout, value)
	default:
		_, err = fmt.Fprintf(c.Stdout, "%s = %s\n", name, value)
	}
	return err
}

// tabbed is a value as the kernel writes it, with tabs between numbers.
func tabbed(value string) string {
	fields := strings.Fields(value)
	for _, f := range fields {
		if _, err := strconv.Atoi(f); err != nil {
			return value
		}
	}
	return strings.Join(fields, "\t")
}
