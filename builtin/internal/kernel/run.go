package kernel

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
)

// A Run is a series of operations in one scope that can be taken back as a whole. Its methods may be called concurrently.
type Run struct {
	scopes  *Scopes
	scope   string
	mu      sync.Mutex
	undo    []func(context.Context) error // one for each thing done, in the order it was done
	touched map[string]bool               // places of what the run made, or found as it wanted it
	freed   []string                      // places that nobody owns any more, which the journal is told when the scope's next run begins
	ended   bool
}

// List is the Kernel's.
func (r *Run) List(ctx context.Context, like Object) ([]Object, error) {
	return r.scopes.kernel.List(ctx, like)
}

// Do carries operations out as a Kernel does, with two differences for what this scope owns: adding it once more
// succeeds, and replaces it if it differs; deleting it succeeds when it is gone already.
func (r *Run) Do(ctx context.Context, ops ...Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range ops {
		if err := r.do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// Adopt makes the scope the owner of an object that is there already, as if the run had made it, and changes nothing else.
func (r *Run) Adopt(o Object) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	release, err := r.claim(Op{Add, o}, o.Key())
	if err != nil {
		return err
	}
	r.touched[o.Key()] = true
	r.undo = append(r.undo, func(context.Context) error { release(); return nil })
	return nil
}

func (r *Run) do(ctx context.Context, op Op) error {
	_, peer := op.Object.(Peer)
	sysctl, isSysctl := op.Object.(Sysctl)
	switch {
	case op.Verb == Del:
		return r.del(ctx, op)
	case isSysctl:
		return r.set(ctx, sysctl)
	case (op.Verb == Add || op.Verb == Append) && !peer:
		return r.add(ctx, op)
	}
	return r.change(ctx, op)
}

func (r *Run) add(ctx context.Context, op Op) error {
	was, owned := r.scopes.ledger.at(place(op.Verb, op.Object))
	inverse := []Op{{Del, op.Object}}
	if op.Verb == Append {
		var err error
		if inverse, err = r.inverse(ctx, op); err != nil {
			return err
		}
	}
	err := r.carry(ctx, op, inverse)
	if !errors.Is(err, fs.ErrExist) || !owned || was.scope != r.scope {
		return err
	}
	if op.String() == (Op{op.Verb, was.object}).String() {
		r.touched[was.place] = true
		return nil
	}
	if _, link := op.Object.(Link); !link {
		return r.change(ctx, Op{Replace, op.Object})
	}
	// No link can be changed into another.
	if err := r.del(ctx, Op{Del, was.object}); err != nil {
		return err
	}
	return r.carry(ctx, op, []Op{{Del, op.Object}})
}

func (r *Run) change(ctx context.Context, op Op) error {
	inverse, err := r.inverse(ctx, op)
	if err != nil {
		return err
	}
	if l, ok := op.Object.(Link); ok && l.Rename != "" {
		return r.rename(ctx, op, inverse)
	}
	return r.carry(ctx, op, inverse)
}

// set changes a setting, which has to be given back as it was before any scope set it. One that cannot be read, and so has no
// value to give back, belongs to nobody.
func (r *Run) set(ctx context.Context, s Sysctl) error {
	read := func() (Sysctl, bool) {
		list, err := r.List(ctx, narrow(s))
		if err != nil || len(list) == 0 {
			return Sysctl{}, false
		}
		return list[0].(Sysctl), true
	}
	have, ok := read()
	if !ok {
		return r.scopes.kernel.Do(ctx, Op{Set, s})
	}
	s.Before = &have.Value
	if was, owned := r.scopes.ledger.at(s.Key()); owned {
		s.Before = was.object.(Sysctl).Before
	}
	if err := r.carry(ctx, Op{Set, s}, []Op{{Set, have}}); err != nil {
		return err
	}
	// The kernel may have its own way to write the value.
	if now, ok := read(); ok && now.Value != oneBlank(s.Value) {
		s.Value = now.Value
		return r.scopes.ledger.own(entry{scope: r.scope, place: s.Key(), object: s})
	}
	return nil
}

// carry has the kernel do the operation, after the ledger was told what the scope is about to own.
func (r *Run) carry(ctx context.Context, op Op, inverse []Op) error {
	place := place(op.Verb, op.Object)
	release, err := r.claim(op, place)
	if err != nil {
		return err
	}
	if err := r.scopes.kernel.Do(ctx, op); err != nil {
		release()
		return err
	}
	r.touched[place] = true
	r.undo = append(r.undo, func(ctx context.Context) error { return r.takeBack(ctx, inverse, release) })
	return nil
}

// claim makes the scope the owner of what the operation makes. A change makes nothing, but what the scope owns is known
// in its new form from then on. Links are known as they were made, with what was set of them since.
func (r *Run) claim(op Op, place string) (release func(), err error) {
	was, owned := r.scopes.ledger.at(place)
	mine := owned && was.scope == r.scope
	makes := op.Verb == Add || op.Verb == Append || op.Verb == Replace
	now := entry{scope: r.scope, place: place, object: op.Object}
	switch o := op.Object.(type) {
	case Peer, Sysctl:
		makes = true
	case Device: // what several scopes set of one belongs to the first
		makes = true
		now.object = o.public()
		if owned {
			now.scope, now.object, mine = was.scope, was.object.(Device).with(o.public()), true
			if now.object.(Device).equal(was.object.(Device)) {
				return func() {}, nil
			}
		}
	case Link:
		if op.Verb != Add {
			if !mine || !was.sets(&now, o) {
				return func() {}, nil
			}
			break
		}
		if mine && was.set != nil { // made anew, it has nothing of what was set
			mine = false
		}
	}
	_, device := op.Object.(Device)
	if !makes && !mine || mine && !device && now.set == nil && was.object.command(Add) == op.Object.command(Add) {
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

// giveBack restores ownership. What the ledger's file could not be told holds in memory at least.
func (r *Run) giveBack(entries []entry) {
	for _, e := range entries {
		if err := r.scopes.ledger.own(e); err != nil {
			r.scopes.log.Warn("ledger lacks what was restored", "place", e.place, "err", err)
		}
	}
}

// takeBack applies inverse operations. What they were to bring about may have come to be by other ways, or have gone.
func (r *Run) takeBack(ctx context.Context, inverse []Op, release func()) error {
	var errs []error
	for _, op := range inverse {
		err := r.scopes.kernel.Do(ctx, op)
		if op.Verb == Add && errors.Is(err, fs.ErrExist) || op.Verb == Del && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err == nil {
		release()
	}
	return err
}

// del deletes, and takes the object and what of the scope goes away with it out of the scope's ownership. What other scopes
// lose thereby is still theirs: it is to be repaired, or for their own hooks to delete.
func (r *Run) del(ctx context.Context, op Op) error {
	lost := r.losing(op.Object)
	mine := slices.ContainsFunc(lost, func(e entry) bool { return e.scope == r.scope && means(op.Object, e.object) })
	inverse, err := r.rebuilding(ctx, op.Object)
	if err != nil {
		return err
	}
	if err := r.scopes.kernel.Do(ctx, op); errors.Is(err, fs.ErrNotExist) && mine {
		inverse = nil
	} else if err != nil {
		return err
	}
	r.free(lost)
	r.undo = append(r.undo, func(ctx context.Context) error {
		return r.takeBack(ctx, inverse, func() { r.giveBack(lost) })
	})
	return nil
}

// free makes nobody the owner of the entries' places.
func (r *Run) free(entries []entry) {
	for _, e := range entries {
		r.scopes.ledger.drop(e.place)
		r.freed = append(r.freed, e.place)
	}
}

// losing is what nobody owns any more once the object is deleted: itself, and what of the scope hangs on it.
func (r *Run) losing(o Object) []entry {
	if l, ok := o.(Link); ok {
		return slices.DeleteFunc(r.scopes.ledger.hanging(l.Name), func(e entry) bool {
			return e.scope != r.scope && e.place != l.Key()
		})
	}
	if e, ok := r.scopes.ledger.at(o.Key()); ok && means(o, e.object) {
		return []entry{e}
	}
	for _, e := range r.scopes.ledger.of(r.scope) {
		if means(o, e.object) {
			return []entry{e}
		}
	}
	return nil
}

// rename changes a link's name, in the ledger too.
func (r *Run) rename(ctx context.Context, op Op, inverse []Op) error {
	if err := r.scopes.kernel.Do(ctx, op); err != nil {
		return err
	}
	l := op.Object.(Link)
	moved := r.scopes.ledger.hanging(l.Name)
	var places []string
	for _, e := range moved {
		o := renamed(e.object, l.Name, l.Rename)
		places = append(places, o.Key())
		r.scopes.ledger.free(e.place)
		r.giveBack([]entry{{scope: e.scope, place: o.Key(), object: o}})
	}
	r.undo = append(r.undo, func(ctx context.Context) error {
		return r.takeBack(ctx, inverse, func() {
			for _, p := range places {
				r.scopes.ledger.free(p)
			}
			r.giveBack(moved)
		})
	})
	return nil
}
