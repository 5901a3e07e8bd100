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

const (
	// claimTogether is about how many objects are claimed and written down at once.
	claimTogether = 100
	// claimFirst is about how many the first ones are, so that the kernel soon has something to do. Twice as many are the next.
	claimFirst = 12
)

// together is how many objects to claim at once after a number of blocks.
func together(blocks int) int { return min(claimTogether, claimFirst<<min(blocks, 4)) }

// claimed yields the parts that are to be made without a look first, once their scopes own them and the journal was told; the others
// it puts by. What comes next is asked for, claimed and written down while the kernel makes what came before.
func (a *applying) claimed(ctx context.Context, wants iter.Seq[Want], yield func(*part) bool) {
	take := func(wants []Want, many bool) bool {
		targets := a.claim(ctx, wants, many)
		for p := range abreast(targets) {
			if p.unseen && !yield(p) {
				return false
			}
		}
		return true
	}
	var waiting []Want
	objects, enough := 0, few+1
	for w := range wants {
		waiting = append(waiting, w)
		if objects += len(w.Objects); objects < enough {
			continue
		}
		for some := range growing(waiting, len(a.blocks)) {
			if !take(some, true) {
				return
			}
		}
		waiting, objects, enough = waiting[:0], 0, together(len(a.blocks))
	}
	take(waiting, len(a.blocks) > 0)
}

// abreast yields the targets' first parts, then their second, and so on: the kernel is faster at many of a kind.
func abreast(targets []target) iter.Seq[*part] {
	return func(yield func(*part) bool) {
		for j, more := 0, true; more; j++ {
			more = false
			for i := range targets {
				if j >= len(targets[i].parts) {
					continue
				}
				if more = true; !yield(&targets[i].parts[j]) {
					return
				}
			}
		}
	}
}

// growing yields the Wants in blocks, of which the first of all are small.
func growing(wants []Want, blocks int) iter.Seq[[]Want] {
	return func(yield func([]Want) bool) {
		for begin, end := 0, 0; begin < len(wants); begin = end {
			for objects := 0; end < len(wants) && objects < together(blocks); end++ {
				objects += len(wants[end].Objects)
			}
			if blocks++; !yield(wants[begin:end]) {
				return
			}
		}
	}
}

// claim makes some Wants targets, and their scopes the owners of what these want. It finds what is to be made unseen: what most likely
// is not there, if there is much of it, since to be refused is cheaper than to look. Few things are looked for faster.
func (a *applying) claim(ctx context.Context, wants []Want, many bool) []target {
	targets := a.begin(wants)
	a.entries = a.entries[:0]
	for i := range targets {
		a.own(&targets[i])
	}
	if err := a.ledger.tell(a.entries); err != nil {
		for i := range targets {
			targets[i].fail(err)
		}
	}
	for i := range targets {
		t := &targets[i]
		likelyNew := many && t.err == nil && a.isLikelyNew(ctx, t)
		for j := range t.parts {
			p := &t.parts[j]
			if p.needed, p.unseen = likelyNew, likelyNew; !likelyNew {
				a.later = append(a.later, p)
			}
		}
	}
	return targets
}

// begin opens a run for each Want, and takes it apart.
func (a *applying) begin(wants []Want) []target {
	targets := make([]target, len(wants))
	a.blocks = append(a.blocks, targets)
	runs := make([]*Run, len(wants))
	objects := 0
	for i, w := range wants {
		targets[i].Want, targets[i].run.scope, runs[i] = w, w.Scope, &targets[i].run
		objects += len(w.Objects)
	}
	a.beginAll(runs)
	parts := make([]part, objects)
	places := make([]string, objects) // room for those that the runs touch
	for i := range targets {
		t := &targets[i]
		n := len(t.Objects)
		t.run.touched.few, places = places[:0:n], places[n:]
		t.parts, parts = parts[:n:n], parts[n:]
		t.anew = !a.ledger.owns(t.run.owner)
		for j, o := range t.Objects {
			t.parts[j] = part{of: t, op: Op{Add, o}}
		}
	}
	return targets
}

// own makes the target's scope the owner of all its parts, and notes what the journal is to be told of that before any of it is made.
// It refuses a target that wants what another scope has.
func (a *applying) own(t *target) {
	for i := range t.parts {
		p := &t.parts[i]
		p.place = p.op.Object.Key()
		p.was = a.ledger.ref(p.place)
		if peer, ok := p.op.Object.(Peer); ok {
			a.noteDevice(peer.Dev)
		}
		if p.was != nil && p.was.scope != t.Scope && (a.inUse(p.was.scope) || a.isWanted(p.was)) {
			t.fail(fmt.Errorf("%s: this is %s's already, which is up", Op{Add, p.op.Object}, p.was.scope))
		}
	}
	if a.order != nil {
		a.order[t.Scope] = t
	}
	if t.err != nil {
		return
	}
	var block []entry // many at once cost less
	for i := range t.parts {
		p := &t.parts[i]
		t.run.touched.add(p.place)
		now := p.was
		if _, peer := p.op.Object.(Peer); peer { // which may be wanted in one form after another
			now = a.ledger.ref(p.place)
		}
		if now != nil && now.scope == t.Scope && sameAsMade(now.object, p.op.Object) {
			continue
		}
		if p.claimed = true; block == nil {
			block = make([]entry, 0, len(t.parts)-i)
		}
		block = append(block, entry{scope: t.Scope, place: p.place, object: p.op.Object, keyed: true})
		a.ledger.hold(t.run.owner, &block[len(block)-1])
		a.entries = append(a.entries, &block[len(block)-1])
	}
}

// isWanted reports whether a target that came before is of the scope that owns the entry, and wants what is there.
func (a *applying) isWanted(e *entry) bool {
	if a.order == nil {
		a.order = map[string]*target{}
		for _, block := range a.blocks {
			for i := range block {
				if len(block[i].parts) > 0 && block[i].parts[0].place != "" {
					a.order[block[i].Scope] = &block[i]
				}
			}
		}
	}
	t := a.order[e.scope]
	return t != nil && t.err == nil && slices.ContainsFunc(t.Objects, func(o Object) bool { return o.Key() == e.place })
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

// make makes those of the parts that are needed, and returns those that are there although nobody has looked.
func (a *applying) make(ctx context.Context, parts iter.Seq[*part]) (there []*part) {
	var made []*part             // whose the operations are
	given := map[string]Object{} // WireGuard peers that have all their prefixes by then
	errs := a.kernel.Batch(ctx, func(yield func(Op) bool) {
		for p := range parts {
			if !p.needed || p.of.err != nil {
				continue
			}
			op := p.op
			if peer, ok := op.Object.(Peer); ok && peer.ReplaceIPs {
				if op = p.gentle(p.have); given[p.place] != nil {
					op = p.gentle(given[p.place])
				}
				given[p.place] = peer
			}
			p.done = true
			if made = append(made, p); !yield(op) {
				return
			}
		}
	})
	for i, err := range errs {
		if err == nil {
			continue
		}
		p := made[i]
		exists := p.op.Verb == Add && errors.Is(err, fs.ErrExist)
		if exists && p.unseen {
			p.unseen, p.there, p.done = false, true, false
			there = append(there, p)
			continue
		}
		if exists {
			err = p.replace(ctx, a.kernel)
		}
		if errors.Is(err, syscall.EINVAL) {
			err = a.reroute(ctx, p, err)
		}
		if err != nil {
			p.done = false
			p.of.fail(err)
		}
	}
	return there
}

// replace puts the part in the place of what came to be there since Compare looked, or what that could not see.
func (p *part) replace(ctx context.Context, k Kernel) error {
	have, err := p.of.run.listed(ctx, p.op.Object)
	if err != nil {
		return err
	}
	p.op.Verb = Replace
	if len(have) > 0 {
		p.have = have[0]
	}
	return k.Do(ctx, p.op)
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
