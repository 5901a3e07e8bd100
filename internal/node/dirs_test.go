package node_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/overlayd/overlayd/internal/node"
)

func TestDirectoriesAreMadeWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	root := t.TempDir()
	must(t, node.StateDir(filepath.Join(root, "lib", "overlayd")))
	must(t, node.RunDir(filepath.Join(root, "run", "overlayd")))
	mode(t, filepath.Join(root, "lib"), 0o755)
	mode(t, filepath.Join(root, "lib", "overlayd"), 0o700)
	mode(t, filepath.Join(root, "run"), 0o755)
	mode(t, filepath.Join(root, "run", "overlayd"), 0o755)
}

func TestOwnDirectoriesAreClosedToOthersAndKeepTheirContents(t *testing.T) {
	for name, test := range map[string]struct {
		ensure       func(string) error
		before, want os.FileMode
	}{
		"a state directory open to all":         {node.StateDir, 0o777, 0o700},
		"a state directory open to a group":     {node.StateDir, 0o750, 0o700},
		"a state directory as it should be":     {node.StateDir, 0o700, 0o700},
		"a run directory that others may write": {node.RunDir, 0o777, 0o755},
		"a run directory for a group alone":     {node.RunDir, 0o750, 0o750},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600))
			must(t, os.Chmod(dir, test.before))
			must(t, test.ensure(dir))
			mode(t, dir, test.want)
			only(t, dir, "kept")
		})
	}
}

func TestAnOwnLinkToAnOwnDirectoryWillDo(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "disk"), 0o755))
	must(t, os.Symlink("disk", filepath.Join(root, "state")))
	must(t, node.StateDir(filepath.Join(root, "state")))
	mode(t, filepath.Join(root, "disk"), 0o700)
}

func TestDirectoriesOfOthersAndOtherThingsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"a directory of another user": {func(t *testing.T, path string) {
			must(t, os.Mkdir(path, 0o777))
			foreign(t, path)
		}, "belongs to user 65534, and this process is user 0"},
		"a link to a directory of another user": {func(t *testing.T, path string) {
			must(t, os.Mkdir(path+"-of-another", 0o777))
			foreign(t, path+"-of-another")
			must(t, os.Symlink(path+"-of-another", path))
		}, "belongs to user 65534, and this process is user 0"},
		"another user's link to an own directory": {func(t *testing.T, path string) {
			must(t, os.Mkdir(path+"-own", 0o700))
			must(t, os.Symlink(path+"-own", path))
			foreign(t, path)
		}, "is a symbolic link of user 65534, and this process is user 0"},
		"a link to nothing": {func(t *testing.T, path string) {
			must(t, os.Symlink("nothing", path))
		}, "is a symbolic link to nothing"},
		"a file": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path, nil, 0o600))
		}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			test.prepare(t, path)
			refused(t, node.StateDir(path), "state directory "+path+": "+test.want, "--state-dir")
			refused(t, node.RunDir(path), "run directory "+path+": "+test.want, "--run-dir")
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	refused(t, node.StateDir(filepath.Join(file, "below")), "not a directory")
}
