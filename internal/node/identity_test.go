package node_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/overlayd/overlayd/internal/node"
)

func TestIdentityIsRandomAndKept(t *testing.T) {
	dir := t.TempDir()
	first, err := node.Identity(dir)
	must(t, err)
	must(t, uuid.Validate(first))
	again, err := node.Identity(dir)
	must(t, err)
	if again != first {
		t.Errorf("second identity is %s, want %s", again, first)
	}
	other, err := node.Identity(t.TempDir())
	must(t, err)
	if other == first {
		t.Error("two nodes have one identity")
	}
	mode(t, filepath.Join(dir, "node-id"), 0o600)
	only(t, dir, "node-id")
}

func TestDaemonsThatRaceGetOneIdentity(t *testing.T) {
	const daemons = 32
	for range 20 {
		dir := t.TempDir()
		var ids [daemons]string
		var errs [daemons]error
		var all sync.WaitGroup
		for i := range daemons {
			all.Go(func() { ids[i], errs[i] = node.Identity(dir) })
		}
		all.Wait()
		for i := range daemons {
			must(t, errs[i])
			if ids[i] != ids[0] {
				t.Fatalf("identities %s and %s", ids[0], ids[i])
			}
		}
		only(t, dir, "node-id")
	}
}

func TestADamagedIdentityIsRefusedAndLeftAlone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut short": "5f0c5c52-8a0f", "zeros of a crash": "\x00\x00\x00\x00", "another text": "node-1\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "node-id")
			must(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := node.Identity(dir)
			refused(t, err, path, "damaged", "remove it")
			left, err := os.ReadFile(path)
			must(t, err)
			if string(left) != text {
				t.Errorf("file is %q now", left)
			}
		})
	}
}

func TestIdentityNeedsItsDirectory(t *testing.T) {
	_, err := node.Identity(filepath.Join(t.TempDir(), "absent"))
	refused(t, err, "keep identity", "no such file")
}
