package builtin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
)

var _ hooks.Effects = (*planned)(nil)

// A router is a plan whose way to a peer can depend on the machine's own routes.
type router interface{ FollowsRoutes() bool }

// Scopes is part of hooks.Effects.
func (b *planned) Scopes() []string { return b.set.Scopes() }

// Clear is part of hooks.Effects.
func (b *planned) Clear(ctx context.Context, scope string) error { return b.set.Clear(ctx, scope) }

// Move is part of hooks.Effects.
func (b *planned) Move(from, to string) error {
	if err := b.set.Move(from, to); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if peer, live := b.live[from]; live {
		delete(b.live, from)
		delete(b.nexts, from)
		b.live[to] = peer
		b.hear(to, peer.lease)
	}
	return nil
}

// Watch is part of hooks.Effects. What the node and its peers need can come to differ from what was made for them although
// nobody has touched that: when the machine's routes change, and when the node gets another key. That is told like damage.
func (b *planned) Watch(ctx context.Context, damaged func(scopes []string)) error {
	tell := func(scopes []string) {
		if len(scopes) > 0 {
			damaged(scopes)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.set.Watch(ctx, damaged) })
	g.Go(func() error { return b.retire(ctx) })
	if r, ok := b.plan.(router); ok && r.FollowsRoutes() {
		g.Go(func() error {
			told := map[string]string{}
			return kernel.WatchAddresses(ctx, func() { tell(b.rerouted(ctx, told)) })
		})
	}
	if b.detour != nil {
		g.Go(func() error { return b.detour.run(ctx, tell) })
		g.Go(func() error { return b.followKey(ctx, tell) })
		g.Go(func() error { return b.greetLate(ctx) })
	}
	return g.Wait()
}

// rerouted returns the scopes of the peers to which another way leads now than the one that was made, once for each way: told
// remembers them.
func (b *planned) rerouted(ctx context.Context, told map[string]string) (scopes []string) {
	b.mu.Lock()
	peers := maps.Clone(b.live)
	b.mu.Unlock()
	n := b.lastNode(ctx)
	for scope, peer := range peers {
		objects, err := b.plan.Peer(n, peer.lease)
		if err != nil {
			b.log.Warn("way to peer is not known", "subnet", scope, "err", err)
			continue
		}
		if b.isMade(scope, objects) {
			delete(told, scope)
			continue
		}
		if way := fmt.Sprint(objects); told[scope] != way {
			told[scope] = way
			b.log.Info("another way leads to peer", "subnet", scope)
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// isMade reports whether the objects are what the scope owns.
func (b *planned) isMade(scope string, objects []kernel.Object) bool {
	owned := map[string]bool{}
	for _, o := range b.set.scopes.Owned(scope) {
		owned[kernel.Op{Verb: kernel.Add, Object: o}.String()] = true
	}
	return len(owned) == len(objects) && !slices.ContainsFunc(objects, func(o kernel.Object) bool {
		return !owned[kernel.Op{Verb: kernel.Add, Object: o}.String()]
	})
}

// lastNode is what the plan was told of the node at the last PostStartup.
func (b *planned) lastNode(ctx context.Context) *native.Node {
	b.mu.Lock()
	call := b.call
	b.mu.Unlock()
	return b.node(ctx, call)
}
