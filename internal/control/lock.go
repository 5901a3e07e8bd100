package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock makes this process the one daemon of a run directory, until unlock or its end, however that comes. The directory
// must be root's or this user's, and not writable by everybody, since who writes there can pose as the daemon.
//
// The lock is on the file overlayd.lock, which stays: to remove it would take the lock from whoever waits for it.
func Lock(runDir string) (unlock func(), err error) {
	if err := checkDir(runDir); err != nil {
		return nil, err
	}
	path := filepath.Join(runDir, "overlayd.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file); err != nil {
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another overlayd runs with run directory %s (pid %s): stop it, or choose another --run-dir", runDir, holder(file))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := writePID(file); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// lingering is how long the lock may outlive the daemon that held it. A child that it was about to start when it was killed has the
// lock until it comes to be a program of its own.
const lingering = 5 * time.Second

// flock takes the lock of the file, unless the daemon that wrote its process id there is alive.
func flock(file *os.File) error {
	for deadline := time.Now().Add(lingering); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || isAlive(file) || time.Now().After(deadline) {
			return err
		}
	}
}

// isAlive reports whether there is a process with the id in the file. One in another process namespace is not seen.
func isAlive(file *os.File) bool {
	pid, err := strconv.Atoi(holder(file))
	if err != nil {
		return false
	}
	return !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// checkDir refuses a directory in which somebody else may replace files.
func checkDir(dir string) error {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return fmt.Errorf("run directory %s: %w", dir, err)
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("run directory %s: not a directory", dir)
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("run directory %s: belongs to user %d: choose another --run-dir", dir, stat.Uid)
	case stat.Mode&0o002 != 0:
		return fmt.Errorf("run directory %s: everybody may write to it: chmod o-w it, or choose another --run-dir", dir)
	}
	return nil
}

// holder is the process id that the daemon with the lock wrote, "unknown" while it has not.
func holder(file *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}
