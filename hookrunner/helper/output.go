package helper

import (
	"os"
	"sync"
	"time"
)

const (
	// Kept is how much is kept of each output of a hook, in bytes.
	Kept = 64 << 10
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
	n := min(len(p), Kept-len(o.kept))
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

// result is what was written so far.
func (o *output) result() Output {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Output{string(o.kept), o.dropped}
}
