package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const stopWait = 15 * time.Second

// A daemon is one run of the program in a node.
type daemon struct {
	cmd      *exec.Cmd
	stopping atomic.Bool
	ended    chan struct{} // closed when the process has ended
	err      error         // how it ended; read after ended
}

// sees is a file that the daemon sees at the path, by the path that this process sees it at while the daemon runs.
func (d *daemon) sees(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", d.cmd.Process.Pid, path)
}

func (d *daemon) hasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// Start starts the node's daemon, with none of this process's OVERLAYD_ variables. It must not run already.
func (n *Node) Start() error {
	d := &daemon{cmd: exec.Command(cmp.Or(n.Program, n.cluster.Binary), n.Args...), ended: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = n.log, n.log
	d.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OVERLAYD_") })
	if err := n.ns.Start(d.cmd); err != nil {
		return fmt.Errorf("start %s: %w", n, err)
	}
	n.daemon = d
	go func() { // Stop and Kill, and so Close, wait for it
		defer close(d.ended)
		d.err = d.cmd.Wait()
		if !d.stopping.Load() {
			n.cluster.Ended(fmt.Errorf("%s ended by itself: %v\n%s", n, d.cmd.ProcessState, n.LastWords()))
		}
	}()
	return nil
}

// Stop asks the daemon to end, waits until it has, and answers how it ended. When the context ends first, or after 15 s,
// the daemon is killed. One that has ended before, or was never started, is no error.
func (n *Node) Stop(ctx context.Context) error {
	d := n.daemon
	if d == nil || d.hasEnded() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	d.stopping.Store(true)
	d.cmd.Process.Signal(unix.SIGTERM) // fails only when it has ended
	var late error
	select {
	case <-d.ended:
	case <-ctx.Done():
		late = errors.New("killed, since it did not stop in time")
		d.cmd.Process.Kill()
		<-d.ended
	}
	err := errors.Join(late, d.err)
	if err == nil || d.cmd.ProcessState.String() == "signal: terminated" { // which came before the daemon listened
		return nil
	}
	return fmt.Errorf("stop %s: %w\n%s", n, err, n.LastWords())
}

// Kill ends the daemon as kill -9 does, without giving it time for anything, and waits until it has ended.
func (n *Node) Kill() {
	d := n.daemon
	d.stopping.Store(true)
	d.cmd.Process.Kill() // fails only when it has ended
	<-d.ended
}

// PID is the process ID of the daemon that was started last.
func (n *Node) PID() int { return n.daemon.cmd.Process.Pid }

// Log is the file with all that the node's daemons have said.
func (n *Node) Log() string { return n.log.Name() }

// LastWords is the end of the daemon's log, each line indented.
func (n *Node) LastWords() string {
	const lines = 8
	text, err := os.ReadFile(n.Log())
	if err != nil || len(text) == 0 {
		return "  its log is empty"
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return "  its log ends:\n    " + string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n    ")))
}
