package lease

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A pause is how long to wait before the next try: from first, doubled each time up to limit, and jittered so that nodes
// that failed together do not try together.
type pause struct{ first, limit, next time.Duration }

func (p *pause) delay() time.Duration {
	p.next = min(max(2*p.next, p.first), p.limit)
	return jitter(p.next)
}

func (p *pause) reset() { p.next = 0 }

// jitter is between three quarters of d and d.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// A reporter logs trouble when it begins, when it is of a kind that it was not yet, and when it is over, not each time that it is
// met.
type reporter struct {
	log  *slog.Logger
	what string

	mu   sync.Mutex
	said map[string]bool // nil without trouble
}

// maxSaid is how many kinds of one trouble are worth a line each.
const maxSaid = 10

func (r *reporter) trouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said == nil {
		r.said = map[string]bool{}
	}
	if text := err.Error(); !r.said[text] && len(r.said) < maxSaid {
		r.said[text] = true
		r.log.Warn(r.what+": trying on", "err", err)
	}
}

func (r *reporter) fine() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said != nil {
		r.said = nil
		r.log.Info(r.what + ": works again")
	}
}
