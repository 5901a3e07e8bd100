// Package builtin is what overlayd does without another program: the kernel's network state, the native backends and the
// commands that hooks use on it, and scopes that make what either does repeatable and undoable.
package builtin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/command"
	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/hooks"
)

// Options say how a Set is opened.
type Options struct {
	Ledger string       // file that remembers what belongs to which scope; "" remembers in memory alone
	Logger *slog.Logger // nil is slog.Default
}

// A Set is the network namespace that it was opened in, with the commands on it. Its methods may be called concurrently.
type Set struct {
	kernel kernel.Kernel
	scopes *kernel.Scopes
	log    *slog.Logger

	rehearsal *Rehearsal  // nil for the real thing
	noneAside atomic.Bool // nothing is set aside; false when that is not known
}

// Open opens the network namespace that the calling thread is in; the whole process must be in it for userspace
// WireGuard to work. It takes up what the ledger remembers of an earlier process.
func Open(o Options) (*Set, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	k, err := kernel.Open(o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", err)
	}
	scopes, err := kernel.NewScopes(k, o.Ledger, o.Logger)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return &Set{kernel: k, scopes: scopes, log: o.Logger}, nil
}

// Exec answers the commands it knows, outside of any scope: ip, bridge, arp, wg and small text tools. It hands all others,
// whole, to next. See interp.ExecHandlers.
func (s *Set) Exec(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return command.Handler(s.kernel, next)
}

// Begin opens a run in the scope of that name. The run ends with one of Undo, Keep, Sweep and Clear; no other run may be
// open in the scope until then.
func (s *Set) Begin(scope string) *Run {
	return &Run{set: s, scope: scope, run: s.scopes.Begin(scope)}
}

// WireGuard tells where the node's WireGuard devices run: "kernel", or "userspace", in this process, as they do where the
// kernel has none. It is "" without any.
func (s *Set) WireGuard() string {
	if runner, ok := s.kernel.(interface{ RunsWireGuard() bool }); ok && runner.RunsWireGuard() {
		return "userspace"
	}
	for _, o := range s.scopes.Owned(hooks.NodeScope) {
		if l, ok := o.(kernel.Link); ok && l.Kind == "wireguard" {
			return "kernel"
		}
	}
	return ""
}

// Close ends the userspace WireGuard devices of this process and gives everything back. What else was made stays.
func (s *Set) Close() error { return errors.Join(s.scopes.Close(), s.kernel.Close()) }

// A Run is what one hook does in its scope.
type Run struct {
	set   *Set
	scope string
	run   *kernel.Run
}

// Command carries out a command line of the hook where hc says, and what it does belongs to the run. It hands what it does not
// know, and what needs nothing of the kernel, as it is, to next. Its errors wrap an interp.ExitStatus where the command failed. It opens files for reading by open,
// and reads all that it wants to read before it changes anything.
func (r *Run) Command(ctx context.Context, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, open command.OpenFunc) error {
	if rehearsal := r.set.rehearsal; rehearsal != nil {
		next = rehearsal.note
	}
	if command.IsText(argv) {
		return next(ctx, argv)
	}
	return command.Run(ctx, r.run, hc, argv, next, open)
}

// Change returns what Command does for a command line, if that is nothing but changes to the kernel, or a complaint of it: it
// needs no next handler, no files and no stdin.
func (r *Run) Change(argv []string) (do func(context.Context, interp.HandlerContext) error, ok bool) {
	change, ok := command.Change(argv)
	return func(ctx context.Context, hc interp.HandlerContext) error { return change(ctx, r.run, hc) }, ok
}

// Done returns what the run did in the kernel, as the command lines that do the same.
func (r *Run) Done() []string { return r.run.Done() }

// Answers reports whether hooks find a command of that name here.
func Answers(name string) bool { return command.Known(name) }

// TextTools answers the commands that need nothing of the kernel: cut, head, tail, tee, tr, and the keys of wg. It hands all
// others, whole, to next. See interp.ExecHandlers.
func TextTools(next interp.ExecHandlerFunc) interp.ExecHandlerFunc { return command.Text(next) }

// LinkMTU is the smallest MTU, in bytes, of the links that the scope owns; 0 without any.
func (r *Run) LinkMTU() int {
	mtu, err := r.set.scopes.LinkMTU(context.Background(), r.scope)
	if err != nil {
		r.set.log.Warn("MTU of links is not known", "scope", r.scope, "err", err)
	}
	return mtu
}

// Undo takes back all that the run did: the scope is as it was before.
func (r *Run) Undo(ctx context.Context) error { return r.run.Undo(ctx) }

// Keep leaves all that the run did.
func (r *Run) Keep() { r.run.Keep() }

// Sweep keeps what the run did, and deletes what the scope owned before and the run did not touch.
func (r *Run) Sweep(ctx context.Context) error { return r.run.Sweep(ctx) }

// Clear deletes all that the scope owns.
func (r *Run) Clear(ctx context.Context) error { return r.run.Clear(ctx) }
