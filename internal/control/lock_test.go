package control

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestARunDirectoryHasOneDaemon(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	want := fmt.Sprintf("another overlayd runs with run directory %s (pid %d): stop it, or choose another --run-dir", dir, os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("second Lock: %v\nwant %s", err, want)
	}
	unlock()
	if unlock, err = Lock(dir); err != nil {
		t.Fatalf("Lock after unlock: %v", err)
	}
	unlock()
}

func TestAKilledDaemonLetsGoOfTheLock(t *testing.T) {
	dir := t.TempDir()
	daemon := exec.Command(os.Args[0])
	daemon.Env = append(os.Environ(), holdLock+"="+dir)
	said, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	_, lockErr := Lock(dir)
	daemon.Process.Kill()
	daemon.Wait()
	if err != nil || line != "locked\n" {
		t.Fatalf("the other process says %q: %v", line, err)
	}
	if lockErr == nil || !strings.Contains(lockErr.Error(), fmt.Sprintf("(pid %d)", daemon.Process.Pid)) {
		t.Errorf("Lock beside process %d: %v", daemon.Process.Pid, lockErr)
	}
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatalf("Lock after a kill: %v", err)
	}
	unlock()
}

func TestLockRefusesDirectoriesOfOthers(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ dir, want string }{
		"everybody may write": {open, "run directory " + open + ": everybody may write to it: chmod o-w it, or choose another --run-dir"},
		"a file":              {file, "run directory " + file + ": not a directory"},
		"absent":              {file + "x", "run directory " + file + "x: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Lock(tt.dir); err == nil || err.Error() != tt.want {
				t.Errorf("Lock: %v\nwant %s", err, tt.want)
			}
		})
	}
	t.Run("of another user", func(t *testing.T) {
		foreign := t.TempDir()
		if err := os.Chown(foreign, 65534, -1); err != nil {
			t.Skip("giving a directory away needs CAP_CHOWN: ", err)
		}
		if _, err := Lock(foreign); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("Lock: %v", err)
		}
	})
}

func TestLockDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), os.Symlink(target, filepath.Join(dir, "overlayd.lock"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Lock: %v", err)
	}
}

// A daemon that was killed while it started a program may leave its lock to that child for a moment.
func TestALockThatOutlivesItsDaemonIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left, err := os.OpenFile(filepath.Join(dir, "overlayd.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(left, dead.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(left.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { left.Close() })
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
