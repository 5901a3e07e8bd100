package main

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// selfOf is what hooks are told of this machine, which tells its addresses of both families if it is to.
func selfOf(n lease.Network, e node.External, both bool) hooks.Node {
	self := hooks.Node{
		Networks: networks(n), Interface: e.Name, MTU: e.MTU,
		Lease: lease.Lease{V4: lease.Path{PublicIP: e.PublicV4}, V6: lease.Path{PublicIP: e.PublicV6}},
	}
	switch {
	case !both || !e.Spare.IsValid():
	case e.Spare.Is4():
		self.Lease.V4.PublicIP = e.Spare
	default:
		self.Lease.V6.PublicIP = e.Spare
	}
	return self
}

// isAsked reports whether the addresses of both families are to be told because the flags name one of a family that the network
// does not use.
func (d *daemon) isAsked(n lease.Network) bool {
	return d.publicIP.IsValid() && !n.V4.Network.IsValid() || d.publicIPv6.IsValid() && !n.V6.Network.IsValid()
}

// self is selfOf the plan's network with the external interface that is given, as things are now.
func (d *daemon) self(p *plan, e node.External) hooks.Node {
	return selfOf(p.network, e, p.both || d.breadth.now())
}

// watchSelf tells where the machine is reached by now, which the plan was made too early to know. While it is reached
// nowhere, as between two addresses, it counts as being where it was.
func (d *daemon) watchSelf(p *plan) hooks.Watch {
	return func(ctx context.Context, changed func(hooks.Node)) error {
		w := &selfWatch{daemon: d, plan: p, last: d.self(p, p.external)}
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return builtin.WatchAddresses(ctx, func() { w.look(changed) }) })
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-d.breadth.turned:
					w.look(changed)
				}
			}
		})
		return g.Wait()
	}
}

// A selfWatch is what watchSelf has told.
type selfWatch struct {
	*daemon
	plan *plan

	mu      sync.Mutex
	last    hooks.Node
	trouble string
}

// look looks at the machine.
func (w *selfWatch) look(changed func(hooks.Node)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, err := w.externalNow(w.plan.network)
	now := w.self(w.plan, e)
	if err == nil {
		now.Lease, err = lasting(w.plan.network, now.Lease, w.last.Lease)
	}
	if err != nil {
		if err.Error() != w.trouble {
			w.trouble = err.Error()
			w.log.Warn("this machine's address is not known, the lease keeps the last one", "err", err)
		}
		return
	}
	w.sayExternal(e)
	w.last, w.trouble = now, ""
	changed(now)
}

// lasting is where a node is reached that was reached elsewhere before. An address of a family that the network uses lasts until there is
// another. It is an error where the node has lost its only such: an address of the other family does not stand in for what may be
// back in a moment.
func lasting(n lease.Network, now, last lease.Lease) (lease.Lease, error) {
	for _, half := range []struct {
		pool      lease.Pool
		now, last *lease.Path
	}{{n.V4, &now.V4, &last.V4}, {n.V6, &now.V6, &last.V6}} {
		if !half.pool.Network.IsValid() || half.now.PublicIP.IsValid() || !half.last.PublicIP.IsValid() {
			continue
		}
		if len(networks(n)) == 1 {
			return now, fmt.Errorf("%s is gone, and no other is of its family", half.last.PublicIP)
		}
		half.now.PublicIP = half.last.PublicIP
	}
	return now, nil
}

// externalNow is the external interface as it is now.
func (d *daemon) externalNow(n lease.Network) (node.External, error) {
	facts, err := node.Read()
	if err != nil {
		return node.External{}, err
	}
	return facts.External(d.request(n))
}
