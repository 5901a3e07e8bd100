package helper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are what one hook may take.
const (
	maxMemory    = 512 << 20 // bytes that are a process's own, and those of all processes of a hook together
	maxProcesses = 2000      // at once
	maxFileSize  = 1 << 30   // bytes
	maxFiles     = 4096      // open at once, by a process
	// usedUp is how much memory a helper may have had, in bytes, to be used for another hook.
	usedUp = 128 << 20
)

// limit bounds this process and all that it starts.
func limit() error {
	own, err := ownMemory()
	if err != nil {
		return err
	}
	for _, l := range []struct {
		resource int
		value    uint64
	}{
		// What the program has from its start is not the hook's: the race detector takes gigabytes.
		{unix.RLIMIT_DATA, own + maxMemory},
		{unix.RLIMIT_FSIZE, maxFileSize},
		{unix.RLIMIT_NOFILE, maxFiles},
		{unix.RLIMIT_CORE, 0},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return err
		}
		value := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set limit %d: %w", l.resource, err)
		}
	}
	// The machine's own bounds may forbid it, and it is but a hint.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	return nil
}

// ownMemory is the memory of this process that RLIMIT_DATA counts, in bytes.
func ownMemory() (uint64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmData:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kilobytes, err := strconv.ParseUint(number, 10, 54)
	return kilobytes << 10, err
}

// A mark is what the processes of one helper have in common.
type mark uint64

// markOf is the mark of the helper with a process id, below 1<<22, of this process's namespace of ids. The namespace is part of
// it: whoever sees the processes of containers as well is not to take another daemon's helper there for its own.
func markOf(pid int) mark {
	var namespace unix.Stat_t
	_ = unix.Stat("/proc/self/ns/pid", &namespace) // without /proc no process is found by its mark
	return mark(1<<62 | namespace.Ino&(1<<32-1)<<22 | uint64(pid))
}

// wear gives this process, and all that it starts, the mark.
func (m mark) wear() error {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_LOCKS, &now); err != nil {
		return err
	}
	now.Cur = uint64(m)
	return unix.Setrlimit(unix.RLIMIT_LOCKS, &now)
}

// processes returns the ids of all processes with the mark that have not ended.
func (m mark) processes() []int { return slices.DeleteFunc(m.all(), ended) }

// all returns the ids of all processes with the mark, also of those of whose end nobody was told.
func (m mark) all() (found []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what has been read so far is of use
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		var l unix.Rlimit
		if unix.Prlimit(pid, unix.RLIMIT_LOCKS, nil, &l) == nil && l.Cur == uint64(m) {
			found = append(found, pid)
		}
	}
	return found
}

// ended reports whether a process waits only for its parent to hear of its end.
func ended(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	after := text[strings.LastIndexByte(string(text), ')')+1:]
	return len(after) > 1 && (after[1] == 'Z' || after[1] == 'X')
}

var errSurvived = errors.New("processes of the hook survive SIGKILL")

// kill kills all processes with the mark but one, which may be 0, and returns when they have ended. First it stops them, so
// that none can start another behind its back.
func (m mark) kill(but int) error {
	const patience = 5 * time.Second // for processes in the midst of a system call
	for began := time.Now(); ; {
		all := m.processes()
		left := 0
		for _, s := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
			for _, pid := range all {
				if pid != but && unix.Kill(pid, s) == nil && s == unix.SIGKILL {
					left++
				}
			}
		}
		if left == 0 {
			return nil
		}
		if time.Since(began) > patience {
			return errSurvived
		}
		time.Sleep(time.Millisecond)
	}
}

// ignores reports whether a process has told the kernel that it does not want to hear of a signal. For the mask see proc(5).
func ignores(pid int, signal unix.Signal) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), "\nSigIgn:\t")
	digits, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(digits, 16, 64)
	return err == nil && mask>>(signal-1)&1 == 1
}

// bury lays to rest the processes with the mark that have ended and whose parent this process has become, as the first of a
// container does.
func (m mark) bury() {
	for _, pid := range m.all() {
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // those of others stay theirs
	}
}

// memory is what processes have of memory that they do not share with a file, in bytes.
func memory(pids []int) (total int64) {
	page := int64(os.Getpagesize())
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
		if err != nil {
			continue // it has ended
		}
		var size, resident, shared int64
		if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err == nil {
			total += (resident - shared) * page
		}
	}
	return total
}
