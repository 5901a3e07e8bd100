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
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// A revision is the network config as etcd held it once.
type revision struct {
	value  []byte // nil while etcd holds none
	number int64  // etcd's revision of the key's last change
}

// follow serves the network config of etcd, and each change of it since it was read, until the context ends.
func (d *daemon) follow(ctx context.Context, read etcd.ConfigRead) error {
	revisions := make(chan revision, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.watchConfig(ctx, read, revisions) })
	g.Go(func() error { return d.sessions(ctx, revisions) })
	return g.Wait()
}

// watchConfig keeps the newest network config in revisions, whose only sender it is, and says whether etcd answers.
func (d *daemon) watchConfig(ctx context.Context, read etcd.ConfigRead, revisions chan revision) error {
	answers := true
	return d.cluster.WatchConfig(ctx, read, func(value []byte, number int64) error {
		if !answers {
			d.log.Info("etcd answers again")
			d.state.SetEtcd(nil)
		}
		answers = true
		select { // what nobody has looked at is of no interest any more
		case <-revisions:
		default:
		}
		revisions <- revision{value, number}
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
func (d *daemon) sessions(ctx context.Context, revisions <-chan revision) error {
	p, err := d.firstPlan(ctx, revisions)
	for reason := hooks.Start; err == nil; reason = hooks.Config {
		d.begun = true
		p, err = d.session(ctx, p, reason, revisions)
	}
	return err
}

// session runs the plan until another replaces it, which is returned, or until the context ends.
func (d *daemon) session(ctx context.Context, p *plan, reason hooks.Reason, revisions <-chan revision) (*plan, error) {
	running, change := context.WithCancelCause(ctx)
	defer change(nil)
	g, watching := errgroup.WithContext(running)
	var next *plan
	g.Go(func() (err error) {
		if next, err = d.nextPlan(watching, p, revisions); err == nil {
			cause := hooks.ErrConfigChanged
			if next.inherits = builtin.HandsOver(p.network, next.network); next.inherits {
				cause = hooks.ErrHandedOver
			}
			change(cause)
		}
		return nil
	})
	g.Go(func() error {
		defer change(nil)
		return d.runPlan(running, p, reason)
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
func (d *daemon) firstPlan(ctx context.Context, revisions <-chan revision) (*plan, error) {
	for waiting := false; ; {
		r, err := receive(ctx, revisions)
		switch {
		case err != nil:
			return nil, err
		case r.value != nil:
			d.compareWithFile(r)
			p, err := d.planRevision(r)
			if err == nil || !waiting {
				return p, err
			}
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
func (d *daemon) compareWithFile(r revision) {
	if d.network != nil && !lease.SameJSON(d.network, r.value) {
		d.log.Warn("network config of the file is not in use, since etcd has another", "file", d.config,
			"in_use", d.place(r), "publish_the_file_with", d.putCommand(d.config))
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
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + rand.N(time.Second)):
		}
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

// nextPlan waits for a valid config that differs from the current plan's. What it cannot use, it reports and passes over:
// the daemon keeps its last good config.
func (d *daemon) nextPlan(ctx context.Context, current *plan, revisions <-chan revision) (*plan, error) {
	for {
		r, err := receive(ctx, revisions)
		switch {
		case err != nil:
			return nil, err
		case r.value == nil:
			d.refuseRevision(fmt.Errorf("etcd %s is gone", d.cluster.ConfigKey()))
		case lease.SameJSON(r.value, current.value):
			d.state.SetRevision(r.number)
			d.state.SetProblem("")
		default:
			p, err := d.planRevision(r)
			if err == nil {
				return p, nil
			}
			d.refuseRevision(err)
		}
	}
}

func receive(ctx context.Context, revisions <-chan revision) (revision, error) {
	select {
	case <-ctx.Done():
		return revision{}, ctx.Err()
	case r := <-revisions:
		return r, nil
	}
}

// planRevision makes the plan of the revision, and keeps other daemons from what its network needs for itself.
func (d *daemon) planRevision(r revision) (*plan, error) {
	p, err := d.plan(d.place(r), r.value)
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
	return p, nil
}

// place is where a person finds the revision.
func (d *daemon) place(r revision) string {
	return fmt.Sprintf("etcd %s@%d", d.cluster.ConfigKey(), r.number)
}

func (d *daemon) refuseRevision(err error) {
	d.log.Error("network config refused, the last good one stays", "err", err)
	d.state.SetProblem("the last good network config stays: " + err.Error())
}
