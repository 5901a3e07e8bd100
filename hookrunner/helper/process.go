package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is a helper as the daemon sees it.
type process struct {
	command *exec.Cmd
	socket  *os.File
	wire    *wire
	mark    mark
	said    said          // on stderr, where the Go runtime complains before it dies
	ended   chan struct{} // closed once it has ended
	status  error         // after that, how
}

func start(path string, argv []string) (*process, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	// Blocking files: a thread that waits for its answer is woken sooner than a poller.
	ours, theirs := os.NewFile(uintptr(ends[0]), "helper"), os.NewFile(uintptr(ends[1]), "daemon")
	defer theirs.Close()
	p := &process{socket: ours, wire: newWire(ours), ended: make(chan struct{})}
	p.command = &exec.Cmd{
		Path: path, Args: argv, Dir: "/", Env: []string{}, Stderr: &p.said, WaitDelay: time.Second,
		ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	p.mark = markOf(p.command.Process.Pid)
	go func() {
		defer close(p.ended)
		p.status = p.command.Wait()
	}()
	return p, nil
}

// run sends a job and answers its commands until the result comes. The context's end stops the job, softly.
func (p *process) run(ctx context.Context, job Job, commands Commands) (result, error) {
	if err := p.wire.send(msgJob, job.fields()...); err != nil {
		return result{}, err
	}
	for {
		kind, fields, err := p.wire.receive()
		if err != nil {
			return result{}, err
		}
		switch kind {
		case msgCommand:
			if err := p.answer(ctx, fields, commands); err != nil {
				return result{}, err
			}
		case msgResult:
			return resultOf(fields)
		default:
			return result{}, fmt.Errorf("message %q in the midst of a job", kind)
		}
	}
}

// stop has the helper end the job as hooks are ended: SIGTERM first.
func (p *process) stop() {
	conn, err := p.socket.SyscallConn()
	if err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

// kill ends the helper and all that carries its mark.
func (p *process) kill() error {
	err := p.mark.kill(0)
	<-p.ended
	p.mark.bury()
	return errors.Join(err, p.socket.Close())
}

// death says how the helper ended by itself.
func (p *process) death() error {
	<-p.ended
	status := p.status
	if status == nil {
		status = errors.New("exit status 0")
	}
	if why := p.said.fatal(); why != "" {
		return fmt.Errorf("the process of the hook ended: %w: %s", status, why)
	}
	return fmt.Errorf("the process of the hook ended: %w", status)
}

// said keeps the beginning of what is written to it.
type said struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// Write is part of io.Writer.
func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := 4<<10 - s.kept.Len(); room > 0 {
		s.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// fatal is the line that tells of the end.
func (s *said) fatal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.kept.String()
	for _, begin := range [...]string{"fatal error: ", "panic: ", "runtime: "} {
		if at := strings.Index(text, begin); at >= 0 {
			line, _, _ := strings.Cut(text[at:], "\n")
			return line
		}
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}
