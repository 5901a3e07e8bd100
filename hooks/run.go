package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

// ErrConfigChanged is the cause with which to cancel Run's context when another network config takes over: the backend
// is then torn down whatever Options.OnStop says, and hooks are told the reason Config.
var ErrConfigChanged = errors.New("network config changed")

// ErrHandedOver is an ErrConfigChanged where the next backend takes over what is in place: no hook runs.
var ErrHandedOver = fmt.Errorf("%w, and the next backend takes over", ErrConfigChanged)

// Leases is this node's part of the network, and the others'. A lease.Manager is one.
type Leases interface {
	// Acquire takes a lease with the public addresses, data and backend type of want, and returns it with its subnets.
	Acquire(ctx context.Context, want lease.Lease) (lease.Lease, error)
	// Hold keeps the lease until the context ends. It returns lease.ErrLost when another node has it.
	Hold(context.Context) error
	// Republish changes what the lease that is held says to the public addresses, data and backend type of want, and returns
	// what it is to say. It does not wait for the store: Hold writes it.
	Republish(want lease.Lease) (lease.Lease, error)
	// Peers calls set with the complete set of the other nodes' leases, at once and after each change, until the
	// context ends.
	Peers(ctx context.Context, set func(lease.Peers) error) error
}

// An Ending is what becomes of a backend when the daemon stops.
type Ending int

// The endings.
const (
	Keep         Ending = iota // no hook runs: all stays in place for the next start
	ShutdownOnly               // Shutdown runs
	Teardown                   // SubnetRemove runs for each peer, then Shutdown
)

// Options are what Run needs to know. Node, Leases, Backend and Logger are required.
type Options struct {
	Node        Node   // of its Lease the public addresses alone
	Watch       Watch  // tells when the node's machine changes; nil if it never does
	BackendType string // to be published in the lease
	Leases      Leases
	Backend     Backend
	Reason      Reason           // Start, or Config when another network config ended before
	Concurrency int              // how many peers' hooks may run at once; less than 1 is 1
	OnStop      Ending           // what a stop does
	Ready       func(Node) error // called when PostStartup has succeeded, before any peer's hook; may be nil
	Observer    Observer         // may be nil
	Memory      Memory           // nil forgets what earlier processes did
	Effects     Effects          // nil repairs nothing
	Logger      *slog.Logger

	jitter func(longest time.Duration) time.Duration // nil except in tests
}

// endPatience bounds the removals of a teardown as a whole, and the Shutdown after them. The backend's own timeout
// bounds each hook; this is for a thousand peers that all hang.
const endPatience = time.Minute

// Run takes a lease, calls the hooks as the package documentation says, and holds the lease until the context ends,
// which is no error: it then returns nil. The context's cause decides what is left behind, see ErrConfigChanged and ErrHandedOver. A
// lease that is lost to another node is replaced: the backend is torn down and started again with a new one.
//
// It returns the error of PreStartup, PostStartup or Ready if Options.Reason is Start, and what Hold and Peers
// return that is neither the context's error nor lease.ErrLost.
func Run(ctx context.Context, o Options) error {
	r := runner{Options: o, self: newSelf(o.Node)}
	r.Concurrency = max(o.Concurrency, 1)
	if o.Observer == nil {
		r.Observer = unobserved{}
	}
	if o.Memory == nil {
		r.Memory = forgetful{}
	}
	if o.Effects == nil {
		r.Effects = unknown{}
	}
	if o.jitter == nil {
		r.jitter = func(longest time.Duration) time.Duration { return rand.N(longest) }
	}
	defer r.watchSelf(ctx)()
	losses := 0
	for reason := o.Reason; ; reason = Config {
		began := time.Now()
		node, err := r.start(ctx, reason, lease.Lease{})
		if err == nil {
			err = r.serve(ctx, node)
		}
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, lease.ErrLost) {
			return err
		}
		// Two nodes that take the lease from each other, as clones of one machine do, must not do so at full speed.
		if time.Since(began) > time.Minute {
			losses = 0
		}
		losses++
		if sleep.For(ctx, r.backoff(losses)) != nil {
			return nil
		}
	}
}

// A runner is one call of Run.
type runner struct {
	Options
	self *self
}

// start brings the node up, again if it holds a lease. A daemon that is running already tries until it is told to stop.
func (r *runner) start(ctx context.Context, reason Reason, held lease.Lease) (Node, error) {
	for failures := 1; ; failures++ {
		node, err := r.tryStart(ctx, reason, held)
		if err == nil || reason == Start || ctx.Err() != nil {
			return node, err
		}
		if node.Lease.String() != "" && held.String() != "" {
			held = node.Lease // what it says by now
		}
		wait := r.backoff(failures)
		r.Observer.ObserveNode(NodeStatus{Phase: NodeStarting, Node: r.self.now(), Err: err, NextTry: time.Now().Add(wait)})
		r.Logger.Warn("start failed", "err", err, "retry", wait)
		if sleep.For(ctx, wait) != nil {
			return node, err
		}
	}
}

// tryStart goes from PreStartup to Ready. If it comes further than PreStartup and fails, it runs Shutdown, but not where the
// node holds a lease: that leaves what there still is.
func (r *runner) tryStart(ctx context.Context, reason Reason, held lease.Lease) (node Node, err error) {
	node = r.self.now()
	holds := held.String() != ""
	r.Observer.ObserveNode(NodeStatus{Phase: NodeStarting, Node: node})
	if holds { // whatever becomes of the hooks, the others are to know where the node is
		if _, err = r.Leases.Republish(held.At(node.Lease)); err != nil {
			return node, err
		}
	}
	var data Data
	err = r.lifecycle(PreStartup, Call{reason, node}, func(call Call) (err error) {
		data, err = r.Backend.PreStartup(ctx, call)
		return err
	})
	if err != nil {
		return node, err
	}
	defer func() {
		if err != nil && !holds {
			r.abandon(ctx, reason, node)
		}
	}()

	want := node.Lease
	want.BackendType, want.V4.Data, want.V6.Data = r.BackendType, data.V4, data.V6
	if holds {
		node.Lease, err = r.Leases.Republish(want)
	} else {
		r.Observer.ObserveNode(NodeStatus{Phase: NodeWaiting, Node: node})
		node.Lease, err = r.Leases.Acquire(ctx, want)
	}
	if err != nil {
		return node, err
	}
	err = r.lifecycle(PostStartup, Call{reason, node}, func(call Call) error { return r.Backend.PostStartup(ctx, call) })
	if err == nil && r.Ready != nil {
		err = r.Ready(node)
	}
	return node, err
}

// abandon takes back what PreStartup did for a start that came to nothing.
func (r *runner) abandon(ctx context.Context, reason Reason, node Node) {
	ending, why := r.ending(ctx, nil)
	if ctx.Err() == nil {
		ending = ShutdownOnly // whatever a stop would do: nothing here has worked that were worth keeping
		if reason == Config {
			why = Config
		}
	}
	r.end(ctx, ending, why, node)
}

// serve keeps the node up until something fails that it cannot mend or the context ends, and ends the backend then.
func (r *runner) serve(ctx context.Context, node Node) error {
	peers := newConverger(r, node)
	peers.recall()
	err := r.hold(ctx, peers)
	ending, reason := r.ending(ctx, err)
	r.Observer.ObserveNode(NodeStatus{Phase: NodeStopping, Node: peers.node})
	r.Logger.Info("stopping", "reason", reason, "cause", cmp.Or(context.Cause(ctx), err))
	if ending == Teardown {
		peers.teardown(ctx)
	}
	r.end(ctx, ending, reason, peers.node)
	return err
}

// hold holds the lease and converges the peers until one of them fails or the context ends. The lease is held while the node's
// own hooks run again, too: they need no store.
func (r *runner) hold(ctx context.Context, peers *converger) error {
	sets := make(chan lease.Peers, 1)
	g, up := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Leases.Hold(up) })
	g.Go(func() error { return r.Leases.Peers(up, newestWins(sets)) })
	g.Go(func() error {
		err := r.converge(up, peers, sets)
		for errors.Is(err, errStale) {
			if err = r.startAgain(up, peers); err == nil {
				err = r.converge(up, peers, sets)
			}
		}
		return err
	})
	return g.Wait()
}

// converge converges the peers, and has damage repaired that somebody does meanwhile.
func (r *runner) converge(ctx context.Context, peers *converger, sets <-chan lease.Peers) error {
	r.Observer.ObserveNode(NodeStatus{Phase: NodeUp, Node: peers.node})
	if peers.listed { // and the node's own hooks have run again
		r.Observer.ObserveListed()
	}
	damage := make(chan []string, 1)
	g, up := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := r.Effects.Watch(up, joined(damage))
		if up.Err() == nil {
			r.Logger.Error("damage is not noticed any more, nor repaired", "err", err)
		}
		return up.Err()
	})
	g.Go(func() error { return peers.converge(up, sets, damage) })
	return g.Wait()
}

// startAgain runs the node's own hooks again, and has those of all peers follow.
func (r *runner) startAgain(ctx context.Context, peers *converger) error {
	reason := peers.stale.reason
	node, err := r.start(ctx, reason, peers.node.Lease)
	if err != nil {
		return err
	}
	peers.node = node
	peers.addAll(reason)
	return nil
}

// joined returns a function that leaves names in box, together with those that nobody has taken yet. It is box's only sender.
func joined(box chan []string) func([]string) {
	return func(names []string) {
		select {
		case waiting := <-box:
			names = append(waiting, names...)
		default:
		}
		box <- names
	}
}

// newestWins returns a function that leaves a set in box, in place of the set that nobody has taken yet. Thereby a
// slow hook never holds up those who watch the leases. It is box's only sender.
func newestWins(box chan lease.Peers) func(lease.Peers) error {
	return func(set lease.Peers) error {
		select {
		case <-box:
		default:
		}
		box <- set
		return nil
	}
}

// ending says how the backend ends, and the reason that its hooks are told, given why it ends: the context, or err.
func (r *runner) ending(ctx context.Context, err error) (Ending, Reason) {
	if errors.Is(context.Cause(ctx), ErrHandedOver) {
		return Keep, Config
	}
	if errors.Is(context.Cause(ctx), ErrConfigChanged) || ctx.Err() == nil && errors.Is(err, lease.ErrLost) {
		return Teardown, Config
	}
	return r.OnStop, Stop
}

// end runs Shutdown unless all is to be left in place. Its context is detached from the one that has ended.
func (r *runner) end(ctx context.Context, ending Ending, reason Reason, node Node) {
	if ending == Keep {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	_ = r.lifecycle(Shutdown, Call{reason, node}, func(call Call) error { return r.Backend.Shutdown(ctx, call) })
}

// lifecycle runs a hook of the node's own life, and says in the log how it went.
func (r *runner) lifecycle(hook Hook, call Call, f func(Call) error) error {
	run := r.hook(hook, NodeScope, call, f)
	if run.Err != nil {
		r.Logger.Warn("hook failed", "hook", hook, "reason", call.Reason, "took", run.Took, "err", run.Err)
	} else {
		r.Logger.Info("hook ran", "hook", hook, "reason", call.Reason, "took", run.Took)
	}
	return run.Err
}

// hook calls f and measures it.
func (r *runner) hook(hook Hook, scope string, call Call, f func(Call) error) HookRun {
	run := HookRun{Hook: hook, Scope: scope, Reason: call.Reason, Started: time.Now()}
	run.Err = f(call)
	run.Took = time.Since(run.Started)
	r.Observer.ObserveHook(run)
	return run
}

// backoff is how long to wait after so many failures in a row: 1 s, doubling up to 1 min, less a random part of up to
// a fifth.
func (r *runner) backoff(failures int) time.Duration {
	longest := min(time.Second<<min(failures-1, 6), time.Minute)
	return longest - r.jitter(longest/5)
}
