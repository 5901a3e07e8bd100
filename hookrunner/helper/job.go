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
	Rehearsal bool     // neither programs nor utilities are run: the daemon is asked for all commands but text tools
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

// A request is a command line that the daemon may know to answer.
type request struct {
	dir, path string   // the shell's working directory and its PATH
	argv      []string // without what is of no use
	streams   []string // pairs of a word and what can be read there, for words that name no file that the daemon could read
}

func (r request) fields() []string {
	all := append([]string{r.dir, r.path, strconv.Itoa(len(r.argv))}, r.argv...)
	return append(all, r.streams...)
}

func requestOf(fields []string) (r request, err error) {
	if len(fields) < 4 {
		return r, fmt.Errorf("command of %d strings", len(fields))
	}
	n, err := strconv.Atoi(fields[2])
	if err != nil || n < 1 || n > len(fields)-3 || (len(fields)-3-n)%2 != 0 {
		return r, fmt.Errorf("command of %s words: %w", fields[2], errors.Join(err, errors.ErrUnsupported))
	}
	return request{dir: fields[0], path: fields[1], argv: fields[3 : 3+n], streams: fields[3+n:]}, nil
}
