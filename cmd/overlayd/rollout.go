package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// A revision is a network config as etcd held it once.
type revision struct {
	value  []byte // nil while etcd holds none
	number int64  // etcd's revision of the key's last change
	canary bool   // it is staged, and this node is to try it before others

	// What comes by a staged roll-out says what to go back to where hooks fail, and of which staged config to report then.
	instead *revision
	staged  int64
}

// A rollout is what the daemon knows of the network configs in etcd. Whoever plans next uses it, and nobody else.
type rollout struct {
	seen    etcd.Configs     // the newest
	spurned *revision        // what came by a staged roll-out and did not do, while it is what this node would follow
	reports chan etcd.Report // the newest that waits to be written
}

// consider chooses what the node that runs now is to follow by now, and makes its plan. There is none where it is nothing, or what
// the node runs already. What comes by a staged roll-out and cannot be used is spurned.
func (d *daemon) consider(now revision) (revision, *plan, error) {
	for {
		r := d.rollout.choose(d.nodeID, now)
		if r.value == nil || lease.SameJSON(r.value, now.value) {
			return r, nil, nil
		}
		p, err := d.planRevision(r)
		if err == nil || r.instead == nil {
			return r, p, err
		}
		d.spurn(r, control.CanaryRefused, err)
	}
}

// choose is which of the network configs in etcd the node is to follow.
func (o *rollout) choose(nodeID string, now revision) revision {
	c := o.seen
	r := revision{value: c.Value, number: c.Revision}
	if staged := c.InForce(); staged != nil && slices.Contains(staged.Nodes, nodeID) {
		all := r
		r = revision{value: staged.Value, number: staged.Revision, canary: true, instead: &all, staged: staged.Revision}
	} else if continues(c, now) {
		r.instead, r.staged = &revision{value: now.value, number: now.number}, c.Staged.Revision
	}
	if o.spurned != nil && o.spurned.number == r.number {
		return *o.spurned.instead
	}
	o.spurned = nil
	return r
}

// continues reports whether the network config is what was staged to replace the one that the node runs now.
func continues(c etcd.Configs, now revision) bool {
	return c.Staged != nil && c.Staged.Base == now.number && now.number != c.Revision && lease.SameJSON(c.Value, c.Staged.Value)
}

// spurn has the node follow what was before the revision, from the next look on, and tells why.
func (d *daemon) spurn(r revision, state control.CanaryState, why error) {
	d.rollout.spurned = &r
	d.log.Error("network config of a staged roll-out does not do, the one before stays", "config", d.place(r), "state", state, "err", why)
	d.tell(r, state, why)
}

// tell says how the node stands to a config that came by a staged roll-out: in its status, and to the others.
func (d *daemon) tell(r revision, state control.CanaryState, why error) {
	c := control.Canary{Revision: r.number, State: state}
	report := etcd.Report{Staged: r.staged, State: string(state), At: time.Now().UTC().Truncate(time.Second)}
	if why != nil {
		c.Error, report.Error = why.Error(), published(why)
	}
	d.state.SetCanary(&c)
	if state != control.CanaryTrying {
		leave(d.rollout.reports, report)
	}
}

// show has the status say how the node stands to what it has begun to follow, or goes on to.
func (d *daemon) show(r revision, passed bool) {
	switch {
	case r.canary && passed:
		d.tell(r, control.CanaryRunning, nil)
	case r.canary:
		d.tell(r, control.CanaryTrying, nil)
	case d.rollout.spurned == nil:
		d.state.SetCanary(nil)
	}
}

// published is an error as others may read it: without what a hook printed.
func published(err error) string {
	failure, ok := errors.AsType[*hookrunner.Failure](err)
	if !ok || failure.LastWords == "" {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), failure.Error(), failure.Cause.Error()+", and the node's overlayd status says what it printed")
}

// keepReports writes reports, the newest alone. Where etcd is in trouble it tries on.
func (d *daemon) keepReports(ctx context.Context, reports <-chan etcd.Report) error {
	for {
		r, err := receive(ctx, reports)
		if err != nil {
			return err
		}
		for delay := time.Second; ; delay = min(2*delay, time.Minute) {
			err := d.cluster.Report(ctx, d.nodeID, r)
			if errors.Is(err, etcd.ErrDenied) {
				d.log.Warn("others are not told how this node stands to the staged network config", "err", err)
			}
			if err == nil || errors.Is(err, etcd.ErrDenied) {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case r = <-reports:
			case <-time.After(delay - rand.N(delay/4)):
			}
		}
	}
}

// leave puts what is newest into a box for one, in the place of what nobody has taken out yet. Each box has one sender.
func leave[T any](box chan T, newest T) {
	select {
	case <-box:
	default:
	}
	box <- newest
}

// mustBeAlike names the keys in which two network configs differ and nodes must not, to reach each other.
func mustBeAlike(old, new []byte) (keys []string, err error) {
	before, err := lease.ParseNetwork(old)
	if err != nil {
		return nil, err
	}
	next, err := lease.ParseNetwork(new)
	if err != nil {
		return nil, err
	}
	for _, c := range configChanges(old, new) {
		if builtin.MustBeAlike(c.Key, before, next) {
			keys = append(keys, c.Key)
		}
	}
	return keys, nil
}

// checkCanary refuses a config under which the node would not reach those who use the other.
func checkCanary(old, new []byte) error {
	keys, err := mustBeAlike(old, new)
	if err == nil && len(keys) > 0 {
		err = fmt.Errorf("nodes that differ in %s do not reach each other, so none can try it before others", strings.Join(keys, ", "))
	}
	return err
}
