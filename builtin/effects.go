package builtin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/hooks"
)

// auditInterval is how often owned objects are looked at for damage that the kernel does not tell of.
const auditInterval = 30 * time.Second

var _ hooks.Effects = (*Set)(nil)

// Scopes is part of hooks.Effects.
func (s *Set) Scopes() []string {
	var names []string
	for _, name := range s.scopes.Names() {
		if name = strings.TrimPrefix(name, aside); name != hooks.NodeScope && !isDetour(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Clear is part of hooks.Effects. It deletes what was set aside of any of the scope's subnets as well, and with the node's all that was.
func (s *Set) Clear(ctx context.Context, scope string) error {
	if scope == hooks.NodeScope {
		return errors.Join(s.clearDetour(ctx), s.clearAside(ctx), s.scopes.Begin(scope).Clear(ctx))
	}
	var errs []error
	if !s.noneAside.Load() { // to look through all scopes for each peer that leaves would take long
		for _, name := range s.asideNames() {
			if shareSubnet(scope, strings.TrimPrefix(name, aside)) {
				errs = append(errs, s.scopes.Begin(name).Clear(ctx))
			}
		}
	}
	return errors.Join(append(errs, s.scopes.Begin(scope).Clear(ctx))...)
}

// clearDetour deletes what a detour has.
func (s *Set) clearDetour(ctx context.Context) error {
	return errors.Join(s.scopes.Begin(waysScope).Clear(ctx), s.scopes.Begin(detourScope).Clear(ctx))
}

// Move is part of hooks.Effects. What was set aside of the scope stays aside.
func (s *Set) Move(from, to string) error { return s.scopes.Move(from, to) }

// Watch is part of hooks.Effects: damage that the kernel tells of is told some 10 ms later, and more where much is owned;
// that of WireGuard in the kernel and of most sysctls within about a second, any other within 30 s. What can be is put back first.
func (s *Set) Watch(ctx context.Context, damaged func(scopes []string)) error {
	return s.scopes.Watch(ctx, auditInterval, damaged)
}

// Owned returns all that scopes own as the commands that make it, by scope and in the order in which it was made.
func (s *Set) Owned() (lines []string) {
	for _, name := range s.scopes.Names() {
		for _, o := range s.scopes.Owned(name) {
			lines = append(lines, kernel.Op{Verb: kernel.Add, Object: o}.String())
		}
	}
	return lines
}

// An Effect is something that a scope owns.
type Effect struct {
	Command string // that makes it
	Missing bool   // the kernel lacks it, or has it otherwise
}

// Effects returns what the scope owns, in the order in which it was made.
func (s *Set) Effects(ctx context.Context, scope string) (effects []Effect, err error) {
	holdings, err := s.scopes.Holdings(ctx, scope)
	for _, h := range holdings {
		effects = append(effects, Effect{kernel.Op{Verb: kernel.Add, Object: h.Object}.String(), h.Missing})
	}
	return effects, err
}
