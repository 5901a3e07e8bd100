package kernel

import (
	"context"
	"errors"
	"io/fs"
	"slices"
)

// claim makes the scope the owner of what the operation makes.
func (r *Run) claim(op Op, place string) (release func(), err error) {
	was, owned := r.scopes.ledger.at(place)
	now, news := r.owning(op, place, was, owned)
	if !news {
		return func() {}, nil
	}
	if err := r.scopes.ledger.own(now); err != nil {
		return nil, err
	}
	return func() {
		if owned {
			r.giveBack([]entry{was})
		} else {
			r.scopes.ledger.free(place)
		}
	}, nil
}

// owning is what the ledger is to know of the place from the operation on, and whether that is anything new. A change makes
// nothing, but what the scope owns is known in its new form. Links are known as they were made, with what was set of them since.
func (r *Run) owning(op Op, place string, was entry, owned bool) (now entry, news bool) {
	mine := owned && was.scope == r.scope
	now = entry{scope: r.scope, place: place, object: op.Object}
	switch o := op.Object.(type) {
	case Link:
		if op.Verb == Add { // made anew, it has nothing of what was set
			return now, !mine || was.set != nil || !was.says(o)
		}
		return now, mine && was.sets(&now, o)
	case Device: // what several scopes set of one belongs to the first
		settings := o.public()
		if owned {
			now.scope, settings = was.scope, was.object.(Device).with(settings)
		}
		now.object = settings
		return now, !owned || !settings.equal(was.object.(Device))
	case Peer: // which a run may set bit by bit
		if mine && r.touched.has(place) {
			o = was.object.(Peer).merged(o)
		}
		now.object = o
		return now, !mine || !was.says(o) || !same(was.object.(Peer).Preshared, o.Preshared)
	case Sysctl:
		return now, !mine || !was.says(o)
	}
	makes := op.Verb == Add || op.Verb == Append || op.Verb == Replace
	return now, makes && !mine || mine && !was.says(op.Object)
}

// giveBack restores ownership. What the ledger's file could not be told holds in memory at least.
func (r *Run) giveBack(entries []entry) {
	for _, e := range entries {
		if err := r.scopes.ledger.own(e); err != nil {
			r.scopes.log.Warn("ledger lacks what was restored", "place", e.place, "err", err)
		}
	}
}

// unmake deletes what the run has made, and that alone: what an address takes along was there before.
func (r *Run) unmake(ctx context.Context, o Object) error {
	var others []Op
	if a, ok := o.(Addr); ok {
		undo, err := r.rebuilding(ctx, a)
		if err != nil {
			return err
		}
		others = slices.DeleteFunc(undo.inverse, func(op Op) bool { return op.Object.Key() == a.Key() })
	}
	err := r.deleteExactly(ctx, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.scopes.kernel.Batch(ctx, slices.Values(others))
	return err
}

// empty deletes what is at the object's key.
func (r *Run) empty(ctx context.Context, o Object) error {
	have, err := r.at(ctx, o)
	if err != nil || len(have) == 0 {
		return err
	}
	return r.unmake(ctx, have[0])
}

// takeBack applies inverse operations. What they were to bring about may have come to be by other ways, or have gone.
func (r *Run) takeBack(ctx context.Context, inverse []Op, release func()) error {
	var errs []error
	for _, op := range inverse {
		if op.Verb == Del {
			errs = append(errs, r.unmake(ctx, op.Object))
			continue
		}
		err := r.scopes.kernel.Do(ctx, op)
		switch {
		case op.Verb == Add && errors.Is(err, fs.ErrExist):
			err = r.putBeside(ctx, op.Object)
		case op.Verb == Replace && errors.Is(err, fs.ErrNotExist): // it was lost before, with its link
			err = r.empty(ctx, op.Object)
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err == nil {
		release()
	}
	return err
}

// putBeside makes an object beside what has its key, unless it is there, or has no room there.
func (r *Run) putBeside(ctx context.Context, o Object) error {
	if !twins(o) {
		return nil
	}
	have, err := r.at(ctx, o)
	if err != nil || slices.ContainsFunc(have, func(h Object) bool { return isAs(o, h) }) {
		return err
	}
	return r.scopes.kernel.Do(ctx, Op{Append, o})
}

// putBehind makes the objects, of those that are there still, the last ones at their key. Packets take the first.
func (r *Run) putBehind(ctx context.Context, objects []Object) error {
	for _, o := range objects {
		have, err := r.at(ctx, o)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(have, func(h Object) bool { return isAs(o, h) }) {
			continue
		}
		if err := r.scopes.kernel.Do(ctx, Op{Del, exact(o)}, Op{Append, o}); err != nil {
			return err
		}
	}
	return nil
}
