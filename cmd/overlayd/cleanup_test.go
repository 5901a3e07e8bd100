package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestACleanupRemovesWhatADaemonThatWasKilledWasWriting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	must(t, os.Mkdir(dir, 0o700))
	for _, name := range []string{"ledger", "ledger.new", "peers", "peers.new", "overlayd.lock"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	o := cleanup{settings: settings{runDir: dir}, out: io.Discard, stderr: io.Discard}
	must(t, o.directories())
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		left, _ := os.ReadDir(dir)
		t.Errorf("the run directory stays, with %v", left)
	}
}
