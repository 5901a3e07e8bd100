package kernel

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
)

// isLikelyNew reports whether the kernel most likely has none of what the target wants, and says so if it has: the scope owned nothing
// before, and a second route, neighbour or FDB entry in one place is refused. It notes the routes that hide the target's.
func (a *applying) isLikelyNew(ctx context.Context, t *target) bool {
	if !t.anew {
		return false
	}
	var over []overPart
	for i := range t.parts {
		switch o := t.parts[i].op.Object.(type) {
		case Neigh, FDB:
		case Route:
			if !o.isSpread() {
				break
			}
			if a.rivals == nil {
				a.rivals = findRivals(ctx, a.kernel)
			}
			if a.rivals.many || o.table() != mainTable {
				return false
			}
			for _, r := range a.rivals.of[o.Dst] {
				if o.isUnder(r) {
					over = append(over, overPart{t, r})
				}
			}
		default:
			return false
		}
	}
	a.over = append(a.over, over...)
	return true
}

// rivals are the routes that hide spread ones to the same prefixes, by these, the best first.
type rivals struct {
	of   map[netip.Prefix][]Route
	many bool // or not known: it is better to look for those to some prefixes alone
}

// mostRivals is how many there may be for it to be cheaper to know all of them.
const mostRivals = 1000

func findRivals(ctx context.Context, k Kernel) *rivals {
	routes, err := k.Rivals(ctx, mostRivals)
	if err != nil || len(routes) > mostRivals {
		return &rivals{many: true}
	}
	found := &rivals{of: make(map[netip.Prefix][]Route, len(routes))}
	for _, r := range routes {
		found.of[r.Dst] = append(found.of[r.Dst], r)
	}
	for _, list := range found.of {
		slices.SortFunc(list, func(a, b Route) int { return cmp.Compare(a.Metric, b.Metric) })
	}
	return found
}

// compare finds of the parts that were put by whether the kernel has them. WireGuard's peers are set in any case: what they are is more
// than the kernel tells, and they may be wanted in one form after another. Neighbours and FDB entries of scopes that own nothing are
// hardly ever there, and to be refused is cheaper than to look: the kernel walks through those of all network namespaces.
func (a *applying) compare(ctx context.Context) {
	look := make([]*part, 0, len(a.later))
	peers := false
	for _, p := range a.later {
		switch p.op.Object.(type) {
		case Peer:
			p.op.Verb, p.needed, peers = Set, true, true
			continue
		case Neigh, FDB:
			if p.of.anew && !p.there {
				p.needed, p.unseen = true, true
				continue
			}
		}
		look = append(look, p)
	}
	if peers {
		a.comparePeers(ctx)
	}
	a.look(ctx, look)
}

// look finds of some parts whether the kernel has them.
func (a *applying) look(ctx context.Context, parts []*part) {
	if len(parts) == 0 {
		return
	}
	objects := make([]Object, len(parts))
	for i, p := range parts {
		objects[i] = p.op.Object
		p.needed = false
	}
	differences, err := a.kernel.Compare(ctx, objects)
	if err != nil {
		for _, p := range parts {
			p.of.fail(err)
		}
		return
	}
	for _, d := range differences {
		p := parts[d.Index]
		switch {
		case d.Over:
			a.over = append(a.over, overPart{p.of, d.Have})
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
			for _, p := range a.later {
				p.of.fail(err)
			}
			return
		}
		for _, o := range list {
			were[o.Key()] = o.(Peer)
		}
	}
	for _, p := range a.later {
		if _, ok := p.op.Object.(Peer); ok {
			if was, ok := were[p.place]; ok {
				p.have = was
			}
		}
	}
}

// noteDevice notes, before any peer of the WireGuard device is claimed, whether some are owned.
func (a *applying) noteDevice(name string) {
	if _, noted := a.hadPeers[name]; noted {
		return
	}
	if a.hadPeers == nil {
		a.hadPeers = map[string]bool{}
	}
	a.hadPeers[name] = a.ledger.hasPeers(name)
}

// strangeDevices are the WireGuard devices that may have some of the wanted peers. One with peers that are owned, where none of the
// wanted was, has none of these: whoever takes a device over does so with all its peers at once, and to list thousands takes far
// longer than to make one more.
func (a *applying) strangeDevices() map[string]bool {
	strange := map[string]bool{}
	for _, p := range a.later {
		if peer, ok := p.op.Object.(Peer); ok && (p.was != nil || !a.hadPeers[peer.Dev]) {
			strange[peer.Dev] = true
		}
	}
	return strange
}
