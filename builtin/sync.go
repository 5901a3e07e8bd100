package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A livePeer is a peer that was added.
type livePeer struct {
	lease lease.Lease
	since time.Time // when it was added for the first time as it is
}

// SubnetAdd is part of hooks.Backend.
func (b *planned) SubnetAdd(ctx context.Context, call hooks.Call, peer lease.Lease) error {
	if errs := b.Sync(ctx, call, []lease.Lease{peer}); errs != nil {
		return errs[0]
	}
	return nil
}

// Sync is part of hooks.Syncer.
func (b *planned) Sync(ctx context.Context, call hooks.Call, peers []lease.Lease) []error {
	node := b.node(ctx, call)
	errs := make([]error, len(peers))
	scopes := make([]string, len(peers))
	wants := make([]kernel.Want, 0, len(peers))
	at := make([]int, 0, len(peers)) // which peers' they are
	for i, peer := range peers {
		scopes[i] = peer.String()
		objects, err := b.peer(node, peer)
		if errs[i] = err; err == nil {
			wants, at = append(wants, kernel.Want{Scope: scopes[i], Objects: b.greeting(call.Reason, scopes[i], ours(objects))}), append(at, i)
		}
	}
	for i, err := range b.set.scopes.Apply(ctx, wants, b.isLive) {
		errs[at[i]] = b.explain(err)
	}
	failed := false
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, peer := range peers {
		if errs[i] == nil {
			b.live[scopes[i]] = livePeer{peer, b.live[scopes[i]].sinceOf(peer)}
			continue
		}
		failed = true
		errs[i] = fmt.Errorf("peer %s: %w", scopes[i], errs[i])
	}
	if !failed {
		return nil
	}
	return errs
}

// greeting is greet for objects among which there may be no WireGuard peer.
func (b *planned) greeting(reason hooks.Reason, scope string, objects []kernel.Object) []kernel.Object {
	if !slices.ContainsFunc(objects, func(o kernel.Object) bool { _, ok := o.(kernel.Peer); return ok }) {
		return objects
	}
	return b.greet(reason, scope, objects)
}

// ours are a peer's objects with the marks of a native backend's, and routes with metrics of their own.
func ours(objects []kernel.Object) []kernel.Object {
	for i, o := range objects {
		if r, ok := o.(kernel.Route); ok {
			r.Protocol = kernel.Protocol
			objects[i] = kernel.Spread(r)
		}
	}
	return objects
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
