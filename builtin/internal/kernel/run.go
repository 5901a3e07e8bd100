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
	owner   *owner // that of the scope
	mu      sync.Mutex
	undo    []func(context.Context) error // one for each thing done, in the order it was done
	touched places                        // places of what the run made, or found as it wanted it
	freed   []string                      // places that nobody owns any more, which the journal is told when the scope's next run begins
	done    []Op                          // what was asked for and came to be, the deletions of Sweep and Clear included
	ended   bool
}

// Done returns the commands that do what the run did, in its order.
func (r *Run) Done() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := make([]string, len(r.done))
	for i, op := range r.done {
		lines[i] = op.String()
	}
	return lines
}

// List is the Kernel's.
func (r *Run) List(ctx context.Context, like Object) ([]Object, error) {
	return r.scopes.kernel.List(ctx, like)
}

// Lookup is that of the kernel.
func (r *Run) Lookup(ctx context.Context, q Query) (Route, error) {
	return r.scopes.kernel.Lookup(ctx, q)
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
		r.done = append(r.done, op)
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
	r.touched.add(o.Key())
	r.undo = append(r.undo, func(context.Context) error { release(); return nil })
	return nil
}

func (r *Run) do(ctx context.Context, op Op) error {
	switch o := op.Object.(type) {
	case Sysctl:
		if op.Verb != Del {
			return r.set(ctx, o)
		}
	case Peer:
		if op.Verb != Del {
			return r.change(ctx, op)
		}
	case VLAN:
		if op.Verb != Del {
			return r.setVLAN(ctx, o)
		}
	}
	switch op.Verb {
	case Add:
		return r.add(ctx, op)
	case Append:
		return r.append(ctx, op)
	case Replace:
		return r.replace(ctx, op)
	case Del:
		return r.del(ctx, op)
	}
	return r.change(ctx, op)
}

// add has the kernel say whether anything is there, which is cheaper than to look first.
func (r *Run) add(ctx context.Context, op Op) error {
	place := op.Object.Key()
	err := r.carry(ctx, op, place, effect{inverse: []Op{{Del, op.Object}}})
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	was, owned := r.scopes.ledger.at(place)
	owned = owned && was.scope == r.scope
	if link, ok := op.Object.(Link); ok && owned {
		return r.addLink(ctx, link, was)
	}
	for _, e := range r.scopes.ledger.sharing(place) {
		if e.scope != r.scope || !e.says(op.Object) {
			continue
		}
		if !r.scopes.watch.isLost(e.place) {
			r.touched.add(e.place)
			return nil
		}
		if e.beside || r.scopes.ledger.hasBeside(place) {
			return r.append(ctx, Op{Append, op.Object})
		}
	}
	if !owned {
		if owned, _ = r.isFirst(ctx, op.Object); !owned {
			return err
		}
	}
	return r.supersede(ctx, was, op)
}

// supersede puts the object in the place of what the scope has there. Of entries that flood, none can be changed.
func (r *Run) supersede(ctx context.Context, was entry, op Op) error {
	if f, ok := was.object.(FDB); ok && f.floods() {
		if err := r.del(ctx, Op{Del, was.object}); err != nil {
			return err
		}
		return r.append(ctx, Op{Append, op.Object})
	}
	return r.change(ctx, Op{Replace, op.Object})
}

// addLink adds a link that the scope owns already. No link can be changed into another.
func (r *Run) addLink(ctx context.Context, l Link, was entry) error {
	op := Op{Add, l}
	if was.says(l) {
		have, err := r.scopes.link(ctx, l.Name)
		if err != nil {
			return err
		}
		if have != nil && l.isAs(*have) {
			r.touched.add(was.place)
			return nil
		}
	}
	if err := r.del(ctx, Op{Del, Link{Name: l.Name}}); err != nil {
		return err
	}
	return r.carry(ctx, op, l.Key(), effect{inverse: []Op{{Del, l}}})
}

// isFirst reports whether what the kernel would replace by the object is the scope's, although not at the object's key.
func (r *Run) isFirst(ctx context.Context, o Object) (bool, error) {
	if !r.scopes.ledger.hasBeside(o.Key()) {
		return false, nil
	}
	have, err := r.at(ctx, o)
	if err != nil || len(have) == 0 {
		return false, err
	}
	return slices.ContainsFunc(r.scopes.ledger.sharing(o.Key()), func(e entry) bool {
		return e.scope == r.scope && e.holds(have[:1])
	}), nil
}

// append puts an object beside what has its key, or at its key when nothing has it. What is there of an earlier run it replaces.
// Some objects have no room beside them, and the kernel takes no notice.
func (r *Run) append(ctx context.Context, op Op) error {
	have, err := r.at(ctx, op.Object)
	if err != nil {
		return err
	}
	undo := effect{inverse: []Op{{Del, op.Object}}}
	if len(have) == 0 {
		return r.carry(ctx, op, op.Object.Key(), undo)
	}
	for _, e := range r.scopes.ledger.sharing(op.Object.Key()) {
		if e.scope != r.scope || !e.says(op.Object) {
			continue
		}
		if !e.holds(have) { // it was lost
			return r.carry(ctx, op, e.place, undo)
		}
		r.touched.add(e.place)
		return nil
	}
	if slices.ContainsFunc(have, func(h Object) bool { return isAs(op.Object, h) }) {
		return r.scopes.kernel.Do(ctx, op) // somebody else's
	}
	e, owned := r.scopes.ledger.at(op.Object.Key())
	switch {
	case owned && e.scope == r.scope && !r.touched.has(e.place) && e.holds(have[:1]):
		return r.supersede(ctx, e, op)
	case twins(op.Object):
		return r.carry(ctx, op, place(op.Verb, op.Object), undo)
	}
	return r.scopes.kernel.Do(ctx, op)
}

// replace tries first whether nothing is there, since to look may mean to read a whole table.
func (r *Run) replace(ctx context.Context, op Op) error {
	key := op.Object.Key()
	anew := len(r.scopes.ledger.sharing(key)) == 0
	if e, ok := r.scopes.ledger.at(key); ok && e.scope == r.scope && !r.scopes.ledger.hasBeside(key) {
		// What the scope owns may be gone, with its link for one, and then is nothing to go back to.
		err := r.carry(ctx, Op{Change, op.Object}, key, effect{inverse: []Op{{Replace, e.object}}})
		if anew = errors.Is(err, fs.ErrNotExist); !anew {
			return named(err, op)
		}
	}
	if anew {
		err := r.carry(ctx, Op{Add, op.Object}, key, effect{inverse: []Op{{Del, op.Object}}})
		if !errors.Is(err, fs.ErrExist) {
			return named(err, op)
		}
	}
	if err := r.clearBefore(ctx, op.Object); err != nil {
		return err
	}
	return r.change(ctx, op)
}

// clearBefore deletes what the scope has of an earlier run in front of what this run made, or found as it wanted it, at the
// object's key: the kernel replaces what comes first, and where no run was before that is this one's. It also deletes the object
// itself where it is not the first, since the kernel makes no route as another one is.
func (r *Run) clearBefore(ctx context.Context, o Object) error {
	if !r.scopes.ledger.hasBeside(o.Key()) {
		return nil
	}
	have, err := r.at(ctx, o)
	if err != nil {
		return err
	}
	owner := func(o Object) (e entry, mine bool) {
		owners := r.owners([]Object{o})
		if len(owners) == 0 || owners[0].scope != r.scope {
			return entry{}, false
		}
		return owners[0], true
	}
	first := slices.IndexFunc(have, func(h Object) bool { e, mine := owner(h); return mine && r.touched.has(e.place) })
	for i, h := range have {
		e, mine := owner(h)
		if !mine || r.touched.has(e.place) || i >= first && (i == 0 || !e.says(o)) {
			continue
		}
		if err := r.del(ctx, Op{Del, exact(h)}); err != nil {
			return err
		}
	}
	return nil
}

// named is a refusal as one of the operation that was asked for.
func named(err error, op Op) error {
	if refused, ok := errors.AsType[*OpError](err); ok {
		refused.Op = op
	}
	return err
}

func (r *Run) change(ctx context.Context, op Op) error {
	undo, err := r.undoing(ctx, op)
	if err != nil {
		return err
	}
	if l, ok := op.Object.(Link); ok && l.Rename != "" {
		return r.rename(ctx, op, undo.inverse)
	}
	return r.carry(ctx, op, op.Object.Key(), undo)
}

// set changes a setting, which has to be given back as it was before any scope set it, once none wants it any more. One that
// cannot be read, and so has no value to give back, belongs to nobody.
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
	undo := effect{inverse: []Op{{Set, have}}}
	for _, e := range r.scopes.ledger.sharing(s.Key()) {
		other := e.object.(Sysctl)
		s.Before = other.Before
		if e.scope != r.scope && oneBlank(other.Value) != oneBlank(s.Value) { // the last one wins
			undo.lost = append(undo.lost, e)
		}
	}
	at := s.place(r.scope)
	if err := r.carry(ctx, Op{Set, s}, at, undo); err != nil {
		return err
	}
	// The kernel may have its own way to write the value.
	if now, ok := read(); ok && now.Value != oneBlank(s.Value) {
		s.Value = now.Value
		return r.scopes.ledger.own(entry{scope: r.scope, place: at, object: s})
	}
	return nil
}

// An effect is what else an operation does than to make its object.
type effect struct {
	inverse []Op     // what takes it back
	lost    []entry  // what is there no more, and owned by nobody
	behind  []Object // what came after it at its key
}

// carry has the kernel do the operation, after the ledger was told what the scope is about to own at the place.
func (r *Run) carry(ctx context.Context, op Op, place string, undo effect) error {
	release, err := r.claim(op, place)
	if err != nil {
		return err
	}
	if err := r.scopes.kernel.Do(ctx, op); err != nil {
		release()
		return err
	}
	r.touched.add(place)
	r.free(undo.lost)
	r.undo = append(r.undo, func(ctx context.Context) error {
		return r.takeBack(ctx, undo.inverse, func() { release(); r.giveBack(undo.lost) })
	})
	return nil
}
