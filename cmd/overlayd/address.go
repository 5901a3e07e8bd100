package main

import (
	"context"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// selfOf is what hooks are told of this machine.
func selfOf(n lease.Network, e node.External) hooks.Node {
	return hooks.Node{
		Networks: networks(n), Interface: e.Name, MTU: e.MTU,
		Lease: lease.Lease{V4: lease.Path{PublicIP: e.PublicV4}, V6: lease.Path{PublicIP: e.PublicV6}},
	}
}

// watchSelf tells where the machine is reached by now, which the plan was made too early to know. While it is reached
// nowhere, as between two addresses, it counts as being where it was.
func (d *daemon) watchSelf(p *plan) hooks.Watch {
	return func(ctx context.Context, changed func(hooks.Node)) error {
		last, trouble := selfOf(p.network, p.external), ""
		return builtin.WatchAddresses(ctx, func() {
			e, err := d.externalNow(p.network)
			if err != nil {
				if err.Error() != trouble {
					trouble = err.Error()
					d.log.Warn("this machine's address is not known, the lease keeps the last one", "err", err)
				}
				return
			}
			d.sayExternal(e)
			now := selfOf(p.network, e)
			for _, half := range []struct{ now, last *lease.Path }{{&now.Lease.V4, &last.Lease.V4}, {&now.Lease.V6, &last.Lease.V6}} {
				if !half.now.PublicIP.IsValid() {
					half.now.PublicIP = half.last.PublicIP
				}
			}
			last, trouble = now, ""
			changed(now)
		})
	}
}

// externalNow is the external interface as it is now. Where one family has no address, it is that of the other.
func (d *daemon) externalNow(n lease.Network) (node.External, error) {
	facts, err := node.Read()
	if err != nil {
		return node.External{}, err
	}
	both := d.request(n)
	e, err := facts.External(both)
	if err == nil || !both.V4 || !both.V6 {
		return e, err
	}
	for _, v4 := range []bool{true, false} {
		one := both
		one.V4, one.V6 = v4, !v4
		if e, oneErr := facts.External(one); oneErr == nil {
			return e, nil
		}
	}
	return e, err
}
