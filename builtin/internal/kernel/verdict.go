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
	r.undo = nil
}

// Sweep keeps what the run did, and deletes what the scope owned before and the run did not touch. What cannot be deleted
// stays owned.
func (r *Run) Sweep(ctx context.Context) error {
	r.Keep()
	return r.clear(ctx, func(e entry) bool { return !r.touched[e.place] })
}

// Clear keeps what the run did, and deletes all that the scope owns. What cannot be deleted stays owned.
func (r *Run) Clear(ctx context.Context) error {
	r.Keep()
	return r.clear(ctx, func(entry) bool { return true })
}

// clear deletes what is meant of the scope's objects, youngest first.
func (r *Run) clear(ctx context.Context, meant func(entry) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, e := range slices.Backward(r.scopes.ledger.of(r.scope)) {
		if _, still := r.scopes.ledger.at(e.place); !still || !meant(e) {
			continue // the first when it hung on a link that was deleted just now
		}
		lost := r.losing(e.object)
		if err := r.scopes.kernel.Do(ctx, Op{Del, e.object}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		r.scopes.ledger.free(e.place)
		for _, l := range lost {
			r.scopes.ledger.free(l.place)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear scope %s: %w", r.scope, err)
	}
	return nil
}
