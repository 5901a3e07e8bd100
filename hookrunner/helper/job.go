package helper

import (
	"errors"
	"fmt"
	"strconv"

	"mvdan.cc/sh/v3/interp"
)

// A Job is one run of a hook's command.
type Job struct {
	Text      string   // the command
	Shell     string   // absolute path of the program that runs it, "" for the in-process shell
	Dir       string   // where it runs, absolute
	Env       []string // its whole environment, "name=value"
	Stdin     string   // at most 64 KiB
	Rehearsal bool     // nothing outside of Dir is written, and neither programs nor utilities are run: the daemon is asked for all
	// commands but text tools
}

func (j Job) fields() []string {
	return append([]string{j.Text, j.Shell, j.Dir, j.Stdin, strconv.FormatBool(j.Rehearsal)}, j.Env...)
}

func jobOf(fields []string) (Job, error) {
	if len(fields) < 5 {
		return Job{}, fmt.Errorf("job of %d strings", len(fields))
	}
	return Job{Text: fields[0], Shell: fields[1], Dir: fields[2], Stdin: fields[3], Rehearsal: fields[4] == "true", Env: fields[5:]}, nil
}

// A Result is what a job printed.
type Result struct{ Stdout, Stderr Output }

// A result is how a job ended, as it travels.
type result struct {
	Result
	err   error
	reuse bool // the helper can run another job
}

func (r result) fields() []string {
	status, text := "", ""
	if exit, ok := errors.AsType[interp.ExitStatus](r.err); ok {
		status = strconv.Itoa(int(exit))
	} else if r.err != nil {
		text = r.err.Error()
	}
	return []string{
		status, text, strconv.FormatBool(r.reuse),
		r.Stdout.Text, strconv.FormatInt(r.Stdout.Dropped, 10), r.Stderr.Text, strconv.FormatInt(r.Stderr.Dropped, 10),
	}
}

func resultOf(fields []string) (r result, err error) {
	if len(fields) != 7 {
		return r, fmt.Errorf("result of %d strings", len(fields))
	}
	switch status, text := fields[0], fields[1]; {
	case status != "":
		r.err, err = exitStatus(status)
	case text != "":
		r.err = errors.New(text)
	}
	r.reuse = fields[2] == "true"
	var outErr, errErr error
	r.Stdout.Text, r.Stderr.Text = fields[3], fields[5]
	r.Stdout.Dropped, outErr = strconv.ParseInt(fields[4], 10, 64)
	r.Stderr.Dropped, errErr = strconv.ParseInt(fields[6], 10, 64)
	return r, errors.Join(err, outErr, errErr)
}

// exitStatus reads a status in decimal. 0 is no error.
func exitStatus(text string) (status, err error) {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n == 0 {
		return nil, err
	}
	return interp.ExitStatus(n), nil
}

// A request is command lines that the daemon may know to answer, of which each is carried out if the one before succeeded.
type request struct {
	dir, path string     // the shell's working directory and its PATH
	lines     [][]string // at least one, each with at least one word
	input     []string   // pairs of a file's name, "" for stdin, and what the first line can read there
}

func (r request) fields() []string {
	all := []string{r.dir, r.path, strconv.Itoa(len(r.lines))}
	for _, argv := range r.lines {
		all = append(append(all, strconv.Itoa(len(argv))), argv...)
	}
	return append(all, r.input...)
}

func requestOf(fields []string) (r request, err error) {
	malformed := fmt.Errorf("command of %d strings", len(fields))
	if len(fields) < 3 {
		return r, malformed
	}
	r.dir, r.path = fields[0], fields[1]
	n, err := strconv.Atoi(fields[2])
	if err != nil || n < 1 {
		return r, malformed
	}
	for rest := fields[3:]; ; {
		if n == 0 && len(rest)%2 == 0 {
			r.input = rest
			return r, nil
		}
		if n == 0 || len(rest) < 2 {
			return r, malformed
		}
		words, err := strconv.Atoi(rest[0])
		if err != nil || words < 1 || words >= len(rest) {
			return r, malformed
		}
		r.lines = append(r.lines, rest[1:1+words])
		rest = rest[1+words:]
		n--
	}
}
