package kernel

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/overlayd/overlayd/internal/journal"
)

// A ledger remembers which scope owns which objects, in memory and in a journal.
type ledger struct {
	log *slog.Logger

	mu      sync.Mutex
	journal *journal.Journal[record] // nil keeps everything in memory
	records []record                 // room for what the journal is told
	next    int
	entries map[string]*entry   // by place; what is in an entry never changes
	owners  map[string]*owner   // by scope; those of which anything is known
	time    uint64              // how often a run has begun or ended
	beside  map[string][]string // places of entries that are not at their object's key, by that key
	untold  map[string]*entry   // by place; those that the kernel tells nothing of
}

// An entry is an object and the scope that owns it.
type entry struct {
	scope, place string
	object       Object // as it was made
	set          *Link  // what the scope has set of a link since; nil for nothing
	former       Object // what was at the place before; nil when nothing that a deletion of the object would miss
	since        int    // orders entries by age
	keyed        bool   // the place is known to be the object's key
	beside       bool   // the object was put beside what has its key
}

// says reports whether the object was made as it is described here.
func (e entry) says(o Object) bool { return e.object.command(Add) == o.command(Add) }

// place is where an object goes that the verb makes: its Key, unless the verb puts it beside what has this key.
func place(verb Verb, o Object) string {
	if verb == Append {
		return Op{Append, o}.String()
	}
	return o.Key()
}

func openLedger(path string, now journal.Life, log *slog.Logger) (*ledger, error) {
	l := &ledger{log: log, entries: map[string]*entry{}, owners: map[string]*owner{}, untold: map[string]*entry{}, beside: map[string][]string{}}
	if path == "" {
		return l, nil
	}
	var err error
	l.journal, err = journal.Open(path, now, log, func(r record) bool {
		switch {
		case r.object != nil:
			e := r.entry()
			l.set(&e, l.owner(e.scope))
		case r.place != "":
			l.unset(r.place)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return l, l.rewrite()
}

// rewrite makes the journal say only what holds now.
func (l *ledger) rewrite() error {
	return l.journal.Rewrite(func(yield func(record) bool) {
		for _, e := range byAge(l.entries) {
			if e.former != nil && !yield(entry{scope: e.scope, place: e.place, object: e.former}.record()) {
				return
			}
			if !yield(e.record()) {
				return
			}
		}
	})
}

func byAge(entries map[string]*entry) []*entry {
	return slices.SortedFunc(maps.Values(entries), func(a, b *entry) int { return cmp.Compare(a.since, b.since) })
}

// own makes the entry's scope the owner of the object at the place, whoever it was before.
func (l *ledger) own(e entry) error { return l.ownAll([]*entry{&e}) }

// ownAll is own for many entries, which are the ledger's from then on.
func (l *ledger) ownAll(entries []*entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(entries); err != nil {
		return err
	}
	for _, e := range entries {
		l.set(e, l.owner(e.scope))
	}
	return l.tidy()
}

// hold is own in memory alone, of which the journal has to be told before anything is made. A run in the owner's scope is open.
func (l *ledger) hold(o *owner, e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(e, o)
}

// tell tells the journal of what is held.
func (l *ledger) tell(entries []*entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(entries); err != nil {
		return err
	}
	return l.tidy()
}

// write appends the entries to the journal, by one write.
func (l *ledger) write(entries []*entry) error {
	l.records = slices.Grow(l.records[:0], len(entries))
	defer func() { clear(l.records) }()
	for _, e := range entries {
		l.records = append(l.records, e.record())
	}
	return l.journal.Append(l.records...)
}

// free makes nobody the owner of the place.
func (l *ledger) free(place string) {
	l.drop(place)
	l.forget(place)
}

// drop makes nobody the owner of the place, and leaves the journal in the belief that somebody is: a process that starts
// after this one was killed would go on from there.
func (l *ledger) drop(place string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unset(place)
}

// forget has the journal forget those of the places that nobody owns any more. That it could not is logged: the worst that comes of
// it is that an object which is gone is deleted once more.
func (l *ledger) forget(places ...string) {
	if len(places) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var records []record
	for _, p := range places {
		if l.entries[p] == nil {
			records = append(records, record{place: p})
		}
	}
	err := l.journal.Append(records...)
	if err == nil {
		err = l.tidy()
	}
	if err != nil {
		l.log.Warn("ledger keeps what is gone", "first", places[0], "places", len(places), "err", err)
	}
}

func (l *ledger) tidy() error {
	if !l.journal.Outdated(len(l.entries)) {
		return nil
	}
	return l.rewrite()
}

// set puts an entry of the owner's into its place. One that changes there is as old as before.
func (l *ledger) set(e *entry, o *owner) {
	l.next++
	e.since, e.scope = l.next, o.scope // one text for all
	was := l.entries[e.place]
	if was != nil && !e.says(was.object) {
		// A process that is killed before it has replaced the one by the other leaves the former.
		switch e.object.(type) {
		case Route, FDB:
			e.former = was.object
		}
	}
	if was != nil && was.scope == e.scope {
		e.since = was.since
		l.entries[e.place] = e
		o.entries[slices.Index(o.entries, was)] = e
		l.uncount(was)
	} else {
		if was != nil {
			l.unset(e.place)
		}
		l.entries[e.place] = e
		o.entries = append(o.entries, e)
	}
	switch e.object.(type) {
	case Device, Peer, Sysctl:
		l.untold[e.place] = e
	}
	if e.keyed {
		return
	}
	if key := e.object.Key(); key != e.place {
		e.beside = true
		l.beside[key] = append(l.beside[key], e.place)
	}
}

func (l *ledger) unset(place string) {
	e, ok := l.entries[place]
	if !ok {
		return
	}
	delete(l.entries, place)
	delete(l.untold, place)
	o := l.owners[e.scope]
	i := slices.Index(o.entries, e)
	o.entries = slices.Delete(o.entries, i, i+1)
	l.forgetOwner(o)
	l.uncount(e)
}

// uncount forgets that the entry, which is no more, was beside another.
func (l *ledger) uncount(e *entry) {
	if !e.beside {
		return
	}
	key := e.object.Key()
	l.beside[key] = slices.DeleteFunc(l.beside[key], func(at string) bool { return at == e.place })
	if len(l.beside[key]) == 0 {
		delete(l.beside, key)
	}
}

func (l *ledger) at(place string) (entry, bool) {
	if e := l.ref(place); e != nil {
		return *e, true
	}
	return entry{}, false
}

// ref is the entry at the place, nil without one.
func (l *ledger) ref(place string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[place]
}

// has reports whether the entry is still what is owned at its place: a run of another scope may have taken that over.
func (l *ledger) has(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[e.place] == e
}

// hasBeside reports whether something was put beside what has the key.
func (l *ledger) hasBeside(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.beside[key]) > 0
}

// sharing is what is owned of the key: what is at it, and what is beside that.
func (l *ledger) sharing(key string) (list []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[key]; ok {
		list = append(list, *e)
	}
	for _, place := range l.beside[key] {
		list = append(list, *l.entries[place])
	}
	return list
}

// all is what all scopes own, in any order.
func (l *ledger) all() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq(make([]*entry, 0, len(l.entries)), maps.Values(l.entries))
}

// some is what is owned at the places, in any order.
func (l *ledger) some(places map[string]bool) (list []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range places {
		if e, ok := l.entries[p]; ok {
			list = append(list, e)
		}
	}
	return list
}

// silent is what the kernel tells nothing of when it changes, in any order.
func (l *ledger) silent() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.untold))
}

// hasPeers reports whether somebody owns a WireGuard peer of the link.
func (l *ledger) hasPeers(link string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.untold {
		if p, ok := e.object.(Peer); ok && p.Dev == link {
			return true
		}
	}
	return false
}

// of is what the scope owns, oldest first.
func (l *ledger) of(scope string) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.owners[scope]
	if o == nil {
		return nil
	}
	list := make([]entry, len(o.entries))
	for i, e := range o.entries {
		list[i] = *e
	}
	return list
}

// hanging is what goes away with the link, in all scopes.
func (l *ledger) hanging(link string) (list []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if hangsOn(e.object, link) {
			list = append(list, *e)
		}
	}
	return list
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.journal.Close()
}
