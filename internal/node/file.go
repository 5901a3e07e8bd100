package node

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// createFile makes a file that must not be there, else it answers fs.ErrExist. Whoever reads it sees all of it or nothing.
func createFile(path string, data []byte, mode fs.FileMode) error {
	return placeFile(path, data, mode, os.Link)
}

// replaceFile makes a file or replaces it, unless it is as wanted. Whoever reads it sees the old or the new data, whole.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if holds(path, data, mode) {
		return nil
	}
	return placeFile(path, data, mode, os.Rename)
}

// holds reports whether there is a file with just this data and mode.
func holds(path string, data []byte, mode fs.FileMode) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		return false
	}
	have, err := os.ReadFile(path)
	return err == nil && bytes.Equal(have, data)
}

// placeFile writes a file beside the path and puts it there once it is on the disk. The mode is as given, whatever the
// process's umask.
func placeFile(path string, data []byte, mode fs.FileMode, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := cmp.Or(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir puts a directory's list of names on the disk.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return cmp.Or(dir.Sync(), dir.Close())
}

// makeDir makes a directory, and with mode 0755 those above it that are missing, whatever the process's umask. What is
// there already stays as it is, even if it is no directory.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err = os.Mkdir(path, mode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// cause is the error without the call and the paths that package os puts before it, for messages that name a place of
// their own.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
