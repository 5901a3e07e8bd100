package kernel

import "slices"

// An owner is what is known of a scope. The ledger's lock guards it.
type owner struct {
	scope   string    // its name
	entries []*entry  // what it owns, oldest first
	freed   []string  // places that nobody owns any more, and that the journal still has
	begun   uint64    // which of all runs the last one in the scope is
	open    bool      // that one has not ended
	room    [3]*entry // for the entries of a peer of vxlan
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
	if len(o.entries) == 0 && len(o.freed) == 0 && !o.open {
		delete(l.owners, o.scope)
	}
}

// begin opens the runs in their scopes, and returns the places that these have freed before.
func (l *ledger) begin(runs []*Run) (freed []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range runs {
		l.runs++
		r.owner = l.owner(r.scope)
		r.owner.begun, r.owner.open = l.runs, true
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
		r.owner.open = false
		r.owner.freed = append(r.owner.freed, r.freed...)
		l.forgetOwner(r.owner)
	}
}

// lastRun is which of all runs the last one is.
func (l *ledger) lastRun() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs
}

// isOpen reports whether a run in the scope has not ended.
func (l *ledger) isOpen(scope string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owners[scope]
	return o != nil && o.open
}

// hadRun reports whether a run in the scope, which is known of, is open or began after the one of that number.
func (l *ledger) hadRun(scope string, after uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owners[scope]
	return o != nil && (o.open || o.begun > after)
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
