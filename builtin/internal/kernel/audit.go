package kernel

import (
	"cmp"
	"context"
	"slices"
)

// Audit compares what scopes own with what the kernel has, and returns the names of the damaged scopes whose loss has not been
// told yet. See Watch.
func (s *Scopes) Audit(ctx context.Context) ([]string, error) { return s.audit(ctx, s.ledger.all) }

// audit is Audit for some of the entries. It asks for them after the ledger's time: a run that begins or ends
// from then on may have deleted, or made, what they tell of.
func (s *Scopes) audit(ctx context.Context, entries func() []*entry) ([]string, error) {
	since := s.ledger.now()
	lost, err := s.lost(ctx, entries())
	if err != nil {
		return nil, err
	}
	s.mending.Lock()
	defer s.mending.Unlock()
	news, scopes := s.tell(lost, since)
	if len(news) > 0 {
		s.log.Warn("somebody took away or changed what hooks made", "objects", len(news), "put_back", s.putBack(ctx, news), "scopes", len(scopes),
			"first", Op{Add, news[0].object}.String(), "scope", news[0].scope)
	}
	return scopes, nil
}

// lost picks from the entries those that the kernel does not have as they were made. Routes, neighbours and FDB entries may be
// thousands.
func (s *Scopes) lost(ctx context.Context, entries []*entry) (lost []*entry, err error) {
	many, theirs := make([]Object, 0, len(entries)), make([]*entry, 0, len(entries))
	var few []Object
	var others []*entry
	for _, e := range entries {
		switch e.object.(type) {
		case Route, Neigh, FDB:
			if !perishes(e.object) {
				many, theirs = append(many, e.object), append(theirs, e)
			}
		default:
			few, others = append(few, e.object), append(others, e)
		}
	}
	differences, err := s.kernel.Compare(ctx, many)
	if err != nil {
		return nil, err
	}
	have, err := survey(ctx, s.kernel, few)
	if err != nil {
		return nil, err
	}
	for _, e := range others {
		if !e.holds(have[spot(e.object)]) {
			lost = append(lost, e)
		}
	}
	for i, d := range differences {
		if i == 0 || differences[i-1].Index != d.Index {
			lost = append(lost, theirs[d.Index])
		}
	}
	slices.SortFunc(lost, func(a, b *entry) int { return cmp.Compare(a.since, b.since) })
	return lost, nil
}

// tell marks the entries, which are lost, as told, and returns them and the names of their scopes, but for what is told already,
// and what is a scope's that has an open run, or had one since the ledger's time given.
func (s *Scopes) tell(entries []*entry, since uint64) (news []*entry, scopes []string) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range entries {
		switch {
		case s.ledger.hadRun(e.scope, since):
			s.watch.suspected[e.scope] = true
			continue
		case !s.ledger.has(e):
			continue
		}
		if _, told := s.watch.told[e.place]; told {
			continue
		}
		s.watch.told[e.place] = true
		news = append(news, e)
		if !seen[e.scope] {
			seen[e.scope] = true
			scopes = append(scopes, e.scope)
		}
	}
	for scope := range s.watch.suspected {
		if !s.ledger.isOpen(scope) { // its run ended while this looked
			delete(s.watch.suspected, scope)
			s.watch.lookAnywhere()
		}
	}
	return news, scopes
}
