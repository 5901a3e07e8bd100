package hookrunner

import (
	"context"

	"mvdan.cc/sh/v3/interp"
)

// Commands are the programs that hooks find inside this process: ip, bridge, wg and others. The package knows nothing of
// what they do; it opens a Run around each hook and says how the hook ended.
type Commands interface {
	// Begin opens a run in the named scope: "node" for the hooks of this node's own life, else a peer's subnets.
	// No two runs of one scope are open at once.
	Begin(scope string) Run
}

// A Run is what one hook does through in-process commands.
type Run interface {
	// Exec answers the commands it knows and hands all others, whole, to next. See interp.ExecHandlers.
	Exec(next interp.ExecHandlerFunc) interp.ExecHandlerFunc
	// LinkMTU is the smallest MTU, in bytes, of the links that the scope owns; 0 without any. It may be called after End.
	LinkMTU() int
	// End closes the run with a verdict and carries it out.
	End(context.Context, Verdict) error
}

// A Verdict says what becomes of a run's effects.
type Verdict int

// The verdicts.
const (
	Undo  Verdict = iota // the hook failed: the scope is again as it was before the run
	Keep                 // the hook succeeded: what it made joins what the scope owns
	Sweep                // as Keep, and what the scope owned and the run did not touch is deleted
	Clear                // the scope's subject is gone: all that it owns is deleted
)
