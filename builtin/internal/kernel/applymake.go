package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"
	"syscall"
)

// claimTogether is about how many entries of the ledger are made and written down at once.
const claimTogether = 100

// claimed yields the numbers of all parts, in their order, those of some Wants at a time, once the scopes own what these want. So
// what comes next is written down while the kernel makes what came before, and the first while it is looked at.
func (a *applying) claimed(yield func(part int) bool, looked func()) {
	a.ledger.makeRoom(a.news, min(a.news, len(a.wants)))
	var entries []*entry
	for begin, end := 0, 0; begin < len(a.parts); begin = end {
		entries = entries[:0]
		for end < len(a.parts) && len(entries) < claimTogether {
			first := end
			end += len(a.wants[a.parts[first].want].Objects)
			entries = a.claim(a.parts[first:end], entries)
		}
		if err := a.ledger.tell(entries); err != nil {
			a.failAll(err)
		}
		if begin == 0 {
			looked()
		}
		for i := begin; i < end; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// claim makes the scope of one Want's parts the owner of them all, and adds to entries what the journal is to be told of that before
// any of it is made. It refuses a Want that wants what another scope has.
func (a *applying) claim(parts []part, entries []*entry) []*entry {
	want := parts[0].want
	run := &a.runs[want]
	for i := range parts {
		p := &parts[i]
		p.place = p.op.Object.Key()
		p.was = a.ledger.ref(p.place)
		if p.was != nil && p.was.scope != run.scope && (a.inUse(p.was.scope) || a.isWanted(p.was, want)) {
			a.fail(want, fmt.Errorf("%s: this is %s's already, which is up", Op{Add, p.op.Object}, p.was.scope))
		}
	}
	if a.errs[want] != nil {
		return entries
	}
	var block []entry // many at once cost less
	for i := range parts {
		p := &parts[i]
		run.touched.add(p.place)
		now := p.was
		if _, peer := p.op.Object.(Peer); peer { // which may be wanted in one form after another
			now = a.ledger.ref(p.place)
		}
		if now != nil && now.scope == run.scope && sameAsMade(now.object, p.op.Object) {
			continue
		}
		if p.claimed = true; block == nil {
			block = make([]entry, 0, len(parts)-i)
		}
		block = append(block, entry{scope: run.scope, place: p.place, object: p.op.Object, keyed: true})
		a.ledger.hold(&block[len(block)-1])
		entries = append(entries, &block[len(block)-1])
	}
	return entries
}

// isWanted reports whether a Want before this one is of the scope that owns the entry, and wants what is there.
func (a *applying) isWanted(e *entry, before int) bool {
	if a.order == nil {
		a.order = make(map[string]int, len(a.wants))
		for i, w := range a.wants {
			a.order[w.Scope] = i
		}
	}
	i, ok := a.order[e.scope]
	return ok && i < before && a.errs[i] == nil &&
		slices.ContainsFunc(a.wants[i].Objects, func(o Object) bool { return o.Key() == e.place })
}

// sameAsMade reports whether both say the same.
func sameAsMade(a, b Object) bool {
	switch a := a.(type) {
	case Neigh:
		b, ok := b.(Neigh)
		return ok && a == b
	case Route:
		b, ok := b.(Route)
		if ok && a.isPlain() && b.isPlain() {
			x, y := a.Hops[0], b.Hops[0]
			return a.Dst == b.Dst && a.Metric == b.Metric && a.Protocol == b.Protocol && a.table() == b.table() &&
				x.Via == y.Via && x.Dev == y.Dev && x.Onlink == y.Onlink && x.Weight == y.Weight
		}
	}
	return a.command(Add) == b.command(Add)
}

// carryOut makes what the kernel does not have.
func (a *applying) carryOut(ctx context.Context) {
	looked := a.look(ctx, a.compare(ctx))
	there := a.make(ctx, func(yield func(int) bool) { a.claimed(yield, looked) })
	if len(there) > 0 {
		a.look(ctx, there)()
		a.make(ctx, slices.Values(there))
	}
}

// make makes those of the parts that are needed, and returns those that are there although nobody has looked.
func (a *applying) make(ctx context.Context, parts iter.Seq[int]) (there []int) {
	at := make([]int, 0, len(a.parts)) // which of the parts the operations are
	given := map[string]Object{}       // WireGuard peers that have all their prefixes by then
	errs := a.kernel.Batch(ctx, func(yield func(Op) bool) {
		for i := range parts {
			p := &a.parts[i]
			if !p.needed || a.errs[p.want] != nil {
				continue
			}
			op := p.op
			if peer, ok := op.Object.(Peer); ok && peer.ReplaceIPs {
				if op = p.gentle(p.have); given[p.place] != nil {
					op = p.gentle(given[p.place])
				}
				given[p.place] = peer
			}
			if at = append(at, i); !yield(op) {
				return
			}
		}
	})
	for i, part := range at {
		p := &a.parts[part]
		var err error
		if errs != nil {
			err = errs[i]
		}
		exists := p.op.Verb == Add && err != nil && errors.Is(err, fs.ErrExist)
		if exists && p.unseen {
			p.unseen = false
			there = append(there, part)
			continue
		}
		if exists {
			err = a.replace(ctx, p)
		}
		if err != nil && errors.Is(err, syscall.EINVAL) {
			err = a.reroute(ctx, p, err)
		}
		if p.done = err == nil; !p.done {
			a.fail(p.want, err)
		}
	}
	return there
}

// replace puts the part in the place of what came to be there since Compare looked, or what that could not see.
func (a *applying) replace(ctx context.Context, p *part) error {
	have, err := a.runs[p.want].listed(ctx, p.op.Object)
	if err != nil {
		return err
	}
	p.op.Verb = Replace
	if len(have) > 0 {
		p.have = have[0]
	}
	return a.kernel.Do(ctx, p.op)
}

// reroute makes an IPv6 route over another link than the one that has led to its gateway, which lies within its destination.
// The kernel takes the word onlink only where no route says otherwise, so for a moment there is one to the gateway itself.
func (a *applying) reroute(ctx context.Context, p *part, refusal error) error {
	r, ok := p.op.Object.(Route)
	if !ok || !r.Dst.Addr().Is6() || len(r.Hops) != 1 || !r.Hops[0].Onlink {
		return refusal
	}
	gateway := r.Hops[0].Via
	lead := Route{Dst: netip.PrefixFrom(gateway, gateway.BitLen()), Hops: []Hop{{Dev: r.Hops[0].Dev}}, Protocol: r.Protocol}
	return errors.Join(a.kernel.Do(ctx, Op{Replace, lead}, p.op), a.kernel.Do(ctx, Op{Del, lead}))
}

// gentle is the operation without what is so already of a WireGuard peer's prefixes, given the peer as it is there: to replace them
// takes them away for a moment, in which packets are lost.
func (p *part) gentle(there Object) Op {
	peer := p.op.Object.(Peer)
	have, ok := there.(Peer)
	if !ok {
		return p.op
	}
	var missing []netip.Prefix
	for _, ip := range peer.AllowedIPs {
		if !have.allows(ip.Masked()) {
			missing = append(missing, ip)
		}
	}
	if len(have.AllowedIPs)+len(missing) != len(peer.AllowedIPs) {
		return p.op // it has some that it is not to have
	}
	peer.AllowedIPs, peer.ReplaceIPs = missing, false
	return Op{p.op.Verb, peer}
}
