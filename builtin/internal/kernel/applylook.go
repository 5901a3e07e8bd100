package kernel

import (
	"context"
)

// compare finds what the kernel does not have yet. WireGuard's peers are set in any case: what they are is more than the kernel
// tells, and they may be wanted in one form after another. Neighbours and FDB entries of which nobody owns any are hardly ever
// there, and to be refused is cheaper than to look: the kernel walks through those of all network namespaces.
func (a *applying) compare(ctx context.Context) {
	at := make([]int, 0, len(a.parts))
	peers := false
	for i := range a.parts {
		p := &a.parts[i]
		switch p.op.Object.(type) {
		case Peer:
			p.op.Verb, p.needed, peers = Set, true, true
			continue
		case Neigh, FDB:
			if p.was == nil {
				p.needed, p.unseen = true, true
				continue
			}
		}
		if a.errs[p.want] == nil {
			at = append(at, i)
		}
	}
	if peers {
		a.comparePeers(ctx)
	}
	a.look(ctx, at)
}

// look finds of some parts whether the kernel has them.
func (a *applying) look(ctx context.Context, at []int) {
	if len(at) == 0 {
		return
	}
	objects := make([]Object, len(at))
	for i, part := range at {
		objects[i] = a.parts[part].op.Object
		a.parts[part].needed = false
	}
	differences, err := a.kernel.Compare(ctx, objects)
	if err != nil {
		a.failAll(err)
		return
	}
	for _, d := range differences {
		p := &a.parts[at[d.Index]]
		switch {
		case d.Over:
			a.over = append(a.over, overPart{p.want, d.Have})
		case d.Have != nil:
			p.needed, p.op.Verb, p.have = true, Replace, d.Have
		default:
			p.needed = true
		}
	}
}

// comparePeers finds how WireGuard's peers were, to be able to bring that back.
func (a *applying) comparePeers(ctx context.Context) {
	were := map[string]Peer{}
	for device := range a.strangeDevices() {
		list, err := a.kernel.List(ctx, Peer{Dev: device})
		if err != nil {
			a.failAll(err)
			return
		}
		for _, o := range list {
			were[o.Key()] = o.(Peer)
		}
	}
	for i := range a.parts {
		if was, ok := were[a.parts[i].place]; ok {
			a.parts[i].have = was
		}
	}
}

// strangeDevices are the WireGuard devices that may have some of the wanted peers. One with peers that are owned, where none of the
// wanted is, has none of these: whoever takes a device over does so with all its peers at once, and to list thousands takes far
// longer than to make one more.
func (a *applying) strangeDevices() map[string]bool {
	strange, known := map[string]bool{}, map[string]bool{}
	for i := range a.parts {
		peer, ok := a.parts[i].op.Object.(Peer)
		if !ok || strange[peer.Dev] {
			continue
		}
		if a.parts[i].was == nil && !known[peer.Dev] {
			known[peer.Dev] = a.ledger.hasPeers(peer.Dev)
		}
		if a.parts[i].was != nil || !known[peer.Dev] {
			strange[peer.Dev] = true
		}
	}
	return strange
}
