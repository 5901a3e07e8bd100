package kernel

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/sleep"
)

// A Notice is what the kernel tells of one change.
type Notice struct {
	Object Object // nil when notices were lost, so that anything may have changed
	Gone   bool   // it is not there any more
}

const (
	// settle is how long a look at the kernel waits for more of what made it necessary.
	settle = 10 * time.Millisecond
	// restraint is how much longer than a look took the next one waits, if that found nothing. After one that did, more is likely.
	restraint = 4
	// pollEvery is how often to look at what the kernel tells nothing of, if it takes less than the pollThrift-th part of that.
	pollEvery  = time.Second
	pollThrift = 200
)

// A watch is what is known of scopes so that their damage is told once, and none that a run is about to mend.
type watch struct {
	mu        sync.Mutex
	suspected map[string]bool // scopes that were found damaged while a run was open
	told      map[string]bool // places whose loss has been told, and no run has mended since: whether they are empty still
	due       chan struct{}   // a look at the kernel is due
	places    map[string]bool // where to look then
	all       bool            // look everywhere
}

func newWatch() *watch {
	return &watch{
		suspected: map[string]bool{}, told: map[string]bool{},
		due: make(chan struct{}, 1), places: map[string]bool{},
	}
}

// look makes a look at the kernel due, at some places or, without any, at all.
func (w *watch) look(places ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range places {
		w.places[p] = true
	}
	if len(places) == 0 {
		w.lookAnywhere()
		return
	}
	w.isDue()
}

// lookAnywhere makes a look due at all there is. The lock is held.
func (w *watch) lookAnywhere() {
	w.all = true
	w.isDue()
}

func (w *watch) isDue() {
	select {
	case w.due <- struct{}{}:
	default: // it is already
	}
}

// take says where to look, and forgets it.
func (w *watch) take() (places map[string]bool, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	places, all = w.places, w.all
	w.places, w.all = map[string]bool{}, false
	return places, all
}

// isLost reports whether what was at the place has been found lost, and has not been put back, nor mended by a run, since.
func (w *watch) isLost(place string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[place]
}

// isBack tells that what was at the places is there again, for which a run has yet to care.
func (w *watch) isBack(places []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range places {
		w.told[p] = false
	}
}

// ended says that the runs' scopes are at rest. Whoever tells of damage holds the watch's lock, and so knows of the end or is known of.
func (s *Scopes) ended(success bool, runs ...*Run) {
	w := s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	s.ledger.end(runs)
	for _, r := range runs {
		if success && len(w.told) > 0 {
			for place := range r.touched.all() {
				delete(w.told, place)
			}
		}
		if len(w.suspected) > 0 && w.suspected[r.scope] {
			delete(w.suspected, r.scope)
			w.lookAnywhere()
		}
	}
}

// tellAgain forgets what was told: what could not be mended before may be now.
func (w *watch) tellAgain() {
	w.mu.Lock()
	clear(w.told)
	w.mu.Unlock()
	w.look()
}

// Watch calls damaged with the names of the scopes that have lost something, or have it no more as they made it, until the
// context ends, whose error it returns. What of it can be put back is by then. Watch looks at the kernel soon after each change
// that the kernel tells of and that concerns an owned object, at what the kernel does not tell of once a second or less often if
// that takes long, and at all about once per interval. A loss is told once, and again when a link or an address has come up, or
// a run has mended it and it is lost once more. No scope is told of while a run in it is open.
func (s *Scopes) Watch(ctx context.Context, interval time.Duration, damaged func(scopes []string)) error {
	s.watch.tellAgain()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		up := map[string]bool{}
		return s.kernel.Watch(ctx, func(n Notice) {
			if n.brings(up) {
				s.watch.tellAgain()
			} else if places, concerns := s.concerns(n); concerns {
				s.watch.look(places...)
			}
		})
	})
	g.Go(func() error { return s.auditAgain(ctx, interval, damaged) })
	return g.Wait()
}

// auditAgain audits whenever that is due.
func (s *Scopes) auditAgain(ctx context.Context, interval time.Duration, damaged func(scopes []string)) error {
	next, poll := time.Now().Add(interval-rand.N(interval/5+1)), pollEvery
	for {
		entries := s.ledger.silent
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.watch.due:
			if err := sleep.For(ctx, settle); err != nil {
				return err
			}
			places, all := s.watch.take()
			if entries = (func() []*entry { return s.ledger.some(places) }); all {
				next = time.Time{}
			}
		case <-time.After(min(time.Until(next), poll)):
		}
		if !next.After(time.Now()) {
			next, entries = time.Now().Add(interval-rand.N(interval/5+1)), s.ledger.all
		}
		began := time.Now()
		scopes, err := s.audit(ctx, entries)
		poll = max(pollEvery, pollThrift*time.Since(began))
		if err != nil && ctx.Err() == nil {
			s.log.Warn("owned objects could not be looked at", "err", err)
		}
		rest := restraint * time.Since(began)
		if len(scopes) > 0 {
			rest /= restraint
			damaged(scopes)
		}
		if err := sleep.For(ctx, rest); err != nil {
			return err
		}
	}
}

// brings reports whether the notice is of a link or an address that has come up, by which routes become possible. up
// remembers which links are. Link-local addresses, which come a moment after each link, make none possible that it did not.
func (n Notice) brings(up map[string]bool) bool {
	switch o := n.Object.(type) {
	case Addr:
		return !n.Gone && !o.Prefix.Addr().IsLinkLocalUnicast()
	case Link:
		was, is := up[o.Name], !n.Gone && o.State == Up && !slices.Contains(o.Flags, "NO-CARRIER")
		if !is {
			delete(up, o.Name) // names of containers' links do not come again
			return false
		}
		up[o.Name] = true
		return !was
	}
	return false
}

// concerns reports whether the notice may be of damage to owned objects, and where; it may be anywhere when no place is said.
func (s *Scopes) concerns(n Notice) (places []string, concerns bool) {
	switch o := n.Object.(type) {
	case nil, Link, Device, Sysctl: // routes of a link that goes down vanish without a notice
		return nil, true
	case Addr: // and so do those of one that loses its last address
		if n.Gone {
			return nil, true
		}
	case Rule: // one may be meant by what it does not say
		return nil, n.Gone
	case VLAN:
		for _, e := range s.ledger.vlans(o.Dev) { // one may have become the PVID in place of another
			places = append(places, e.place)
		}
		return places, len(places) > 0
	case Route:
		if place, hidden := s.hidden(o); hidden && !n.Gone {
			return []string{place}, true
		}
	}
	for _, e := range s.ledger.sharing(n.Object.Key()) {
		if n.Gone || !e.holds([]Object{n.Object}) {
			places = append(places, e.place)
		}
	}
	return places, len(places) > 0
}

// hidden is the place of a spread route that packets do not take any more, but the other, which is somebody else's.
func (s *Scopes) hidden(by Route) (place string, ok bool) {
	e, _ := s.ledger.at(Spread(by).Key())
	ours, ok := e.object.(Route)
	return e.place, ok && ours.isSpread() && ours.isUnder(by)
}
