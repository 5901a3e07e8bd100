package hookrunner

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// keptOutput is how much is kept of each output of a hook, in bytes.
	keptOutput = 64 << 10
	// drainPatience is how long to read on when a process that left the hook's process groups still holds an output open.
	drainPatience = 100 * time.Millisecond
)

// An output is stdout or stderr of a hook. It keeps the beginning of what is written to it, and counts the rest: a hook
// that floods it is not held up. It may be written to concurrently.
type output struct {
	mu      sync.Mutex
	kept    []byte
	dropped int64
	closed  bool

	write, read *os.File      // ends of the pipe for other processes; nil until one is started
	copied      chan struct{} // closed when all of the pipe has been read
}

// Write never fails but after close, with os.ErrClosed.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	w, closed := o.write, o.closed
	if w == nil && !closed {
		o.keep(p)
	}
	o.mu.Unlock()
	switch {
	case closed:
		return 0, os.ErrClosed
	case w != nil:
		return w.Write(p) // behind what other processes wrote
	}
	return len(p), nil
}

func (o *output) keep(p []byte) {
	n := min(len(p), keptOutput-len(o.kept))
	o.kept = append(o.kept, p[:n]...)
	o.dropped += int64(len(p) - n)
}

// file returns a file that other processes can write to. From the first call on everything goes through one pipe, so that
// what programs write and what the shell writes stay in order.
func (o *output) file() (*os.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, os.ErrClosed
	}
	if o.write != nil {
		return o.write, nil
	}
	var err error
	if o.read, o.write, err = os.Pipe(); err != nil {
		return nil, err
	}
	o.copied = make(chan struct{})
	go o.copyPipe()
	return o.write, nil
}

func (o *output) copyPipe() {
	defer close(o.copied)
	buf := make([]byte, 32<<10)
	for {
		n, err := o.read.Read(buf)
		o.mu.Lock()
		o.keep(buf[:n])
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close waits for what is under way in the pipe. Nothing is kept afterwards.
func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	piped := o.write != nil
	o.mu.Unlock()
	if !piped {
		return
	}
	o.write.Close()
	o.read.SetReadDeadline(time.Now().Add(drainPatience))
	<-o.copied
	o.read.Close()
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.kept)
}

func (o *output) empty() bool { return strings.TrimSpace(o.text()) == "" }

// brief is the output for a log line: trimmed, cut at a limit in bytes, with a note of what is missing.
func (o *output) brief(limit int) string {
	text := strings.TrimSpace(o.text())
	missing := o.dropped
	if len(text) > limit {
		missing += int64(len(text) - limit)
		text = text[:limit]
	}
	if missing == 0 {
		return text
	}
	return fmt.Sprintf("%s… and %d bytes more", strings.ToValidUTF8(text, ""), missing)
}

// lastLine is the last line that says something, "" without one, not longer than a message may be.
func (o *output) lastLine() string {
	const longest = 200
	text := strings.TrimSpace(o.text())
	line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + "…"
	}
	return line
}
