package helper

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A Pool keeps helpers for as many hooks as run at once, from the first on. Its methods may be called concurrently.
type Pool struct {
	path string
	argv []string

	mu     sync.Mutex
	closed bool
	idle   []*process
}

// NewPool returns a Pool of helpers, which are the program at path, started as argv. It has to call Main. Nothing is started
// yet.
func NewPool(path string, argv ...string) *Pool { return &Pool{path: path, argv: argv} }

// Close ends the helpers that are idle, and those that are not when their job is done.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var err error
	for _, h := range idle {
		err = errors.Join(err, h.kill())
	}
	return err
}

// Run runs a job. Its error is an interp.ExitStatus when the command failed, and the context's cause once the context has
// ended. In either case, and when the helper dies, nothing of the job runs any more.
func (p *Pool) Run(ctx context.Context, job Job, commands Commands) (Result, error) {
	h, err := p.take()
	if err != nil {
		return Result{}, fmt.Errorf("start a process for the hook: %w", err)
	}
	w := watch(ctx, h)
	r, err := h.run(ctx, job, commands)
	broken := w.end()
	if err == nil && broken == nil && r.reuse && ctx.Err() == nil && p.give(h) {
		return r.Result, r.err
	}
	// A helper that died by itself is asked why before it is made sure that nothing of it is left.
	if err != nil && broken == nil && ctx.Err() == nil {
		err = h.death()
	}
	killed := h.kill()
	switch {
	case ctx.Err() != nil && broken != nil:
		err = fmt.Errorf("%w, and %w", context.Cause(ctx), broken)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case broken != nil:
		err = broken
	case err == nil:
		err = r.err
	}
	return r.Result, errors.Join(err, killed)
}

// take returns an idle helper that lives, or a new one.
func (p *Pool) take() (*process, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return start(p.path, p.argv)
		}
		h := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if !isClosed(h.ended) {
			return h, nil
		}
		h.socket.Close()
	}
}

func (p *Pool) give(h *process) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.idle = append(p.idle, h)
	}
	return !p.closed
}
