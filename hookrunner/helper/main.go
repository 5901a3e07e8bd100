package helper

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/script"
)

// socketFD is where a helper finds its end of the connection.
const socketFD = 3

// A helper is the process that Main is in.
type helper struct {
	text    func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc
	mark    mark
	chain   string                    // begins and separates the commands of a chain; see script.Chain
	scripts map[string]*script.Script // by their text
	memory  *os.File
	initial int64 // memory at the start, in bytes

	mu   sync.Mutex // of the wire, while a hook runs
	wire *wire
}

// Main is a helper's whole life: it runs the jobs that come, one after the other, and returns when the daemon closes the
// connection, or when the process should not be used again. text are the commands that need nothing of the daemon.
func Main(text func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc) error {
	// What the daemon itself was given by mistake must not go on to programs. Old kernels cannot, and the socket matters most.
	unix.CloseOnExec(socketFD)
	_ = unix.CloseRange(socketFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	h := &helper{text: text, mark: markOf(os.Getpid()), chain: "chain-" + rand.Text(), scripts: map[string]*script.Script{}, wire: newWire(os.NewFile(socketFD, "daemon"))}
	if err := h.settle(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go h.watch(stop)
	for reuse := true; reuse; {
		kind, fields, err := h.wire.receive()
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err == nil && kind != msgJob {
			err = fmt.Errorf("message %q in the place of a job", kind)
		}
		if err != nil {
			return err
		}
		job, err := jobOf(fields)
		if err != nil {
			return err
		}
		r := h.run(ctx, job)
		reuse = r.reuse
		h.mu.Lock()
		err = h.wire.send(msgResult, r.fields()...)
		h.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *helper) settle() (err error) {
	unix.Umask(0o077)
	runtime.GOMAXPROCS(1)   // one hook has nothing to do for more, and each thread more has to be woken
	debug.SetGCPercent(400) // the heap is small, and what hooks may take is bounded otherwise
	if err := h.mark.wear(); err != nil {
		return fmt.Errorf("wear mark: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	if h.memory, err = os.Open("/proc/self/statm"); err != nil {
		return err
	}
	h.initial = h.resident()
	return limit()
}

// watch stops the hook when the daemon will send nothing more, and ends this process and all of the hook when the daemon
// has closed the connection, as it does when it dies.
func (h *helper) watch(stop func()) {
	for _, events := range []int16{unix.POLLRDHUP, 0} {
		poll := []unix.PollFd{{Fd: socketFD, Events: events}}
		for poll[0].Revents == 0 {
			_, _ = unix.Poll(poll, -1) // EINTR
		}
		stop()
		if poll[0].Revents&unix.POLLHUP != 0 {
			break
		}
	}
	_ = h.mark.kill(os.Getpid()) // nobody is left to be told
	os.Exit(1)
}

// run runs a job, and sees to it that nothing of it remains.
func (h *helper) run(ctx context.Context, job Job) result {
	x, err := newExecution(job, h.mark)
	if err != nil {
		return result{err: err}
	}
	var s *script.Script
	if job.Shell == "" {
		if s, err = h.script(job.Text); err != nil {
			return result{err: err, reuse: true}
		}
	}
	began := time.Now()
	clean, err := x.run(ctx, x.body(s, h.commands(job)))
	if hasChildren() {
		reap()
	}
	if x.umask {
		unix.Umask(0o077)
	}
	return result{
		Result: Result{x.stdout.result(), x.stderr.result()}, err: err,
		reuse: clean && ctx.Err() == nil && !h.isLarge(time.Since(began)),
	}
}

// isLarge reports whether a hook that took so long has made this process large. To fill memory takes some time.
func (h *helper) isLarge(took time.Duration) bool {
	return took > 5*time.Millisecond && h.resident() > h.initial+usedUp
}

// script returns the parsed text. The five of a config are parsed once.
func (h *helper) script(text string) (*script.Script, error) {
	if s := h.scripts[text]; s != nil {
		return s, nil
	}
	s, err := script.Parse("hook", text)
	if err == nil {
		s, err = s.InProcess()
	}
	if err != nil {
		return nil, err
	}
	s.Chain(h.chain)
	if len(h.scripts) >= 16 { // other configs were here
		clear(h.scripts)
	}
	h.scripts[text] = s
	return s, nil
}

// commands are all that a job finds in-process: text tools, utilities, and what the daemon answers.
func (h *helper) commands(job Job) middleware {
	return func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
		ask := h.ask(h.text(next)) // a chain may have some of these
		others := h.text(utilities(ask))
		if job.Rehearsal {
			others = job.rehearse(h.text(ask), ask)
		}
		return func(ctx context.Context, argv []string) error {
			if argv[0] == h.chain {
				return ask(ctx, argv)
			}
			return others(ctx, argv)
		}
	}
}

// resident is the memory of this process, in bytes.
func (h *helper) resident() int64 {
	var text [128]byte
	n, _ := h.memory.ReadAt(text[:], 0)
	var size, resident int64
	fmt.Sscan(string(text[:n]), &size, &resident)
	return resident * int64(os.Getpagesize())
}
