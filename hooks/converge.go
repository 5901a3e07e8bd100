package hooks

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// removeTries is how often SubnetRemove runs for a peer before it is given up: once, and five times again.
const removeTries = 6

// A converger makes what is in place the same as what is wanted, one hook at a time for each peer. All of it belongs to
// the goroutine that is in converge; only the hooks themselves run elsewhere.
type converger struct {
	*runner
	node     Node
	peers    map[key]*peer
	unwanted map[*peer]bool // those that no lease stands for, whose hooks have yet to take them back
	queue    queue
	listed   bool            // the first complete set has come
	set      lease.Peers     // the last one
	running  int             // hooks, or calls of a Syncer
	removing int             // those of them that are the first try of a SubnetRemove
	ended    chan []endedRun // has room for all that are running
	tries    int             // of a SubnetRemove
	swaps    bool            // the backend is a Syncer
	stale    stale           // whether the node's own hooks have to run again
	pace     pace            // of their repairs
}

// An endedRun is a run of a peer's hook and what it was started with.
type endedRun struct {
	HookRun
	peer     *peer
	lease    *lease.Lease
	before   *lease.Lease // what was in place
	changes  int
	firstTry bool
}

// isMove reports whether what is in place belongs to other subnets than those it is to belong to.
func (r endedRun) isMove() bool {
	return r.Hook == SubnetAdd && r.before != nil && keyOf(*r.before) != keyOf(*r.lease)
}

// leases are those that the runs are started with.
func leases(runs []endedRun) []*lease.Lease {
	list := make([]*lease.Lease, len(runs))
	for i, run := range runs {
		list[i] = run.lease
	}
	return list
}

func newConverger(r *runner, node Node) *converger {
	return &converger{
		runner: r, node: node, tries: removeTries, swaps: isSyncer(r.Backend),
		peers: make(map[key]*peer), unwanted: make(map[*peer]bool), ended: make(chan []endedRun, r.Concurrency),
	}
}

// converge runs hooks until the context ends, whose error it returns, or the node's own hooks have to run again, which is
// errStale. Without sets it ends when no hook is due. The last hook has returned when it does.
func (c *converger) converge(ctx context.Context, sets <-chan lease.Peers, damage <-chan []string) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	turn := time.NewTicker(TurnInterval)
	defer turn.Stop()
	for ctx.Err() == nil && (sets != nil || c.running+len(c.queue) > 0) {
		c.Observer.ObserveTurn()
		switch {
		case c.stale.due() && c.running == 0:
			return errStale
		case !c.stale.due() && (c.listed || sets == nil): // who is wanted is known, or that nobody is
			c.dispatch(ctx, &workers)
		}
		select {
		case <-ctx.Done():
		case set := <-sets:
			c.want(ctx, set)
		case scopes := <-damage:
			c.damaged(scopes)
		case <-c.self.moved:
			c.moved()
		case runs := <-c.ended:
			c.finish(ctx, runs)
		case <-c.nextTry():
		case <-turn.C:
		}
	}
	for c.running > 0 {
		c.finish(ctx, <-c.ended)
	}
	return ctx.Err()
}

// teardown removes all that is in place, trying once for each peer.
func (c *converger) teardown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	c.tries, c.stale = 1, stale{}
	for _, p := range c.peers {
		p.givenUp = false
		p.want(nil, Leave)
		c.update(p)
	}
	_ = c.converge(ctx, nil, nil) // what is left of the peers says it all
	if n := len(c.peers); n > 0 {
		c.Logger.Warn("peers left over", "count", n)
	}
}

// dispatch starts the hooks that are due, as many as may run at once.
func (c *converger) dispatch(ctx context.Context, workers *sync.WaitGroup) {
	for c.running < c.Concurrency && len(c.queue) > 0 {
		p := c.queue[0]
		// An addition may need what a removal is about to free.
		if p.next.After(time.Now()) || p.due() == SubnetAdd && c.removing > 0 {
			return
		}
		runs, node := c.take(), c.node
		c.running++
		workers.Go(func() {
			c.call(ctx, node, runs)
			c.ended <- runs
		})
	}
}

// take takes the first peer from the queue, and for a Syncer all those whose SubnetAdd is due for the same reason.
func (c *converger) take() (runs []endedRun) {
	first := c.queue[0]
	due := first.due()
	reason := first.reason(due)
	now := time.Now()
	fits := func(p *peer) bool { return !p.next.After(now) && p.due() == due && p.reason(due) == reason }
	for len(runs) == 0 || c.swaps && due == SubnetAdd && len(c.queue) > 0 && fits(c.queue[0]) {
		p := heap.Pop(&c.queue).(*peer)
		run := endedRun{peer: p, lease: p.wanted, before: p.applied, changes: p.changes, firstTry: p.failures == 0}
		run.Hook, run.Reason = due, reason
		if due == SubnetRemove {
			run.lease = p.applied
			if run.firstTry {
				c.removing++
			}
		}
		run.Scope = run.lease.String()
		p.busy = true
		p.next = time.Time{}
		if run.isMove() {
			c.moveEffects(run.before, run.lease)
		}
		runs = append(runs, run)
	}
	if due == SubnetAdd {
		c.remember(runs)
	}
	for _, run := range runs {
		c.update(run.peer)
	}
	return runs
}

// call calls the hooks and notes how they went. It runs beside all else here.
func (c *converger) call(ctx context.Context, node Node, runs []endedRun) {
	first := &runs[0]
	call := Call{first.Reason, node}
	if len(runs) > 1 {
		c.sync(ctx, call, runs)
		return
	}
	hook := c.Backend.SubnetAdd
	if first.Hook == SubnetRemove {
		hook = c.Backend.SubnetRemove
	}
	first.HookRun = c.hook(first.Hook, first.Scope, call, func(call Call) error { return hook(ctx, call, *first.lease) })
}

// sync has a Syncer add many peers.
func (c *converger) sync(ctx context.Context, call Call, runs []endedRun) {
	started := time.Now()
	errs := c.Backend.(Syncer).Sync(ctx, call, leases(runs))
	took := time.Since(started) / time.Duration(len(runs))
	for i := range runs {
		runs[i].Started, runs[i].Took = started, took
		if errs != nil {
			runs[i].Err = errs[i]
		}
		c.Observer.ObserveHook(runs[i].HookRun)
	}
}

// finish takes in the end of hooks, and says in the log how they went.
func (c *converger) finish(ctx context.Context, runs []endedRun) {
	c.running--
	succeeded := 0
	for _, run := range runs {
		c.finishOne(ctx, run, len(runs) == 1)
		if run.Err == nil {
			succeeded++
		}
	}
	if first := runs[0]; len(runs) > 1 {
		c.Logger.Info("hooks ran", "hook", first.Hook, "reason", first.Reason, "peers", succeeded, "failed", len(runs)-succeeded,
			"took", time.Since(first.Started))
	}
}

func (c *converger) finishOne(ctx context.Context, run endedRun, alone bool) {
	if run.Hook == SubnetRemove && run.firstTry {
		c.removing--
	}
	p := run.peer
	p.finished(run, c.tries, c.backoff)
	if run.isMove() && run.Err != nil {
		c.moveEffects(run.lease, run.before)
	}
	c.settle(p, run)
	c.update(p)
	if p.gone && run.Hook == SubnetAdd {
		c.clear(ctx, p)
	}

	if run.Err == nil && !alone {
		return
	}
	log := c.Logger.With("hook", run.Hook, "subnet", run.Scope, "reason", run.Reason, "took", run.Took)
	switch {
	case run.Err == nil:
		log.Info("hook ran")
	case ctx.Err() != nil:
		log.Info("hook interrupted", "err", run.Err)
	case p.givenUp:
		log.Error("hook failed for good", "err", run.Err)
	case p.next.IsZero():
		log.Warn("hook failed", "err", run.Err)
	default:
		log.Warn("hook failed", "err", run.Err, "retry", time.Until(p.next))
	}
}

// update puts the peer where it belongs after a change, which may be nowhere, and tells the observer.
func (c *converger) update(p *peer) {
	c.queue.place(p)
	if p.wanted != nil {
		delete(c.unwanted, p)
	} else {
		c.unwanted[p] = true
	}
	if p.wanted == nil && p.applied == nil && !p.busy {
		delete(c.peers, p.key)
		delete(c.unwanted, p)
		p.gone = true
		c.Observer.ObserveGone(*p.lease())
		return
	}
	c.Observer.ObservePeer(p.status())
}

// nextTry fires when the queue's first hook, or one of the node's own, falls due. It never does while these wait for something else than
// time.
func (c *converger) nextTry() <-chan time.Time {
	next := c.stale.at
	if len(c.queue) > 0 && c.running < c.Concurrency {
		if p := c.queue[0]; next.IsZero() || p.next.Before(next) {
			next = p.next
		}
	}
	wait := time.Until(next)
	if next.IsZero() || wait <= 0 {
		return nil
	}
	return time.After(wait)
}
