package kernel

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
)

// putBack makes again what is lost, in one batch, as the ledger knows it: packets need not wait for the hooks that made it. The
// hooks then see to it for good, and to what only they know, such as a link that is gone. putBack returns how many objects are as
// they were.
func (s *Scopes) putBack(ctx context.Context, lost []*entry) int {
	ops, gone := s.resetLinks(ctx, lost)
	// Of two at one key the one that others were put beside comes first again.
	slices.SortStableFunc(lost, func(a, b *entry) int { return bit(a.beside) - bit(b.beside) })
	for _, e := range lost {
		hangs := func(link string) bool { return hangsOn(e.object, link) }
		op, ok := e.remaking()
		if op.Verb == Add && twins(e.object) && s.ledger.hasBeside(e.object.Key()) {
			op.Verb = Append // what is there may be another of the key
		}
		if ok && !slices.ContainsFunc(gone, hangs) {
			ops = append(ops, placed{op, e.place})
		}
	}
	slices.SortStableFunc(ops, func(a, b placed) int { return cmp.Compare(turn(a.Object), turn(b.Object)) })
	done, instead := s.batch(ctx, ops, nil)
	if done, _ = s.batch(ctx, instead, done); len(done) > 0 {
		s.watch.isBack(done)
	}
	return len(done)
}

// A placed operation is to make what is lost at a place, or what else is needed for that where no place is said.
type placed struct {
	Op
	place string
}

// batch carries operations out, and adds to done the places of those that succeeded. What is there and another's is to give way, by
// the operations that it returns.
func (s *Scopes) batch(ctx context.Context, all []placed, done []string) (_ []string, instead []placed) {
	ops := make([]Op, len(all))
	for i, p := range all {
		ops[i] = p.Op
	}
	errs := s.kernel.Batch(ctx, slices.Values(ops))
	for i, p := range all {
		switch {
		case errs == nil || errs[i] == nil:
			if p.place != "" {
				done = append(done, p.place)
			}
		case p.Verb == Add && errors.Is(errs[i], fs.ErrExist):
			instead = append(instead, placed{Op{Replace, p.Object}, p.place})
		}
	}
	return done, instead
}

// resetLinks finds the links that are gone with all that was on them, and how to set again what somebody has set of the others.
func (s *Scopes) resetLinks(ctx context.Context, lost []*entry) (ops []placed, gone []string) {
	for _, e := range lost {
		made, ok := e.object.(Link)
		if !ok {
			continue
		}
		have, err := s.link(ctx, made.Name)
		if have == nil || err != nil || !unsaidOr(made.Kind, have.Kind) {
			gone = append(gone, made.Name)
			continue
		}
		reset := e.resetting(*have)
		ops = append(ops, placed{Op{Set, reset}, e.place})
		if reset.Address != "" {
			ops = append(ops, s.flushedBy(made.Name, lost)...)
		}
	}
	return ops, gone
}

// flushedBy is how to make again the neighbours on a link that are not lost yet, but will be when the link gets its address back.
// Those of a scope whose run is open are that run's to make or delete; if they are lost, the look after it finds that.
func (s *Scopes) flushedBy(link string, lost []*entry) (ops []placed) {
	known := map[string]bool{}
	for _, e := range lost {
		known[e.place] = true
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	for _, e := range s.ledger.hanging(link) {
		if _, neigh := e.object.(Neigh); neigh && !known[e.place] && !s.ledger.isOpen(e.scope) {
			op, _ := e.remaking()
			ops = append(ops, placed{Op: op})
		}
	}
	return ops
}

// resetting is what is to be set of the entry's link for it to be as it was. To set what is so already may do harm: an address
// that is set anew makes the kernel forget neighbours.
func (e *entry) resetting(have Link) Link {
	want := e.object.(Link)
	if e.set != nil {
		want = want.changed(*e.set)
	}
	reset := Link{Name: have.Name}
	if want.MTU != have.MTU {
		reset.MTU = want.MTU
	}
	if want.Address != have.Address {
		reset.Address = want.Address
	}
	if want.State != have.State {
		reset.State = want.State
	}
	if want.Master != have.Master {
		reset.Master, reset.NoMaster = want.Master, want.Master == "" && e.set != nil && e.set.NoMaster
	}
	return reset
}

// remaking is the operation that makes the entry's object anew, if it is no link. Private keys are not in the ledger.
func (e *entry) remaking() (Op, bool) {
	switch o := e.object.(type) {
	case Link:
		return Op{}, false
	case Device:
		o.PublicKey = PublicKey{}
		return Op{Set, o}, o.ListenPort != nil || o.Mark != nil
	case Peer, Sysctl:
		return Op{Set, o}, true
	}
	if e.beside {
		return Op{Append, e.object}, true
	}
	return Op{Add, e.object}, true
}
