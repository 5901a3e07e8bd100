package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/netns"
)

// The tests mount file systems, in a mount namespace of their own.
func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }

type record struct {
	Text string `json:"text"`
}

// open opens the journal at the path and returns what it tells.
func open(t *testing.T, path string, log *slog.Logger) (j *Journal[record], told []string) {
	t.Helper()
	j, err := Open(path, Life{Boot: "this"}, log, func(r record) bool { told = append(told, r.Text); return r.Text != "" })
	if err != nil {
		t.Fatal(err)
	}
	err = j.Rewrite(func(yield func(record) bool) {
		for _, text := range told {
			if !yield(record{text}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, told
}

func TestWhatCannotBeReadIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	// In the way is also what was set aside before, whatever that is.
	for _, dir := range []string{path, path + ".damaged"} {
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	j, told := open(t, path, slog.New(slog.NewTextHandler(&log, nil)))
	if told != nil || !strings.Contains(log.String(), "set aside") {
		t.Errorf("it tells %q, log: %s", told, log.String())
	}
	if err := j.Append(record{"one"}); err != nil {
		t.Fatal(err)
	}
	if _, told := open(t, path, slog.New(slog.DiscardHandler)); !slices.Equal(told, []string{"one"}) {
		t.Errorf("opened again, it tells %q, want one", told)
	}
}

// A full file system takes part of a line: nothing of that may be left when there is room again.
func TestALineThatIsCutShortDoesNotSpoilTheNext(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs to mount a tmpfs: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path, ballast := filepath.Join(dir, "journal"), filepath.Join(dir, "ballast")
	log := slog.New(slog.DiscardHandler)
	j, _ := open(t, path, log)
	if err := os.WriteFile(ballast, make([]byte, 36<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	n := 0
	for ; err == nil; n++ {
		err = j.Append(record{fmt.Sprint(n, strings.Repeat("x", 300))})
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(record{"next"}); err != nil {
		t.Fatal(err)
	}
	_, told := open(t, path, log)
	if len(told) != n || told[n-1] != "next" {
		t.Errorf("it tells of %d records, of which the last is %q, want %d and next", len(told), told[len(told)-1], n)
	}
}
