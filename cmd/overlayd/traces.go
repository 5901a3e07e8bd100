package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// traces are what a start that comes to nothing takes away again: files and directories that were not there before it.
type traces struct {
	own   []string // with all that is in them
	above []string // missing directories that lead to them, only if nothing else has come into them; the deepest first
}

// newTraces looks which of the paths are missing.
func newTraces(paths ...string) traces {
	var t traces
	for _, path := range paths {
		if !missing(path) {
			continue
		}
		t.own = append(t.own, path)
		for dir := filepath.Dir(path); missing(dir); dir = filepath.Dir(dir) {
			t.above = append(t.above, dir)
		}
	}
	slices.SortStableFunc(t.above, func(a, b string) int { return len(b) - len(a) })
	return t
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// erase takes them away.
func (t traces) erase() error {
	var errs []error
	for _, path := range t.own {
		errs = append(errs, os.RemoveAll(path))
	}
	for _, dir := range t.above {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
