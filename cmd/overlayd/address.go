package main

import (
	"context"
	"log/slog"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// An addressed is leases that say where this machine is reached by now, not where it was when the network was planned.
type addressed struct {
	*lease.Manager
	external func() (node.External, error)
	log      *slog.Logger
}

// addressed makes the manager's leases follow the machine's addresses.
func (d *daemon) addressed(m *lease.Manager, n lease.Network) addressed {
	return addressed{m, func() (node.External, error) {
		facts, err := node.Read()
		if err != nil {
			return node.External{}, err
		}
		e, err := facts.External(d.request(n))
		if err == nil {
			d.sayExternal(e)
		}
		return e, err
	}, d.log}
}

// Acquire is part of hooks.Leases.
func (a addressed) Acquire(ctx context.Context, want lease.Lease) (lease.Lease, error) {
	if e, err := a.external(); err == nil {
		tell(&want, e)
	}
	return a.Manager.Acquire(ctx, want)
}

// Hold is part of hooks.Leases.
func (a addressed) Hold(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Manager.Hold(ctx) })
	g.Go(func() error {
		trouble := ""
		err := builtin.WatchAddresses(ctx, func() { trouble = a.republish(trouble) })
		if ctx.Err() == nil {
			a.log.Warn("a change of this machine's address will be published at the next start alone", "err", err)
		}
		return nil // the lease can be held without
	})
	return g.Wait()
}

// republish says in the lease where the machine is reached. While it is reached nowhere, as between two addresses, the
// lease says what it said. It returns what stood in the way, and logs it if that is not what stood there before.
func (a addressed) republish(before string) (trouble string) {
	e, err := a.external()
	if err == nil {
		err = a.Republish(func(l *lease.Lease) { tell(l, e) })
	}
	if err == nil {
		return ""
	}
	if err.Error() != before {
		a.log.Warn("this machine's address is not known, the lease keeps the last one", "err", err)
	}
	return err.Error()
}

func tell(l *lease.Lease, e node.External) {
	for _, half := range []struct {
		path   *lease.Path
		public netip.Addr
	}{{&l.V4, e.PublicV4}, {&l.V6, e.PublicV6}} {
		if half.public.IsValid() {
			half.path.PublicIP = half.public
		}
	}
}
