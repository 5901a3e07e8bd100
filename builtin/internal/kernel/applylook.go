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
	listed := map[string]bool{}
	for i := range a.parts {
		p := &a.parts[i]
		peer, ok := p.op.Object.(Peer)
		if !ok {
			continue
		}
		if !listed[peer.Dev] {
			listed[peer.Dev] = true
			list, err := a.kernel.List(ctx, Peer{Dev: peer.Dev})
			if err != nil {
				a.failAll(err)
				return
			}
			for _, o := range list {
				were[o.Key()] = o.(Peer)
			}
		}
		if was, ok := were[p.place]; ok {
			p.have = was
		}
	}
}
