package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// follow serves the network config of etcd, and each change of it since it was read, until the context ends.
func (d *daemon) follow(ctx context.Context, read etcd.ConfigRead) error {
	configs := make(chan etcd.Configs, 1)
	d.rollout.reports = make(chan etcd.Report, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.watchConfig(ctx, read, configs) })
	g.Go(func() error { return d.keepReports(ctx, d.rollout.reports) })
	g.Go(func() error { return d.sessions(ctx, configs) })
	return g.Wait()
}

// watchConfig keeps the newest network configs in the box, and says whether etcd answers.
func (d *daemon) watchConfig(ctx context.Context, read etcd.ConfigRead, configs chan etcd.Configs) error {
	answers := true
	return d.cluster.WatchConfig(ctx, read, func(c etcd.Configs) error {
		if !answers {
			d.log.Info("etcd answers again")
			d.state.SetEtcd(nil)
		}
		answers = true
		leave(configs, c)
		return nil
	}, func(err error) {
		if answers {
			d.log.Warn("etcd does not answer", "err", err)
		}
		answers = false
		d.state.SetEtcd(err)
	})
}

// sessions runs one network after the other: the first, and a new one for each valid change of the config.
func (d *daemon) sessions(ctx context.Context, configs <-chan etcd.Configs) error {
	p, err := d.firstPlan(ctx, configs)
	for reason := hooks.Start; err == nil; reason = hooks.Config {
		d.begun = true
		p, err = d.session(ctx, p, reason, configs)
	}
	return err
}

// session runs the plan until another replaces it, which is returned, or until the context ends.
func (d *daemon) session(ctx context.Context, p *plan, reason hooks.Reason, configs <-chan etcd.Configs) (*plan, error) {
	running, change := context.WithCancelCause(ctx)
	defer change(nil)
	g, watching := errgroup.WithContext(running)
	d.show(p.revision, false)
	t := newTrial(running, d.state, p)
	var next *plan
	g.Go(func() (err error) {
		if next, err = d.nextPlan(watching, p, t, configs); err == nil {
			cause := hooks.ErrConfigChanged
			if next.inherits = builtin.HandsOver(p.network, next.network); next.inherits {
				cause = hooks.ErrHandedOver
			}
			change(cause)
		}
		return nil
	})
	g.Go(func() error {
		err := d.runPlan(running, p, t, reason)
		if err != nil && t.hasFailed() { // a start, which is not repeated: what the node goes back to is
			<-running.Done()
			return nil
		}
		change(nil)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if next == nil {
		return nil, ctx.Err()
	}
	return next, nil
}

// firstPlan waits until there is a network config. It publishes the config file's where etcd has none, and says so
// where both have one and differ. A config that cannot be used is refused, unless this daemon has been waiting for one.
func (d *daemon) firstPlan(ctx context.Context, configs <-chan etcd.Configs) (*plan, error) {
	for waiting := false; ; {
		var err error
		if d.rollout.seen, err = receive(ctx, configs); err != nil {
			return nil, err
		}
		d.compareWithFile()
		_, p, err := d.consider(revision{})
		switch {
		case p != nil || err != nil && !waiting:
			return p, err
		case err != nil:
			d.await(err.Error())
		case d.network == nil:
			waiting, d.begun = true, true
			d.await("there is none at etcd key " + d.cluster.ConfigKey())
		default:
			if err := d.publish(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// await says why there is no network yet, and what would change that.
func (d *daemon) await(why string) {
	d.log.Warn("waiting for a network config", "since", why, "write_it_with", d.putCommand("FILE"))
	d.state.SetProblem("waiting for a network config: " + why)
}

// compareWithFile says so where the config file's network is not the one that counts.
func (d *daemon) compareWithFile() {
	c := d.rollout.seen
	if d.network != nil && c.Value != nil && !lease.SameJSON(d.network, c.Value) {
		d.log.Warn("network config of the file is not in use, since etcd has another", "file", d.config,
			"in_use", d.place(revision{number: c.Revision}), "publish_the_file_with", d.putCommand(d.config))
	}
}

// publish writes the config file's network to etcd. Another node may be faster, which is as good. Where etcd is in trouble it
// tries on; what it has no right to do, it does not.
func (d *daemon) publish(ctx context.Context) error {
	for said := ""; ; {
		err := d.cluster.PublishConfig(ctx, compact(d.network))
		switch {
		case err == nil:
			d.log.Info("network config published", "etcd_key", d.cluster.ConfigKey(), "file", d.config)
			return nil
		case errors.Is(err, fs.ErrExist):
			return nil
		case errors.Is(err, etcd.ErrDenied), ctx.Err() != nil:
			return err
		case err.Error() != said:
			said = err.Error()
			d.log.Warn("network config of the file not published yet: trying on", "file", d.config, "err", err)
		}
		_ = sleep.For(ctx, time.Second+rand.N(time.Second))
	}
}

// compact is JSON without the space that places it.
func compact(value []byte) []byte {
	var text bytes.Buffer
	if json.Compact(&text, value) != nil {
		return value
	}
	return text.Bytes()
}

// nextPlan waits for a valid config that differs from the current plan's, or for the verdict that this one does not do. What it cannot
// use, it reports and passes over: the daemon keeps its last good config.
func (d *daemon) nextPlan(ctx context.Context, current *plan, t *trial, configs <-chan etcd.Configs) (*plan, error) {
	failed, passed := t.verdicts()
	for now := current.revision; ; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case d.rollout.seen = <-configs:
		case why := <-failed:
			d.spurn(now, control.CanaryWentBack, why)
			if d.state.Snapshot().Etcd.Problem != "" {
				continue // to go back takes a lease. The configs come again with etcd
			}
		case <-passed:
			d.show(now, true)
			continue
		}
		r, p, err := d.consider(now)
		switch {
		case p != nil:
			return p, nil
		case err != nil:
			d.refuseRevision(err)
		case r.value == nil:
			d.refuseRevision(fmt.Errorf("etcd %s is gone", d.cluster.ConfigKey()))
		default: // the same in other words, or known otherwise
			if !r.canary {
				t.end()
			}
			now = r
			d.state.SetRevision(r.number)
			d.state.SetProblem("")
			d.show(r, t.hasPassed())
		}
	}
}

func receive[T any](ctx context.Context, from <-chan T) (value T, err error) {
	select {
	case <-ctx.Done():
		return value, ctx.Err()
	case value = <-from:
		return value, nil
	}
}

// planRevision makes the plan of the revision, and keeps other daemons from what its network needs for itself.
func (d *daemon) planRevision(r revision) (*plan, error) {
	p, err := d.plan(d.place(r), r.value)
	if err == nil && r.canary {
		err = checkCanary(r.instead.value, r.value)
	}
	if err == nil {
		err = d.held.holdNetwork(d.place(r), p)
	}
	if r, refused := errors.AsType[*refusal](err); refused && r.status == exitConfig {
		return nil, refuse(exitConfig, err, "write one that can be used: "+d.putCommand("FILE"))
	}
	if err != nil {
		return nil, err
	}
	p.revision = r
	if r.instead != nil {
		p.failing = failingPeers(d.state.Snapshot())
	}
	return p, nil
}

// place is where a person finds the revision.
func (d *daemon) place(r revision) string {
	key := d.cluster.ConfigKey()
	if r.canary {
		key = d.cluster.StagedKey()
	}
	return fmt.Sprintf("etcd %s@%d", key, r.number)
}

func (d *daemon) refuseRevision(err error) {
	d.log.Error("network config refused, the last good one stays", "err", err)
	d.state.SetProblem("the last good network config stays: " + err.Error())
}
