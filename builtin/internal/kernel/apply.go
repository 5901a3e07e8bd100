package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"syscall"
	"time"
)

// undoPatience bounds the taking back of what failed, whose own context may be over.
const undoPatience = 10 * time.Second

// A Want is a scope, and all that it is to own from now on.
type Want struct {
	Scope   string
	Objects []Object // each after those it rests on; no links
}

// Apply makes the kernel have what the scopes want, in a few batches however many they are. It returns nil when all went well,
// and else an error for each Want, nil for those that succeeded.
//
// A scope that fails is as it was before. Of one that succeeds, what it owned and does not want any more is deleted. What is in
// the way of an object is replaced, whoever made it, unless the scope that owns it is in use.
func (s *Scopes) Apply(ctx context.Context, wants []Want, inUse func(scope string) bool) []error {
	a := &applying{Scopes: s, wants: wants, errs: make([]error, len(wants)), runs: s.beginAll(wants)}
	a.plan(inUse)
	for _, step := range []func(context.Context){a.compare, a.claim, a.carryOut, a.uncover} {
		step(ctx)
	}
	a.end(ctx)
	for _, err := range a.errs {
		if err != nil {
			return a.errs
		}
	}
	return nil
}

// applying is an Apply on its way. Each step does what there is to do for the Wants that have not failed.
type applying struct {
	*Scopes
	wants []Want
	errs  []error // of each Want
	runs  []Run   // of each Want
	parts []part
	over  []overPart
}

// A part is one object of a Want.
type part struct {
	want    int
	op      Op
	place   string
	was     *entry // what was owned there; nil for nothing
	have    Object // what the kernel had there; nil for nothing
	claimed bool
	needed  bool // the kernel does not have it
	unseen  bool // whether it does was not looked at: if so, it will say
	done    bool
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

// inverse brings back what was there.
func (p *part) inverse() []Op {
	_, peer := p.op.Object.(Peer)
	switch {
	case !p.done:
		return nil
	case p.have == nil:
		return []Op{{Del, p.op.Object}}
	case peer:
		return []Op{restoring(p.have)}
	}
	return []Op{{Replace, p.have}}
}

// An overPart is a route that hides one of a Want.
type overPart struct {
	want int
	have Object
}

func (a *applying) fail(want int, err error) {
	if a.errs[want] == nil {
		a.errs[want] = err
	}
}

func (a *applying) failAll(err error) {
	for i := range a.wants {
		a.fail(i, err)
	}
}

// plan takes the Wants apart, and refuses those that want what another has.
func (a *applying) plan(inUse func(scope string) bool) {
	n := 0
	for _, w := range a.wants {
		n += len(w.Objects)
	}
	a.parts = make([]part, 0, n)
	taken := make(map[string]int, n)
	room := make([]string, n) // for the places that the runs touch
	for i, w := range a.wants {
		a.runs[i].touched.few, room = room[:0:len(w.Objects)], room[len(w.Objects):]
		for _, o := range w.Objects {
			p := part{want: i, op: Op{Add, o}, place: o.Key()}
			p.was = a.ledger.ref(p.place)
			owner := ""
			if p.was != nil {
				owner = p.was.scope
			}
			if other, ok := taken[p.place]; ok && other != i && a.errs[other] == nil {
				owner = a.wants[other].Scope
			} else if owner != "" && !inUse(owner) {
				owner = ""
			}
			if owner != "" && owner != w.Scope {
				a.fail(i, fmt.Errorf("%s: this is %s's already, which is up", p.op, owner))
			}
			taken[p.place] = i
			a.parts = append(a.parts, p)
		}
	}
}

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

// entryBlock is how many entries of the ledger are allocated at once.
const entryBlock = 30

// claim makes the scopes the owners of what they want, before any of it is made.
func (a *applying) claim(context.Context) {
	entries := make([]*entry, 0, len(a.parts))
	var block []entry
	claimed := map[string]bool{} // WireGuard's peers may be wanted in one form after another, of which the last counts
	for i := range a.parts {
		p := &a.parts[i]
		if a.errs[p.want] != nil {
			continue
		}
		run := &a.runs[p.want]
		run.touched.add(p.place)
		if p.was != nil && p.was.scope == run.scope && sameAsMade(p.was.object, p.op.Object) && !claimed[p.place] {
			continue
		}
		if len(block) == 0 { // many at once cost less, and those of a block stay in memory until all are replaced
			block = make([]entry, min(entryBlock, len(a.parts)-i))
		}
		if p.op.Verb == Set {
			claimed[p.place] = true
		}
		p.claimed = true
		block[0].scope, block[0].place, block[0].object, block[0].keyed = run.scope, p.place, p.op.Object, true
		entries, block = append(entries, &block[0]), block[1:]
	}
	if err := a.ledger.ownAll(entries); err != nil {
		a.failAll(err)
	}
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
	at := make([]int, 0, len(a.parts))
	for i := range a.parts {
		at = append(at, i)
	}
	if there := a.make(ctx, at); len(there) > 0 {
		a.look(ctx, there)
		a.make(ctx, there)
	}
}

// make makes those of the parts that are needed, and returns those that are there although nobody has looked.
func (a *applying) make(ctx context.Context, parts []int) (there []int) {
	ops, at := make([]Op, 0, len(parts)), make([]int, 0, len(parts))
	given := map[string]Object{} // WireGuard peers that have all their prefixes by then
	for _, i := range parts {
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
		ops, at = append(ops, op), append(at, i)
	}
	errs := a.kernel.Batch(ctx, ops)
	for i := range ops {
		p := &a.parts[at[i]]
		var err error
		if errs != nil {
			err = errs[i]
		}
		exists := p.op.Verb == Add && err != nil && errors.Is(err, fs.ErrExist)
		if exists && p.unseen {
			p.unseen = false
			there = append(there, at[i])
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

// uncover deletes the routes that hide one, now that it is there: packets go from one to the other without a gap.
func (a *applying) uncover(ctx context.Context) {
	for _, o := range a.over {
		if a.errs[o.want] != nil {
			continue
		}
		a.log.Info("route of somebody else to a peer's subnet is replaced", "had", Op{Add, o.have}.String(), "scope", a.wants[o.want].Scope)
		if err := a.kernel.Do(ctx, Op{Del, o.have}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.fail(o.want, err)
		}
	}
}

// end deletes what the scopes that succeeded do not want any more, and takes back what was done for those that failed.
func (a *applying) end(ctx context.Context) {
	for i := range a.parts {
		p := &a.parts[i]
		if a.errs[p.want] == nil || !p.claimed && !p.done {
			continue
		}
		run := &a.runs[p.want]
		run.undo = append(run.undo, func(ctx context.Context) error { return a.takeBack(ctx, run, p) })
	}
	for i := range a.runs {
		run := &a.runs[i]
		if a.errs[i] == nil {
			a.errs[i] = run.Sweep(ctx)
			continue
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
		a.errs[i] = errors.Join(a.errs[i], run.Undo(ctx))
		cancel()
	}
}

func (a *applying) takeBack(ctx context.Context, run *Run, p *part) error {
	return run.takeBack(ctx, p.inverse(), func() {
		switch {
		case !p.claimed:
		case p.was != nil:
			run.giveBack([]entry{*p.was})
		default:
			a.ledger.free(p.place)
		}
	})
}
