package kernel

import (
	"math"
	"slices"
)

// An owner is what is known of a scope. The ledger's lock guards it.
type owner struct {
	scope   string    // its name
	entries []*entry  // what it owns, oldest first
	freed   []string  // places that nobody owns any more, and that the journal still has
	open    int       // runs that have not ended
	last    uint64    // the ledger's time when one of its runs began or ended last
	room    [3]*entry // for the entries of a peer of vxlan in one family
}

// owner is that of the scope. The lock is held.
func (l *ledger) owner(scope string) *owner {
	o := l.owners[scope]
	if o == nil {
		o = &owner{scope: scope}
		o.entries = o.room[:0]
		l.owners[scope] = o
	}
	return o
}

// forgetOwner forgets an owner of which nothing is to be known any more. The lock is held.
func (l *ledger) forgetOwner(o *owner) {
	if len(o.entries) == 0 && len(o.freed) == 0 && o.open == 0 {
		delete(l.owners, o.scope)
	}
}

// begin opens the runs in their scopes, and returns the places that these have freed before.
func (l *ledger) begin(runs []*Run) (freed []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range runs {
		l.time++
		r.owner = l.owner(r.scope)
		r.owner.open++
		r.owner.last = l.time
		freed = append(freed, r.owner.freed...)
		r.owner.freed = nil
	}
	return freed
}

// end ends the runs, each of which has freed some places.
func (l *ledger) end(runs []*Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range runs {
		l.time++
		r.owner.open--
		r.owner.last = l.time
		r.owner.freed = append(r.owner.freed, r.freed...)
		l.forgetOwner(r.owner)
	}
}

// now is the ledger's time.
func (l *ledger) now() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.time
}

// isOpen reports whether a run in the scope has not ended.
func (l *ledger) isOpen(scope string) bool { return l.hadRun(scope, math.MaxUint64) }

// hadRun reports whether a run in the scope is open, or was after the ledger's time given. Of a scope that owns nothing any more it may
// know nothing.
func (l *ledger) hadRun(scope string, after uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owners[scope]
	return o != nil && (o.open > 0 || o.last > after)
}

// owns reports whether the owner has anything.
func (l *ledger) owns(o *owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(o.entries) > 0
}

// ownsMore reports whether the owner has more than these places.
func (l *ledger) ownsMore(o *owner, places *places) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(o.entries, func(e *entry) bool { return !places.has(e.place) })
}

// scopes are those whose owners are meant, in any order.
func (l *ledger) scopes(meant func(*owner) bool) (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for scope, o := range l.owners {
		if meant(o) {
			list = append(list, scope)
		}
	}
	return list
}

// takeFreed is what the scope has freed and the journal still has, of which the ledger knows no more.
func (l *ledger) takeFreed(scope string) (places []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.owners[scope]; o != nil {
		places, o.freed = o.freed, nil
		l.forgetOwner(o)
	}
	return places
}
