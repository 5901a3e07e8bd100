package builtin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
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
	all, errs := b.wants(b.node(ctx, call), peers)
	wants := make([]kernel.Want, 0, len(peers))
	at := make([]int, 0, len(peers)) // which peers' they are
	for i, w := range all {
		if errs[i] == nil {
			w.Objects = b.greeting(call.Reason, w.Scope, w.Objects)
			wants, at = append(wants, w), append(at, i)
		}
	}
	for i, err := range b.apply(ctx, call.Reason, wants) {
		errs[at[i]] = b.explain(err)
	}
	failed, now := false, time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.live) == 0 {
		b.live = make(map[string]livePeer, len(peers))
	}
	for i, peer := range peers {
		if errs[i] == nil {
			b.live[all[i].Scope] = livePeer{peer, b.live[all[i].Scope].sinceOf(peer, now)}
			b.hear(all[i].Scope, peer)
			continue
		}
		failed = true
		errs[i] = fmt.Errorf("peer %s: %w", all[i].Scope, errs[i])
	}
	if !failed {
		return nil
	}
	return errs
}

// wants are what it takes to reach each peer, or why it cannot be reached. All processors work on those of thousands.
func (b *planned) wants(node native.Node, peers []*lease.Lease) ([]kernel.Want, []error) {
	const few = 100
	wants, errs := make([]kernel.Want, len(peers)), make([]error, len(peers))
	share := max(few, (len(peers)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var g errgroup.Group
	for begin := 0; begin < len(peers); begin += share {
		g.Go(func() error {
			for i := begin; i < min(begin+share, len(peers)); i++ {
				wants[i].Scope = peers[i].String()
				var err error
				if wants[i].Objects, err = b.peer(node, *peers[i]); err != nil {
					errs[i] = hooks.SetAside{Reason: err}
				}
			}
			return nil
		})
	}
	_ = g.Wait() // each peer has its own error
	return wants, errs
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
func (b *planned) apply(ctx context.Context, reason hooks.Reason, wants []kernel.Want) []error {
	if reason != hooks.Change {
		return b.set.scopes.Apply(ctx, wants, b.isLive)
	}
	first := slices.Clone(wants)
	var later []kernel.Want
	for i, w := range wants {
		if earlier := b.earlierKeys(w); len(earlier) > 0 {
			first[i].Objects = slices.Concat(w.Objects, earlier)
			later = append(later, w)
		}
	}
	errs := b.set.scopes.Apply(ctx, first, b.isLive)
	if len(later) == 0 || errs != nil && !slices.Contains(errs, nil) || pause(ctx, drainTime) != nil {
		return errs // what is left of them the next Sync sweeps away
	}
	for i, w := range wants {
		if errs != nil && errs[i] != nil {
			later = slices.DeleteFunc(later, func(l kernel.Want) bool { return l.Scope == w.Scope })
		}
	}
	if err := errors.Join(b.set.scopes.Apply(ctx, later, b.isLive)...); err != nil {
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

func (b *planned) peer(n native.Node, peer lease.Lease) ([]kernel.Object, error) {
	if !strings.EqualFold(peer.BackendType, b.kind) {
		return nil, fmt.Errorf("its backend is %q, and this node's is %q", peer.BackendType, b.kind)
	}
	for range n.Halves(peer) {
		return b.plan.Peer(n, peer)
	}
	return nil, errors.New("it has no subnet in an address family that this node uses")
}
