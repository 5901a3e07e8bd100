package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Undo takes back all that the run did, last things first, so that kernel and ownership are as before it.
func (r *Run) Undo(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.end(false)
	var errs []error
	for _, step := range slices.Backward(r.undo) {
		errs = append(errs, step(ctx))
	}
	r.undo = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("undo in scope %s: %w", r.scope, err)
	}
	return nil
}

// Keep leaves all that the run did.
func (r *Run) Keep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(true)
}

// Sweep keeps what the run did, and deletes what the scope owned before and the run did not touch. What cannot be deleted
// stays owned.
func (r *Run) Sweep(ctx context.Context) error {
	if !r.scopes.ledger.ownsMore(r.owner, &r.touched) {
		r.Keep()
		return nil
	}
	return r.clear(ctx, func(e entry) bool { return !r.touched.has(e.place) })
}

// Clear keeps what the run did, and deletes all that the scope owns. What cannot be deleted stays owned.
func (r *Run) Clear(ctx context.Context) error {
	return r.clear(ctx, func(entry) bool { return true })
}

// clear deletes what is meant of the scope's objects, youngest first, and ends the run.
func (r *Run) clear(ctx context.Context, meant func(entry) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.end(true)
	var errs []error
	var alongside []flushed
	for _, e := range slices.Backward(r.scopes.ledger.of(r.scope)) {
		if _, still := r.scopes.ledger.at(e.place); !still || !meant(e) {
			continue // the first when it hung on a link that was deleted just now
		}
		var lost []entry
		switch o := e.object.(type) {
		case Link:
			lost = r.hangingOn(o)
		case Addr:
			undo, err := r.rebuilding(ctx, o)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, op := range undo.inverse {
				behind, err := r.behind(ctx, op.Object)
				errs = append(errs, err)
				alongside = append(alongside, flushed{op, behind})
			}
		}
		if _, sysctl := e.object.(Sysctl); sysctl && len(r.scopes.ledger.sharing(e.object.Key())) > 1 {
			r.free([]entry{e}) // others want it still
			continue
		}
		err := r.deleteExactly(ctx, e.object)
		if r.mayBeThere(e.former) && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			err = r.deleteExactly(ctx, e.former)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		r.done = append(r.done, Op{Del, e.object})
		r.free(append(lost, e))
	}
	errs = append(errs, r.mend(ctx, alongside))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear scope %s: %w", r.scope, err)
	}
	return nil
}

// mayBeThere reports whether the object, which one was to be put in the place of, may be left over.
func (r *Run) mayBeThere(former Object) bool {
	return former != nil && !slices.ContainsFunc(r.scopes.ledger.sharing(former.Key()), func(e entry) bool { return e.says(former) })
}

// A flushed operation makes what the kernel takes along with an address, and behind is what came after it at its key.
type flushed struct {
	Op
	behind []Object
}

// mend makes what is still owned of that which the kernel took along with an address, in front of what it was in front of. What cannot
// be made, for want of what else was deleted, is found by the next look at what is lost.
func (r *Run) mend(ctx context.Context, alongside []flushed) error {
	alongside = slices.DeleteFunc(alongside, func(f flushed) bool { return len(r.owners([]Object{f.Object})) == 0 })
	r.scopes.kernel.Batch(ctx, func(yield func(Op) bool) {
		for _, f := range alongside {
			if twins(f.Object) && r.scopes.ledger.hasBeside(f.Object.Key()) {
				f.Verb = Append
			}
			if !yield(f.Op) {
				return
			}
		}
	})
	for _, f := range alongside {
		behind, err := r.behind(ctx, f.Object)
		if err == nil && len(behind) < len(f.behind) {
			err = r.putBehind(ctx, f.behind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// end leaves to the scope's next run to tell the journal what is not owned any more, and says to those who watch that the
// scope is at rest.
func (r *Run) end(success bool) {
	r.undo = nil
	if !r.ended {
		r.ended = true
		r.scopes.ended(success, r)
	}
}
