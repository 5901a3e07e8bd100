package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// runFiles are what a daemon has in its run directory, also one that was killed while it wrote there.
var runFiles = []string{
	"ledger", "ledger.damaged", "ledger.new", "overlayd.lock", "overlayd.sock", "peers", "peers.damaged", "peers.new",
}

// directories removes the run directory, and with --state the state directory. What somebody else put into the run directory
// stays, and then so does the directory.
func (o *cleanup) directories() error {
	err := o.directory(o.runDir, func(name string) bool { return slices.Contains(runFiles, name) })
	if err != nil || !o.state {
		return err
	}
	if member := (&daemon{settings: o.settings}).memberDir(); !missing(member) {
		fmt.Fprintf(o.stderr, "overlayd: %s stays: there is an etcd member in it, which may be all that a cluster has\n", o.stateDir)
		return nil
	}
	claim, err := o.stateClaim()
	if err != nil || !o.unclaimed(claim) {
		return err
	}
	return o.directory(o.stateDir, func(string) bool { return true })
}

// directory removes what is ours in a directory, and it, if that leaves it empty.
func (o *cleanup) directory(path string, ours func(name string) bool) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	left := 0
	for _, e := range entries {
		if !ours(e.Name()) {
			left++
			continue
		}
		file := filepath.Join(path, e.Name())
		if err := o.remove("rm -r "+quote(file), func() error { return os.RemoveAll(file) }); err != nil {
			return err
		}
	}
	if left > 0 {
		return nil
	}
	return o.remove("rmdir "+quote(path), func() error { return os.Remove(path) })
}
