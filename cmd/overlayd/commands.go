package main

import (
	"context"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner"
)

// commands gives hooks the in-process commands. The two packages do not know each other: they meet here.
type commands struct{ set *builtin.Set }

// Begin is part of hookrunner.Commands.
func (c commands) Begin(scope string) hookrunner.Run { return scoped{c.set.Begin(scope)} }

type scoped struct{ *builtin.Run }

// End is part of hookrunner.Run.
func (s scoped) End(ctx context.Context, v hookrunner.Verdict) error {
	switch v {
	case hookrunner.Keep:
		s.Keep()
		return nil
	case hookrunner.Sweep:
		return s.Sweep(ctx)
	case hookrunner.Clear:
		return s.Clear(ctx)
	}
	return s.Undo(ctx)
}
