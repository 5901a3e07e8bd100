package hookrunner

import (
	"os/exec"
	"sync"
	"syscall"
)

// jobs are what runs on behalf of one command: calls of in-process commands, and the process groups of programs.
type jobs struct {
	mu     sync.Mutex
	ended  bool          // nothing new may begin
	calls  int           // that have not returned
	groups map[int]bool  // that may have members
	idle   chan struct{} // closed once ended without calls
	killed chan struct{} // closed once SIGKILL was sent
}

func (j *jobs) init() {
	j.groups, j.idle, j.killed = map[int]bool{}, make(chan struct{}), make(chan struct{})
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

// start starts a program as the leader of a process group. It is killed when this process is, which the kernel takes for
// the end of the thread: the caller keeps its own until the program has ended.
func (j *jobs) start(c *exec.Cmd) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return errEnded
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	j.groups[c.Process.Pid] = true
	return nil
}

// wait waits for a program that was started, and not for what it leaves behind in its group. As long as a group has
// members its id stays taken; one without is forgotten here, lest a signal go to another.
func (j *jobs) wait(c *exec.Cmd) error {
	err := c.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if syscall.Kill(-c.Process.Pid, 0) == syscall.ESRCH {
		delete(j.groups, c.Process.Pid)
	}
	return err
}

// end lets nothing new begin, and sends a signal to all groups. It may be called again, with SIGKILL in the end.
func (j *jobs) end(signal syscall.Signal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended && j.calls == 0 {
		close(j.idle)
	}
	j.ended = true
	for group := range j.groups {
		_ = syscall.Kill(-group, signal) // it may have ended by itself
	}
	if signal == syscall.SIGKILL && !isClosed(j.killed) {
		close(j.killed)
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
