package control

import (
	"fmt"
	"strings"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

// A HealthState is how well the daemon is, in a word.
type HealthState string

// The states of health.
const (
	Starting HealthState = "starting" // not ready yet
	OK       HealthState = "ok"
	Degraded HealthState = "degraded" // ready, and something is amiss, see Health.Reasons
	Stuck    HealthState = "stuck"    // what decides about hooks has not been seen for so long that a restart is due
)

// Health is how well the daemon is, and why.
type Health struct {
	State   HealthState `json:"state"`
	Live    bool        `json:"live"`              // the daemon does its work; false calls for a restart
	Ready   bool        `json:"ready"`             // the node is up, and hooks have run for each peer of the first complete list
	Reasons []string    `json:"reasons,omitempty"` // what is amiss, or waited for
}

// stuckAfter is how long nothing may be seen of the loop that decides about hooks while the node is up.
const stuckAfter = 6 * hooks.TurnInterval

// A readiness finds out when the node is ready.
type readiness struct {
	listed  bool // the first complete list of peers is known
	pending int  // peers that no hook has run for
	ready   bool
	turned  time.Time // when the loop came round, or the node came up
}

// phase takes in what the node does. Whatever it had been ready for is over when it is not up.
func (r *readiness) phase(p hooks.NodePhase, now time.Time) {
	r.turned = now
	if p != hooks.NodeUp {
		r.listed, r.ready = false, false
	}
}

// peer takes in that one peer's state changes. "" is that of an unknown one.
func (r *readiness) peer(was, is hooks.PeerState) {
	if was == hooks.PeerPending {
		r.pending--
	}
	if is == hooks.PeerPending {
		r.pending++
	}
}

// settle makes the node ready once all of the first list has been tried, and reports whether it has become so now.
func (r *readiness) settle() bool {
	if r.ready || !r.listed || r.pending > 0 {
		return false
	}
	r.ready = true
	return true
}

// health judges a status that is complete but for it.
func (r *readiness) health(s Status, peers census, now time.Time) Health {
	h := Health{Live: true, Ready: r.ready, Reasons: reasons(s, peers)}
	switch {
	case s.Node.State == hooks.NodeUp && now.Sub(r.turned) > stuckAfter:
		h.State, h.Live = Stuck, false
	case !h.Ready:
		h.State = Starting
	case len(h.Reasons) > 0:
		h.State = Degraded
	default:
		h.State = OK
	}
	return h
}

// reasons are what is amiss, worst first.
func reasons(s Status, peers census) (all []string) {
	add := func(format, text string) {
		if text != "" {
			all = append(all, fmt.Sprintf(format, text))
		}
	}
	add("node: %s", s.Node.Error)
	add("etcd: %s", s.Etcd.Problem)
	add("config: %s", s.Config.Problem)
	if c := s.Config.Canary; c != nil && c.Error != "" {
		add("config: %s", c.String())
	}
	for _, state := range [...]hooks.PeerState{
		hooks.PeerUnreachable, hooks.PeerRetrying, hooks.PeerSetAside, hooks.PeerRepairing, hooks.PeerLeftOver,
	} {
		if n := peers[state]; n > 0 {
			all = append(all, fmt.Sprintf("%d of %d peers %s", n, peers.all(), state))
		}
	}
	if s.Node.State != hooks.NodeUp && len(all) == 0 {
		add("node is %s", string(s.Node.State))
	}
	return all
}

// A census is how many peers are in each state.
type census map[hooks.PeerState]int

func (c census) all() (n int) {
	for _, some := range c {
		n += some
	}
	return n
}

// census counts the peers.
func (s Status) census() census {
	c := census{}
	for _, p := range s.Peers {
		c[p.State]++
	}
	return c
}

// Brief is the status in one line for a person.
func (s Status) Brief() string { return s.brief(s.census()) }

func (s Status) brief(peers census) string {
	var parts []string
	for _, p := range s.Node.Paths {
		if p.Subnet.IsValid() {
			parts = append(parts, p.Subnet.String())
		}
	}
	if s.Config.Backend != "" {
		parts = append(parts, printable(s.Config.Backend))
	}
	if s.Node.State == hooks.NodeUp {
		parts = append(parts, fmt.Sprintf("%d of %d peers up", peers[hooks.PeerUp], peers.all()))
	}
	for _, r := range s.Health.Reasons {
		parts = append(parts, printable(r))
	}
	if len(parts) == 0 {
		return string(s.Health.State)
	}
	return string(s.Health.State) + ": " + strings.Join(parts, ", ")
}
