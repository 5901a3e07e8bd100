package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// StateDir makes the directory for what survives a reboot, mode 0700, or makes sure of it: it holds private keys.
//
// It refuses what is no directory, what belongs to another user, and symbolic links that neither this user nor root made.
// A directory of this user that lets others in is closed to them without a word.
func StateDir(path string) error {
	return directory{"state directory", "--state-dir", 0o700}.ensure(path)
}

// RunDir makes the directory for what is void after a reboot, mode 0755, or makes sure of it as StateDir does. Others may
// enter it, since the control socket in it has a mode of its own, but never write to it.
func RunDir(path string) error {
	return directory{"run directory", "--run-dir", 0o755}.ensure(path)
}

// A directory is what one of the daemon's own directories must be.
type directory struct {
	what, flag string
	mode       fs.FileMode // the most that it may allow
}

func (d directory) ensure(path string) error {
	err := makeDir(path, d.mode)
	if err == nil {
		err = d.secure(path)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w (another one can be named with %s)", d.what, path, cause(err), d.flag)
	}
	return nil
}

// secure judges the directory by its descriptor, so that nobody can exchange it between the look and the change.
func (d directory) secure(path string) error {
	link, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if owner := uid(link); link.Mode().Type() == fs.ModeSymlink && owner != os.Geteuid() && owner != 0 {
		return fmt.Errorf("is a symbolic link of user %d, and this process is user %d", owner, os.Geteuid())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is a symbolic link to nothing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if owner := uid(info); owner != os.Geteuid() {
		return fmt.Errorf("belongs to user %d, and this process is user %d", owner, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&^d.mode != 0 {
		return f.Chmod(mode & d.mode)
	}
	return nil
}

func uid(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
