package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/overlayd/overlayd/internal/node"
)

// directories makes the state and the run directory. takeBack removes what of them was not there before, with all that is in
// it: for a start that comes to nothing.
func (d *daemon) directories() (takeBack func(), err error) {
	var made []string
	takeBack = func() {
		for _, path := range made {
			if err := os.RemoveAll(path); err != nil {
				d.log.Warn("directory left behind", "path", path, "err", err)
			}
		}
	}
	for _, dir := range []struct {
		path string
		make func(string) error
	}{{d.stateDir, node.StateDir}, {d.runDir, node.RunDir}} {
		if missing := firstMissing(dir.path); missing != "" {
			made = append(made, missing)
		}
		if err := dir.make(dir.path); err != nil {
			takeBack()
			return nil, err
		}
	}
	return takeBack, nil
}

// firstMissing is the uppermost directory of an absolute path that does not exist; "" when all do.
func firstMissing(path string) (missing string) {
	for ; path != filepath.Dir(path); path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = path
	}
	return missing
}
