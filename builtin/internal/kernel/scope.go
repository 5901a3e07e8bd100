package kernel

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/overlayd/overlayd/internal/journal"
)

// Scopes are the owners of what overlayd makes in the kernel: one for the node itself, one for each peer. They make
// imperative changes repeatable and undoable, which is package hooks' promise to the authors of hooks.
//
// An object belongs to the scope that made or replaced it last, until it is deleted or its link is. Ownership is kept in
// a file as well: it is written before the object is made, so that a process which dies at any moment forgets nothing,
// and at worst owns one object that it did not come to make.
type Scopes struct {
	kernel Kernel
	ledger *ledger
	watch  *watch
	log    *slog.Logger

	mending sync.Mutex // held while lost objects are put back
}

// NewScopes takes up the ownership that the file at the path tells of, unless the machine was booted since, or this is
// another network namespace. Lines of the file that are damaged are set aside, beside it, and logged. An empty path keeps
// ownership in memory alone.
func NewScopes(k Kernel, ledgerPath string, log *slog.Logger) (*Scopes, error) {
	now, err := journal.Now()
	if err != nil {
		return nil, err
	}
	return newScopes(k, ledgerPath, now, log)
}

func newScopes(k Kernel, ledgerPath string, now journal.Life, log *slog.Logger) (*Scopes, error) {
	ledger, err := openLedger(ledgerPath, now, log)
	if err != nil {
		return nil, err
	}
	return &Scopes{kernel: k, ledger: ledger, watch: newWatch(), log: log}, nil
}

// Begin opens a run in the scope of that name. The run ends with one of Undo, Keep, Sweep and Clear; until then no other
// may be open in the scope.
func (s *Scopes) Begin(scope string) *Run {
	r := &Run{scope: scope}
	s.beginAll([]*Run{r})
	return r
}

// beginAll opens the runs in their scopes. It tells the journal what earlier ones have freed. It was not told when they ended: whoever
// began them first has to write down, for the process after this one, that they succeeded. Until then their deletions have to succeed
// once more.
func (s *Scopes) beginAll(runs []*Run) {
	for _, r := range runs {
		r.scopes = s
	}
	s.mending.Lock() // a run must not begin amid what is put back of its scope
	freed := s.ledger.begin(runs)
	s.mending.Unlock()
	s.ledger.forget(freed...)
}

// Names returns the names of the scopes that own something, sorted.
func (s *Scopes) Names() []string {
	names := s.ledger.scopes(func(o *owner) bool { return len(o.entries) > 0 })
	slices.Sort(names)
	return names
}

// Owned returns what the scope owns, as it was made, oldest first.
func (s *Scopes) Owned(scope string) []Object {
	var list []Object
	for _, e := range s.ledger.of(scope) {
		list = append(list, e.object)
	}
	return list
}

// A Holding is an object that a scope owns, as it was made.
type Holding struct {
	Object
	Missing bool // the kernel lacks it, or has it otherwise
}

// Holdings returns what the scope owns and how the kernel has it, oldest first.
func (s *Scopes) Holdings(ctx context.Context, scope string) ([]Holding, error) {
	var entries []*entry
	for _, e := range s.ledger.of(scope) {
		entries = append(entries, &e)
	}
	lost, err := s.lost(ctx, entries)
	if err != nil {
		return nil, err
	}
	holdings := make([]Holding, len(entries))
	for i, e := range entries {
		holdings[i] = Holding{e.object, slices.Contains(lost, e)}
	}
	return holdings, nil
}

// Owner returns the name of the scope that owns what is at the object's place, "" when none does.
func (s *Scopes) Owner(o Object) string {
	e, _ := s.ledger.at(o.Key())
	return e.scope
}

// Give makes the scope the owner of what is owned at the object's place, and changes nothing else.
func (s *Scopes) Give(o Object, to string) error {
	e, ok := s.ledger.at(o.Key())
	if !ok || e.scope == to {
		return nil
	}
	e.scope = to
	return s.ledger.own(e)
}

// Move makes one scope the owner of all that another owns, and changes nothing else. No run may be open in either.
func (s *Scopes) Move(from, to string) error {
	s.ledger.forget(s.ledger.takeFreed(from)...)
	s.mending.Lock()
	defer s.mending.Unlock()
	owned := s.ledger.of(from)
	entries := make([]*entry, len(owned))
	for i, e := range owned {
		e.scope = to
		entries[i] = &e
	}
	return s.ledger.ownAll(entries)
}

// LinkMTU returns the smallest MTU, in bytes, of the links that the scope owns; 0 without any.
func (s *Scopes) LinkMTU(ctx context.Context, scope string) (int, error) {
	smallest := 0
	for _, o := range s.Owned(scope) {
		owned, ok := o.(Link)
		if !ok {
			continue
		}
		have, err := s.link(ctx, owned.Name)
		if err != nil {
			return 0, err
		}
		if have != nil && (smallest == 0 || have.MTU < smallest) {
			smallest = have.MTU
		}
	}
	return smallest, nil
}

// link is the link of that name, nil when there is none.
func (s *Scopes) link(ctx context.Context, name string) (*Link, error) {
	list, err := s.kernel.List(ctx, Link{Name: name, Details: new(Details)})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	l := list[0].(Link)
	return &l, nil
}

// Close gives the file back. The Kernel stays open, and what is owned stays as it is.
func (s *Scopes) Close() error {
	for _, scope := range s.ledger.scopes(func(o *owner) bool { return len(o.freed) > 0 }) {
		s.ledger.forget(s.ledger.takeFreed(scope)...)
	}
	return s.ledger.close()
}
