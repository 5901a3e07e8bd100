// Package journal keeps what a daemon has to know when it starts again on the same machine: a file of JSON records, one a
// line, that is only appended to while the daemon runs.
//
// It is to survive the end of the process at any instruction, not the end of the machine: what it tells of is gone as well
// after a reboot. So it needs no fsync, and a record costs microseconds.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"strings"
)

// A Life is the stretch of time for which a journal holds. One of another life is void.
type Life struct {
	Boot      string `json:"boot"`        // of the machine
	Namespace string `json:"netns"`       // the network namespace
	Of        string `json:"of,omitzero"` // what else has to be the same, such as a config
}

// Now is the running boot and the network namespace that the calling thread is in.
func Now() (Life, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Life{}, fmt.Errorf("identify boot: %w", err)
	}
	namespace, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return Life{}, fmt.Errorf("identify network namespace: %w", err)
	}
	return Life{Boot: strings.TrimSpace(string(boot)), Namespace: namespace}, nil
}

// keep is how large a buffer may be, in bytes, to be kept for the next records.
const keep = 64 << 10

// A Journal is an open file of records. A nil Journal keeps nothing. Its methods must not be called concurrently.
type Journal[R any] struct {
	path  string
	life  Life
	file  *os.File
	lines int // records in the file
	void  bool
	text  bytes.Buffer // what Append writes
}

// Open reads the file at the path, calls take with each of its records in their order, and makes ready for appending. take
// reports whether the record makes sense. Lines that do not are set aside, beside the file, and logged; so is the whole
// of what is none of ours, or cannot be read. None of that is an error: a daemon that does not start helps nobody. A missing
// file is an empty one. Rewrite has to follow before the first Append.
func Open[R any](path string, life Life, log *slog.Logger, take func(R) bool) (*Journal[R], error) {
	j := &Journal[R]{path: path, life: life}
	text, err := os.ReadFile(path)
	aside := path + ".damaged"
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("journal cannot be read, and is set aside", "file", path, "err", err, "aside", aside)
		if err := errors.Join(os.RemoveAll(aside), os.Rename(path, aside)); err != nil {
			return nil, fmt.Errorf("set journal aside: %w", err)
		}
	}
	if damaged := j.read(text, log, take); damaged != nil {
		log.Warn("journal has damaged lines, which are set aside", "file", path, "lines", bytes.Count(damaged, []byte("\n")), "aside", aside)
		if err := errors.Join(os.RemoveAll(aside), os.WriteFile(aside, damaged, 0o600)); err != nil {
			log.Warn("damaged lines of the journal are lost", "err", err)
		}
	}
	return j, nil
}

// read takes in the text of a file of this life, and returns the lines that make no sense.
func (j *Journal[R]) read(text []byte, log *slog.Logger, take func(R) bool) (damaged []byte) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	var then Life
	if err := json.Unmarshal(header, &then); len(text) > 0 && err != nil {
		return append(text, '\n')
	}
	if then != j.life {
		if j.void = len(text) > 0; j.void {
			log.Info("journal is of an earlier boot, of another network namespace or of another config, and void", "file", j.path)
		}
		return nil
	}
	for line := range bytes.Lines(rest) {
		var r R
		if err := json.Unmarshal(line, &r); err != nil || !take(r) {
			damaged = append(append(damaged, bytes.TrimSuffix(line, []byte("\n"))...), '\n')
		}
	}
	return damaged
}

// Rewrite replaces the file by one that has these records alone.
func (j *Journal[R]) Rewrite(records iter.Seq[R]) error {
	if j == nil {
		return nil
	}
	file, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	w := bufio.NewWriter(file)
	enc := json.NewEncoder(w)
	err = enc.Encode(j.life)
	lines := 0
	for r := range records {
		err = errors.Join(err, enc.Encode(r))
		lines++
	}
	if err = errors.Join(err, w.Flush()); err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("write journal: %w", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines = file, lines
	return nil
}

// An appender is a record that may know its JSON faster than package json.
type appender interface {
	AppendJSON([]byte) (line []byte, ok bool)
}

// Append adds records at the end, by one write. After Close it does nothing.
func (j *Journal[R]) Append(records ...R) error {
	if j == nil || j.file == nil || len(records) == 0 {
		return nil
	}
	j.text.Reset()
	enc := json.NewEncoder(&j.text) // which ends each record's line
	for i := range records {
		r := &records[i]
		if a, ok := any(r).(appender); ok {
			if line, ok := a.AppendJSON(j.text.AvailableBuffer()); ok {
				j.text.Write(append(line, '\n'))
				continue
			}
		}
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	if n, err := j.file.Write(j.text.Bytes()); err != nil {
		return fmt.Errorf("write journal: %w", errors.Join(err, j.takeBack(n)))
	}
	if j.text.Cap() > keep {
		j.text = bytes.Buffer{}
	}
	j.lines += len(records)
	return nil
}

// takeBack removes the last bytes of the file, which are a part of a line, so that the next line is not one with it.
func (j *Journal[R]) takeBack(n int) error {
	if n <= 0 {
		return nil
	}
	end, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return j.file.Truncate(end - int64(n))
}

// Void reports whether Open found a file of another life.
func (j *Journal[R]) Void() bool { return j != nil && j.void }

// Outdated reports whether a file that says only the given number of things has grown so long that to rewrite it pays.
func (j *Journal[R]) Outdated(records int) bool {
	const slack = 1000
	return j != nil && j.lines > slack+4*records
}

// Close gives the file back.
func (j *Journal[R]) Close() error {
	if j == nil || j.file == nil {
		return nil
	}
	file := j.file
	j.file = nil
	return file.Close()
}
