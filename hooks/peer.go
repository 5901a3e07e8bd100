package hooks

import (
	"cmp"
	"container/heap"
	"net/netip"
	"strings"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// A key tells peers apart.
type key struct{ v4, v6 netip.Prefix }

func keyOf(l lease.Lease) key { return key{l.V4.Subnet, l.V6.Subnet} }

// keyOfScope is the key of the peer whose scope has the name, the zero key where that is no peer's.
func keyOfScope(name string) (k key) {
	for subnet := range strings.SplitSeq(name, ",") {
		p, err := netip.ParsePrefix(subnet)
		switch {
		case err != nil:
			return key{}
		case p.Addr().Is4():
			k.v4 = p
		default:
			k.v6 = p
		}
	}
	return k
}

func (k key) compare(o key) int {
	if c := k.v4.Compare(o.v4); c != 0 {
		return c
	}
	return k.v6.Compare(o.v6)
}

// A peer is what the converger knows about the subnets of one node: what is wanted, what is in place, and what was
// tried to make the two the same.
type peer struct {
	key
	wanted  *lease.Lease // nil when the node is gone
	applied *lease.Lease // what the last SubnetAdd was for, nil when nothing is in place
	swaps   bool         // SubnetAdd puts what is wanted in the place of what is applied
	torn    bool         // part of applied may be gone
	givenUp bool         // it failed for good
	busy    bool         // a hook is running
	gone    bool         // it is forgotten

	pace       *pace     // of its repairs, nil before the first
	joined     Reason    // why SubnetAdd is due, if it has not failed yet
	changes    int       // of wanted, so that a run knows whether it is out of date
	failures   int       // of the due hook, in a row
	next       time.Time // when it may run, in the past or zero for at once; zero while it runs
	err        error
	last       HookRun
	state      PeerState
	since      time.Time
	queueIndex int // -1 when not in the queue
}

// want changes what is wanted and forgets what was tried for the sake of the old.
func (p *peer) want(l *lease.Lease, joined Reason) {
	p.wanted, p.joined = l, joined
	p.changes++
	p.failures, p.next, p.err = 0, time.Time{}, nil
}

// retain takes what is wanted, and equal to what was before, from the newest set: what was before need not be kept in memory.
func (p *peer) retain(l *lease.Lease) {
	if p.applied != nil && (p.applied == p.wanted || p.applied.Equal(*l)) {
		p.applied = l
	}
	p.wanted = l
}

// due is the hook that brings the peer nearer to what is wanted, "" when there is none.
func (p *peer) due() Hook {
	inPlace := p.applied != nil && !p.givenUp
	same := p.wanted != nil && p.applied != nil && p.wanted.Equal(*p.applied)
	switch {
	case same && !p.torn:
		return ""
	case inPlace && !same && !(p.swaps && p.wanted != nil && p.failures == 0): // what a swap was refused may succeed in two steps
		return SubnetRemove
	case p.wanted != nil:
		return SubnetAdd
	}
	return ""
}

// reason is why the due hook runs.
func (p *peer) reason(due Hook) Reason {
	switch {
	case due == SubnetRemove && p.wanted == nil:
		return Leave
	case due == SubnetRemove:
		return Change
	case p.failures > 0:
		return Retry
	}
	return p.joined
}

// finished takes in how a run went. A hook that failed is due again after a backoff, but for a SubnetRemove that failed in
// so many tries.
func (p *peer) finished(run endedRun, tries int, backoff func(failures int) time.Duration) {
	p.busy, p.last = false, run.HookRun
	switch {
	case run.Err == nil && run.Hook == SubnetAdd:
		p.applied, p.torn, p.givenUp = run.lease, false, false
	case run.Err == nil:
		p.applied, p.torn = nil, false
	case run.Hook == SubnetRemove:
		p.torn = true
	}
	if p.changes != run.changes {
		return // what is wanted changed meanwhile, and nothing has been tried for that yet
	}
	p.err = run.Err
	switch {
	case run.Err == nil:
		p.failures = 0
	case run.Hook == SubnetRemove && p.failures+1 >= tries:
		p.givenUp, p.failures = true, 0
	default:
		p.failures++
		p.next = time.Now().Add(backoff(p.failures))
	}
}

// lease is what is known of the peer: what it is to be, else what it was, else its subnets alone.
func (p *peer) lease() *lease.Lease {
	if l := cmp.Or(p.wanted, p.applied); l != nil {
		return l
	}
	return &lease.Lease{V4: lease.Path{Subnet: p.v4}, V6: lease.Path{Subnet: p.v6}}
}

// status is the peer as an Observer is told of it.
func (p *peer) status() PeerStatus {
	if s := p.stateNow(); s != p.state {
		p.state, p.since = s, time.Now()
	}
	return PeerStatus{
		Lease: p.lease(), State: p.state, Since: p.since,
		Err: p.err, Attempts: p.failures, NextTry: p.next, Last: p.last,
	}
}

func (p *peer) stateNow() PeerState {
	switch {
	case p.wanted == nil && p.givenUp:
		return PeerLeftOver
	case p.wanted == nil:
		return PeerRemoving
	case p.due() == "":
		return PeerUp
	case p.failures > 0 && isSetAside(p.err):
		return PeerSetAside
	case p.failures > 0:
		return PeerRetrying
	case p.joined == Repair:
		return PeerRepairing
	}
	return PeerPending
}

// A queue holds the peers with a due hook, the next to run in front. It is a heap.
type queue []*peer

func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if c := a.next.Compare(b.next); c != 0 {
		return c < 0
	}
	if a, b := a.due(), b.due(); a != b {
		return a == SubnetRemove
	}
	return a.compare(b.key) < 0
}

func (q queue) Len() int { return len(q) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].queueIndex, q[j].queueIndex = i, j
}

// Push is part of heap.Interface.
func (q *queue) Push(x any) {
	p := x.(*peer)
	p.queueIndex = len(*q)
	*q = append(*q, p)
}

// Pop is part of heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	p.queueIndex = -1
	return p
}

// place puts the peer where it belongs after a change: in the queue if it is idle and has a due hook, else nowhere.
func (q *queue) place(p *peer) {
	queued, belongs := p.queueIndex >= 0, !p.busy && p.due() != ""
	switch {
	case queued && belongs:
		heap.Fix(q, p.queueIndex)
	case belongs:
		heap.Push(q, p)
	default:
		q.leave(p)
	}
}

// leave takes the peer out, if it is in.
func (q *queue) leave(p *peer) {
	if p.queueIndex >= 0 {
		heap.Remove(q, p.queueIndex)
	}
}
