package kernel

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// compare picks the parts of which it has to be found whether the kernel has them. WireGuard's peers are set in any case: what they
// are is more than the kernel tells, and they may be wanted in one form after another. Neighbours and FDB entries of scopes that own
// nothing are hardly ever there, and to be refused is cheaper than to look: the kernel walks through those of all network namespaces.
func (a *applying) compare(ctx context.Context) (at []int) {
	at = make([]int, 0, len(a.parts))
	peers := false
	for i := range a.parts {
		p := &a.parts[i]
		switch p.op.Object.(type) {
		case Peer:
			p.op.Verb, p.needed, peers = Set, true, true
			continue
		case Neigh, FDB:
			if p.anew {
				p.needed, p.unseen = true, true
				continue
			}
		}
		at = append(at, i)
	}
	if peers {
		a.comparePeers(ctx)
	}
	return at
}

// look begins to find of some parts whether the kernel has them. The function that it returns waits for that, and notes it.
func (a *applying) look(ctx context.Context, at []int) (note func()) {
	if len(at) == 0 {
		return func() {}
	}
	objects := make([]Object, len(at))
	for i, part := range at {
		objects[i] = a.parts[part].op.Object
	}
	var differences []Difference
	var looking errgroup.Group
	looking.Go(func() (err error) { differences, err = a.kernel.Compare(ctx, objects); return err })
	return func() {
		if err := looking.Wait(); err != nil {
			a.failAll(err)
			return
		}
		for _, part := range at {
			a.parts[part].needed = false
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
		if peer, ok := a.parts[i].op.Object.(Peer); ok {
			if was, ok := were[peer.Key()]; ok {
				a.parts[i].have = was
			}
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
		owned := a.ledger.ref(peer.Key()) != nil
		if !owned && !known[peer.Dev] {
			known[peer.Dev] = a.ledger.hasPeers(peer.Dev)
		}
		if owned || !known[peer.Dev] {
			strange[peer.Dev] = true
		}
	}
	return strange
}
