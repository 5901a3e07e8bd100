package hookrunner

import (
	"context"

	"github.com/overlayd/overlayd/hookrunner/helper"
)

// A BeginFunc opens a run in the named scope: "node" for the hooks of this node's own life, else a peer's subnets. No two runs
// of one scope are open at once.
type BeginFunc = func(scope string) Run

// A Run is what one hook does through in-process commands, such as ip and wg. It ends with one of Undo, Keep, Sweep and Clear.
// This package knows nothing of what the commands do.
type Run interface {
	helper.Commands
	// LinkMTU is the smallest MTU, in bytes, of the links that the scope owns; 0 without any. It may be called after the end.
	LinkMTU() int
	// Done is what the run did, as command lines that do the same. It may be called after the end.
	Done() []string
	// Undo ends the run of a hook that failed: the scope is again as it was before.
	Undo(context.Context) error
	// Keep ends the run: what it made joins what the scope owns.
	Keep()
	// Sweep is Keep, and what the scope owned and the run did not touch is deleted.
	Sweep(context.Context) error
	// Clear ends the run of a hook whose subject is gone: all that the scope owns is deleted.
	Clear(context.Context) error
}
