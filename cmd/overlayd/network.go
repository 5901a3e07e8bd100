package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A revision is the network config as etcd held it once.
type revision struct {
	value  []byte // nil while etcd holds none
	number int64  // etcd's revision of the key's last change
}

// follow serves the network config of etcd, and each change of it, until the context ends.
func (d *daemon) follow(ctx context.Context) error {
	revisions := make(chan revision, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return d.store.WatchConfig(ctx, func(value []byte, number int64) error {
			d.state.SetEtcd(nil)
			select { // the newest wins: what nobody looked at is of no interest any more
			case <-revisions:
			default:
			}
			revisions <- revision{value, number}
			return nil
		}, d.etcdTrouble)
	})
	g.Go(func() error { return d.sessions(ctx, revisions) })
	return g.Wait()
}

// sessions runs one network after the other: the first, and a new one for each valid change of the config.
func (d *daemon) sessions(ctx context.Context, revisions <-chan revision) error {
	p, err := d.firstPlan(ctx, revisions)
	for reason := hooks.Start; err == nil; reason = hooks.Config {
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
	g.Go(func() error {
		n, err := d.nextPlan(watching, p, revisions)
		if err == nil {
			next = n
			change(hooks.ErrConfigChanged)
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
		return nil, context.Cause(ctx)
	}
	return next, nil
}

// firstPlan waits until there is a network config. It publishes the config file's where etcd has none, and says so
// where both have one and differ.
func (d *daemon) firstPlan(ctx context.Context, revisions <-chan revision) (*plan, error) {
	key := d.store.ConfigKey()
	for {
		var r revision
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case r = <-revisions:
		}
		switch {
		case r.value != nil:
			if d.network != nil && !lease.SameJSON(d.network, r.value) {
				d.log.Warn("the network config in etcd counts, and the file's differs", "key", key, "revision", r.number,
					"publish", d.putCommand())
			}
			p, err := d.plan(r.value)
			if err != nil {
				return nil, refuse(exitConfig, fmt.Errorf("etcd %s@%d: %w", key, r.number, err), "correct it with overlayd config put FILE")
			}
			p.revision = r
			return p, nil
		case d.network == nil:
			d.log.Warn("waiting for a network config", "key", key, "publish", d.putCommand())
			d.state.SetProblem("waiting for a network config at etcd key " + key)
		default:
			err := d.store.PublishConfig(ctx, d.network)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			if err == nil {
				d.log.Info("network config published", "key", key, "file", d.config)
			}
		}
	}
}

// nextPlan waits for a valid config that differs from the current plan's. What it cannot use, it reports and passes over:
// the daemon keeps its last good config.
func (d *daemon) nextPlan(ctx context.Context, current *plan, revisions <-chan revision) (*plan, error) {
	key := d.store.ConfigKey()
	for {
		var r revision
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case r = <-revisions:
		}
		if r.value == nil {
			d.refuseRevision(fmt.Sprintf("etcd %s is gone", key))
			continue
		}
		if lease.SameJSON(r.value, current.value) {
			d.state.SetRevision(r.number)
			d.state.SetProblem("")
			continue
		}
		p, err := d.plan(r.value)
		if err != nil {
			d.refuseRevision(fmt.Sprintf("etcd %s@%d: %v", key, r.number, err))
			continue
		}
		p.revision = r
		return p, nil
	}
}

func (d *daemon) refuseRevision(problem string) {
	d.log.Error("network config refused, the last good one stays", "problem", problem)
	d.state.SetProblem("the last good network config stays: " + problem)
}

// etcdTrouble says that etcd does not answer. The overlay goes on meanwhile.
func (d *daemon) etcdTrouble(err error) {
	d.log.Warn("etcd does not answer, trying again", "err", err)
	d.state.SetEtcd(err)
}

// putCommand is the command that publishes the config file, or another, where this daemon looks for it.
func (d *daemon) putCommand() string {
	file := d.config
	if file == "" {
		file = "FILE"
	}
	words := []string{"overlayd", "config", "put", file, "--etcd-endpoints", strings.Join(d.etcd.Endpoints, ",")}
	for _, flag := range []struct{ name, value, usual string }{
		{"etcd-prefix", d.etcdPrefix, defaultPrefix},
		{"etcd-cafile", d.etcd.CAFile, ""},
		{"etcd-certfile", d.etcd.CertFile, ""},
		{"etcd-keyfile", d.etcd.KeyFile, ""},
		{"etcd-username", d.etcd.Username, ""},
		{"etcd-password-file", d.etcd.PasswordFile, ""},
	} {
		if flag.value != flag.usual {
			words = append(words, "--"+flag.name, flag.value)
		}
	}
	return strings.Join(words, " ")
}
