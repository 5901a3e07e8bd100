package control

import (
	"maps"
	"slices"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

// A Reach is how a peer answers when it is asked now and then.
type Reach struct {
	RoundTrip   float64   `json:"roundTripSeconds,omitzero"` // of the last answer, from the overlay if that ever answers
	SilentSince time.Time `json:"silentSince,omitzero"`      // when it did not answer for the first time, and has not since
}

// Answers are how long a peer's addresses took to answer, the shortest of both families, 0 for none.
type Answers struct {
	Underlay, Tunnel, Overlay time.Duration
}

// inside is the answer that came through the overlay.
func (a Answers) inside() time.Duration {
	if a.Tunnel == 0 {
		return a.Overlay
	}
	return a.Tunnel
}

// misses is how often in a row a peer does not answer before it counts as unreachable. One echo may be lost.
const misses = 3

// A reach is what is known of a peer's answers.
type reach struct {
	ever   Answers // the last ones
	missed int     // in a row
	since  time.Time
}

// take takes in how the peer answered, where it is known whether its subnet's first address is the tunnel's own, so that it has to
// answer. It reports whether that makes the peer another.
func (r *reach) take(a Answers, tunnels bool, now time.Time) (news bool) {
	for _, layer := range []struct{ ever, now *time.Duration }{
		{&r.ever.Underlay, &a.Underlay}, {&r.ever.Tunnel, &a.Tunnel}, {&r.ever.Overlay, &a.Overlay},
	} {
		if *layer.now > 0 {
			*layer.ever = *layer.now
		}
	}
	was := r.unreachable()
	switch {
	case r.good(a, tunnels):
		r.missed = 0
	case r.missed == 0:
		r.since = now
		fallthrough
	default:
		r.missed++
	}
	return was != r.unreachable()
}

// good reports whether the answers are all that can be expected. What has never answered may be silent for reasons of its own: a
// firewall, or no container bridge yet.
func (r *reach) good(a Answers, tunnels bool) bool {
	switch {
	case a.inside() > 0:
		return true
	case r.ever.Tunnel > 0, tunnels && a.Underlay > 0:
		return false
	}
	return a.Underlay > 0 || r.ever == Answers{}
}

func (r *reach) unreachable() bool { return r.missed >= misses }

// PeerNames are the subnets of all peers whose hooks have succeeded, in no order.
func (s *State) PeerNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Keys(s.peers)), func(name string) bool { return s.peers[name].State != hooks.PeerUp })
}

// PeerOf returns the peer with the subnets, as it is but for its Reach.
func (s *State) PeerOf(name string) (Peer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.peers[name]
	if !ok {
		return Peer{}, false
	}
	return s.peer(p), true
}

// SetAnswers says how a peer has answered, and whether its subnet's first address has to.
func (s *State) SetAnswers(name string, a Answers, tunnels bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers[name].State != hooks.PeerUp {
		return
	}
	r := s.reached[name]
	if r.take(a, tunnels, time.Now()) {
		text := "answers again"
		if r.unreachable() {
			text = string(hooks.PeerUnreachable)
		}
		s.tell(Event{Kind: PeerEvent, Subject: name, Text: text})
	}
	if r.ever != (Answers{}) {
		s.reached[name] = r
	}
}

// withReach is the peer with what is known of its answers.
func (p Peer) withReach(r reach) Peer {
	trip := r.ever.inside()
	if trip == 0 {
		trip = r.ever.Underlay
	}
	if trip == 0 || p.State != hooks.PeerUp {
		return p
	}
	p.Reach = &Reach{RoundTrip: trip.Seconds()}
	if r.missed > 0 {
		p.Reach.SilentSince = r.since
	}
	if r.unreachable() {
		p.State, p.Since = hooks.PeerUnreachable, r.since
		p.Error = "it does not answer: overlayd ping " + label(p) + " says what fails"
	}
	return p
}
