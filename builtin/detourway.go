package builtin

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/lease"
)

// A heardNext is what a peer tells of its next key, and since when.
type heardNext struct {
	wireguard.Next
	since time.Time
}

// hear notes what a peer that has been added tells of its next key. The lock is held.
func (b *planned) hear(scope string, peer *lease.Lease) {
	if b.detour == nil {
		return
	}
	next := b.detour.plan.NextOf(*peer)
	was, heard := b.nexts[scope]
	switch {
	case next == wireguard.Next{}:
		delete(b.nexts, scope)
	case heard && was.PublicKey == next.PublicKey:
		b.nexts[scope] = heardNext{next, was.since}
	default:
		b.nexts[scope] = heardNext{next, time.Now()}
	}
}

// heard is what peers tell of their next keys, but for those that do not come to an end with it.
func (b *planned) heard() map[string]wireguard.Next {
	b.mu.Lock()
	defer b.mu.Unlock()
	nexts := map[string]wireguard.Next{}
	for scope, heard := range b.nexts {
		if time.Since(heard.since) < helpTime {
			nexts[scope] = heard.Next
		}
	}
	return nexts
}

// turnOff has packets go by the detour to all that are there, before the way that they take else is changed.
func (d *detour) turnOff(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.key == nil {
		return
	}
	if err := d.lead(ctx); err != nil {
		d.log.Warn("packets may not go by the detour", "err", err)
	}
}

// lead has those peers be on the detour that are wanted there, and packets go there to those that have shaken hands on it and need it.
func (d *detour) lead(ctx context.Context) error {
	nexts := d.heard()
	d.expect(ctx, nexts)
	if err := d.put(ctx); err != nil {
		return err
	}
	shaken, err := d.handshakes(ctx)
	if err != nil {
		return err
	}
	for scope, way := range d.ways {
		used := way.isMet(shaken)
		if !used {
			err = errors.Join(err, d.meet(ctx, way))
		}
		if used = used && !d.isSettled(scope, nexts[scope], shaken); used != way.used {
			way.used, d.changed = used, true
			d.log.Debug("packets go another way past the links whose key is replaced", "subnet", scope, "detour", used)
		}
	}
	return errors.Join(err, d.put(ctx))
}

// expect finds who is wanted on the detour: who gets a new key, and all while this node does. Whoever has been stays as long as it
// is there.
func (d *detour) expect(ctx context.Context, nexts map[string]wireguard.Next) {
	node := d.lastNode(ctx)
	d.planned.mu.Lock()
	live := maps.Clone(d.live)
	d.planned.mu.Unlock()
	for scope := range d.ways {
		if _, up := live[scope]; !up {
			delete(d.ways, scope)
			d.changed = true
		}
	}
	for scope, peer := range live {
		way, next := d.ways[scope], nexts[scope]
		if way == nil && d.own == (kernel.PublicKey{}) && next == (wireguard.Next{}) || way != nil && way.lease.Equal(*peer.lease) {
			continue
		}
		peers, routes, err := d.plan.Detoured(node, peer.lease)
		if err != nil { // nor is it a peer otherwise
			d.log.Debug("peer cannot be on the detour", "subnet", scope, "err", err)
			continue
		}
		if way == nil {
			way = &detoured{}
			d.ways[scope] = way
		}
		way.lease, way.peers, way.routes = peer.lease, peers, routes
		d.changed = true
	}
}

// put has the kernel have the peers, and the routes of those that are used.
func (d *detour) put(ctx context.Context) error {
	if !d.changed {
		return nil
	}
	var peers, routes []kernel.Object
	for _, scope := range slices.Sorted(maps.Keys(d.ways)) {
		way := d.ways[scope]
		for _, p := range way.peers {
			peers = append(peers, p)
		}
		if way.used {
			routes = append(routes, way.routes...)
		}
	}
	want := kernel.Want{Scope: waysScope, Objects: append(peers, routes...)}
	err := errors.Join(d.set.scopes.Apply(ctx, slices.Values([]kernel.Want{want}), d.isLive)...)
	d.changed = err != nil
	return err
}

// meet greets a peer on the detour that is there for certain, since it tells so. Of two that tell so one does. WireGuard tries again
// by itself, after 5 s, where the peer did not know this node yet. To have it try sooner, by making the peer anew, would end a
// session that the peer may just have begun to use.
func (d *detour) meet(ctx context.Context, way *detoured) error {
	if time.Since(way.greeted) < meetingPause {
		return nil
	}
	way.greeted = time.Now()
	var ops []kernel.Op
	for _, p := range way.peers {
		if p.Endpoint.IsValid() && (d.own == (kernel.PublicKey{}) || bytes.Compare(d.public[:], p.PublicKey[:]) < 0) {
			ops = append(ops, nudge(p)...)
		}
	}
	return d.set.kernel.Do(ctx, ops...)
}

// uses reports whether packets to the peer go by the detour.
func (d *detour) uses(scope string) bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	way := d.ways[scope]
	return way != nil && way.used
}

// isMet reports whether hands were shaken with the peer on the detour.
func (w *detoured) isMet(shaken map[string]time.Time) bool {
	return !slices.ContainsFunc(w.peers, func(p kernel.Peer) bool { return shaken[p.Key()].IsZero() })
}

// isSettled reports whether packets to the peer can go by this node's own links: neither end is about to get another key, and hands were
// shaken there under those that they have.
func (d *detour) isSettled(scope string, next wireguard.Next, shaken map[string]time.Time) bool {
	if d.own != (kernel.PublicKey{}) && !d.isOwn() || next != (wireguard.Next{}) && !next.Taken {
		return false
	}
	d.planned.mu.Lock()
	rekeyed := d.rekeyed
	d.planned.mu.Unlock()
	settled := false
	for _, o := range d.set.scopes.Owned(scope) {
		if p, ok := o.(kernel.Peer); ok {
			if settled = shaken[p.Key()].After(rekeyed); !settled {
				return false
			}
		}
	}
	return settled
}

// isOwn reports whether this node's own links have the key that it gets.
func (d *detour) isOwn() bool {
	d.planned.mu.Lock()
	defer d.planned.mu.Unlock()
	return d.planned.public == d.own
}

// handshakes tells when hands were last shaken with each WireGuard peer that there is, by its key; the zero time for never.
func (b *planned) handshakes(ctx context.Context) (map[string]time.Time, error) {
	list, err := b.set.kernel.List(ctx, kernel.Peer{})
	shaken := map[string]time.Time{}
	for _, o := range list {
		shaken[o.Key()] = o.(kernel.Peer).Handshake
	}
	return shaken, err
}
