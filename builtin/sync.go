package builtin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

// drainTime is how long the earlier key of a WireGuard peer stays for packets that are on their way.
const drainTime = 100 * time.Millisecond

// A livePeer is a peer that was added.
type livePeer struct {
	lease *lease.Lease
	since time.Time // when it was added for the first time as it is
}

// SubnetAdd is part of hooks.Backend.
func (b *planned) SubnetAdd(ctx context.Context, call hooks.Call, peer lease.Lease) error {
	if errs := b.Sync(ctx, call, []*lease.Lease{&peer}); errs != nil {
		return errs[0]
	}
	return nil
}

// Sync is part of hooks.Syncer.
func (b *planned) Sync(ctx context.Context, call hooks.Call, peers []*lease.Lease) []error {
	if b.detour != nil && call.Reason == hooks.Change {
		b.detour.turnOff(ctx)
	}
	node := b.node(ctx, call)
	errs := make([]error, len(peers))
	scopes := make([]string, len(peers))
	at := make([]int, 0, len(peers)) // which peers' the Wants are
	var all map[string]livePeer      // the peers, if they can be the first of all
	wants := func(yield func(kernel.Want) bool) {
		for i, peer := range peers {
			scopes[i] = peer.String()
			objects, err := b.peer(node, peer)
			if err != nil {
				errs[i] = hooks.SetAside{Reason: err}
				continue
			}
			at = append(at, i)
			if !yield(kernel.Want{Scope: scopes[i], Objects: b.greeting(call.Reason, scopes[i], objects)}) {
				return
			}
		}
		all = b.firstPeers(scopes, peers) // while the kernel makes the last of many
	}
	for i, err := range b.apply(ctx, call.Reason, wants) {
		errs[at[i]] = b.explain(err)
	}
	failed, now := false, time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	first := all != nil && len(b.live) == 0
	if first {
		b.live = all
	}
	for i, peer := range peers {
		switch {
		case errs[i] != nil:
			failed = true
			errs[i] = fmt.Errorf("peer %s: %w", scopes[i], errs[i])
			if first {
				delete(b.live, scopes[i])
			}
			continue
		case !first:
			b.live[scopes[i]] = livePeer{peer, b.live[scopes[i]].sinceOf(peer, now)}
		}
		b.hear(scopes[i], peer)
	}
	if !failed {
		return nil
	}
	return errs
}

// firstPeers are the peers as they will be live, nil if any are already. WireGuard's have to count from the moment that they are there.
func (b *planned) firstPeers(scopes []string, peers []*lease.Lease) map[string]livePeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.live) > 0 || b.detour != nil {
		return nil
	}
	now := time.Now()
	all := make(map[string]livePeer, len(peers))
	for i, peer := range peers {
		all[scopes[i]] = livePeer{peer, now}
	}
	return all
}

// greeting is greet for objects among which there may be no WireGuard peer.
func (b *planned) greeting(reason hooks.Reason, scope string, objects []kernel.Object) []kernel.Object {
	if !slices.ContainsFunc(objects, func(o kernel.Object) bool { _, ok := o.(kernel.Peer); return ok }) {
		return objects
	}
	return b.greet(reason, scope, objects)
}

// apply makes the kernel have what the scopes want. The earlier key of a WireGuard peer that has another one now goes a moment
// after its prefixes have gone over, since packets that are on their way under it would go with it.
func (b *planned) apply(ctx context.Context, reason hooks.Reason, stream iter.Seq[kernel.Want]) []error {
	if reason != hooks.Change {
		return b.set.scopes.Apply(ctx, stream, b.isLive)
	}
	wants := slices.Collect(stream)
	first := slices.Clone(wants)
	var later []kernel.Want
	for i, w := range wants {
		if earlier := b.earlierKeys(w); len(earlier) > 0 {
			first[i].Objects = slices.Concat(w.Objects, earlier)
			later = append(later, w)
		}
	}
	errs := b.set.scopes.Apply(ctx, slices.Values(first), b.isLive)
	if len(later) == 0 || errs != nil && !slices.Contains(errs, nil) || sleep.For(ctx, drainTime) != nil {
		return errs // what is left of them the next Sync sweeps away
	}
	for i, w := range wants {
		if errs != nil && errs[i] != nil {
			later = slices.DeleteFunc(later, func(l kernel.Want) bool { return l.Scope == w.Scope })
		}
	}
	if err := errors.Join(b.set.scopes.Apply(ctx, slices.Values(later), b.isLive)...); err != nil {
		b.log.Warn("earlier keys of WireGuard peers could not be removed", "err", err)
	}
	return errs
}

// earlierKeys are the WireGuard peers that the scope owns and does not want, without their prefixes.
func (b *planned) earlierKeys(w kernel.Want) (peers []kernel.Object) {
	for _, o := range b.set.scopes.Owned(w.Scope) {
		if p, ok := o.(kernel.Peer); ok && !has(w.Objects, p) {
			peers = append(peers, bare(p))
		}
	}
	return peers
}

func (b *planned) peer(n *native.Node, peer *lease.Lease) ([]kernel.Object, error) {
	if !strings.EqualFold(peer.BackendType, b.kind) {
		return nil, fmt.Errorf("its backend is %q, and this node's is %q", peer.BackendType, b.kind)
	}
	for range n.Halves(peer) {
		return b.plan.Peer(n, peer)
	}
	return nil, errors.New("it has no subnet in an address family that this node uses")
}
