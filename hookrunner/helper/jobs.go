package helper

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// errEnded answers what a command's background jobs begin after its end.
var errEnded = errors.New("the hook has ended")

// jobs are what runs on behalf of one hook: calls of in-process commands, and processes, which are all that carry the mark.
type jobs struct {
	mark   mark
	mu     sync.Mutex
	ended  bool          // nothing new may begin
	calls  int           // that have not returned
	idle   chan struct{} // closed once ended without calls
	killed chan struct{} // closed once SIGKILL was sent
}

func (j *jobs) init(m mark) {
	j.mark, j.idle, j.killed = m, make(chan struct{}), make(chan struct{})
}

// enter counts a call, and reports false if none may begin any more.
func (j *jobs) enter() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return false
	}
	j.calls++
	return true
}

func (j *jobs) leave() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.calls--; j.ended && j.calls == 0 {
		close(j.idle)
	}
}

// start starts a program.
func (j *jobs) start(c *exec.Cmd) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return errEnded
	}
	return c.Start()
}

// wait waits for a program that was started, without a thread for each: a hook may have a thousand.
func wait(c *exec.Cmd) error {
	_ = c.Process.WithHandle(func(handle uintptr) {
		fd, err := unix.FcntlInt(handle, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil || unix.SetNonblock(fd, true) != nil {
			return // Wait takes a thread
		}
		f := os.NewFile(uintptr(fd), "pidfd")
		defer f.Close()
		if conn, err := f.SyscallConn(); err == nil {
			_ = conn.Read(func(fd uintptr) bool {
				poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(poll, 0)
				return n > 0 || err != nil
			})
		}
	})
	return c.Wait()
}

// end lets nothing new begin, and sends a signal to all processes. It may be called again, with SIGKILL in the end, which
// leaves none.
func (j *jobs) end(signal syscall.Signal) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended && j.calls == 0 {
		close(j.idle)
	}
	j.ended = true
	if hasChildren() {
		err = j.signal(signal)
	}
	if signal == syscall.SIGKILL && !isClosed(j.killed) {
		close(j.killed)
	}
	return err
}

func (j *jobs) signal(signal syscall.Signal) error {
	self := os.Getpid()
	if signal == syscall.SIGKILL {
		return j.mark.kill(self)
	}
	for _, pid := range j.mark.processes() {
		if pid == self {
			continue
		}
		inVain := ignores(pid, signal)
		_ = syscall.Kill(pid, signal) // it may have ended by itself
		if inVain {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return nil
}

// hasChildren reports whether there is any process of a hook, dead or alive: those that lose their parent become children of
// this process, which is their subreaper.
func hasChildren() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil) != unix.ECHILD
}

// reap lays to rest the children that nobody waits for.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG|unix.WALL, nil); pid <= 0 && err != unix.EINTR {
			return
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
