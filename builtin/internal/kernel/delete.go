package kernel

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
)

// del deletes, and takes the object and what of the scope goes away with it out of the scope's ownership. What other scopes
// lose thereby is still theirs: it is to be repaired, or for their own hooks to delete.
func (r *Run) del(ctx context.Context, op Op) error {
	undo, err := r.rebuilding(ctx, op.Object)
	if err != nil {
		return err
	}
	mine := slices.ContainsFunc(undo.lost, func(e entry) bool { return e.scope == r.scope && means(op.Object, e.object) })
	if err := r.scopes.kernel.Do(ctx, op); errors.Is(err, fs.ErrNotExist) && mine {
		undo.inverse = nil
	} else if err != nil {
		return err
	}
	r.free(undo.lost)
	r.undo = append(r.undo, func(ctx context.Context) error {
		if err := r.takeBack(ctx, undo.inverse, func() { r.giveBack(undo.lost) }); err != nil {
			return err
		}
		return r.putBehind(ctx, undo.behind)
	})
	return nil
}

// deleteExactly deletes the object, and nothing that is like it. Its error is fs.ErrNotExist when it is gone already.
func (r *Run) deleteExactly(ctx context.Context, o Object) error {
	// To IPv4 a metric of 0 is any: without the route that has none, one that somebody made with another would go.
	if route, ok := o.(Route); ok && route.Dst.Addr().Is4() && route.Metric == 0 {
		if there, err := r.isThere(ctx, route); err != nil || !there {
			return cmp.Or(err, fs.ErrNotExist)
		}
	}
	return r.scopes.kernel.Do(ctx, Op{Del, exact(o)})
}

// isThere reports whether the route is. To look a packet up is far cheaper than to read a table, and mostly tells.
func (r *Run) isThere(ctx context.Context, o Route) (bool, error) {
	isIt := func(have Object) bool { return have.Key() == o.Key() && means(exact(o), have) }
	if found, err := r.Lookup(ctx, Query{To: o.Dst.Addr(), Match: true}); err == nil && isIt(found) {
		return true, nil
	}
	have, err := r.at(ctx, o)
	return slices.ContainsFunc(have, isIt), err
}

// free makes nobody the owner of the entries' places.
func (r *Run) free(entries []entry) {
	for _, e := range entries {
		r.scopes.ledger.drop(e.place)
		r.freed = append(r.freed, e.place)
	}
}

// hangingOn is what nobody owns any more once the link is deleted: itself, and what of the scope hangs on it.
func (r *Run) hangingOn(l Link) []entry {
	return slices.DeleteFunc(r.scopes.ledger.hanging(l.Name), func(e entry) bool {
		return e.scope != r.scope && e.place != l.Key()
	})
}

// owners are the entries of what is about to be deleted, which the kernel has as it is listed.
func (r *Run) owners(doomed []Object) (lost []entry) {
	for _, o := range doomed {
		sharing := r.scopes.ledger.sharing(o.Key())
		if _, rule := o.(Rule); rule { // its key tells more than was said when it was made
			sharing = r.scopes.ledger.of(r.scope)
		}
		for _, e := range sharing {
			if e.holds([]Object{o}) && (!perishes(e.object) || e.object.Key() == o.Key()) || !twins(o) && e.object.Key() == o.Key() {
				lost = append(lost, e)
				break
			}
		}
	}
	return lost
}

// meant is the first thing of the scope that a deletion can mean.
func (r *Run) meant(o Object) []entry {
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
		at := o.Key()
		if s, ok := o.(Sysctl); ok {
			at = s.place(e.scope)
		} else if e.beside {
			at = place(Append, o)
		}
		places = append(places, at)
		r.scopes.ledger.free(e.place)
		set := e.set
		if set != nil {
			s := renamed(*set, l.Name, l.Rename).(Link)
			set = &s
		}
		r.giveBack([]entry{{scope: e.scope, place: at, object: o, set: set}})
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
