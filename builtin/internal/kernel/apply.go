package kernel

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"slices"
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
// and else an error for each Want, nil for those that succeeded. The next Wants are asked for while the kernel works on those before.
//
// A scope that fails is as it was before. Of one that succeeds, what it owned and does not want any more is deleted. What is in
// the way of an object is replaced, whoever made it, unless the scope that owns it is in use.
func (s *Scopes) Apply(ctx context.Context, wants iter.Seq[Want], inUse func(scope string) bool) []error {
	a := &applying{Scopes: s, inUse: inUse}
	there := a.make(ctx, func(yield func(*part) bool) { a.claimed(ctx, wants, yield) })
	if a.later = append(a.later, there...); len(a.later) > 0 {
		a.compare(ctx)
		there = a.make(ctx, slices.Values(a.later))
		a.look(ctx, there)
		a.make(ctx, slices.Values(there))
	}
	a.uncover(ctx)
	return a.end(ctx)
}

// applying is an Apply on its way. Each step does what there is to do for the targets that have not failed.
type applying struct {
	*Scopes
	inUse    func(scope string) bool
	blocks   [][]target // in the order of their Wants
	entries  []*entry   // what the journal is to be told of the block that is claimed
	later    []*part    // those that are to be looked for before they are made
	over     []overPart
	rivals   *rivals            // once they are known
	hadPeers map[string]bool    // WireGuard devices of the targets' peers: whether some of their peers were owned
	order    map[string]*target // all by their scopes, once that is asked for
}

// A target is a Want on its way.
type target struct {
	Want
	run   Run
	parts []part // one for each object
	anew  bool   // the scope owned nothing
	err   error  // why it failed
}

// A part is one object of a target.
type part struct {
	of      *target
	op      Op
	place   string // known once it is claimed
	was     *entry // what was owned there then; nil for nothing
	have    Object // what the kernel had there; nil for nothing
	claimed bool
	needed  bool // the kernel does not have it
	unseen  bool // whether it does was not looked at: if so, it will say
	there   bool // it has said so
	done    bool // the kernel was told, and did not refuse
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

// An overPart is a route that hides one of a target's.
type overPart struct {
	of   *target
	have Object
}

func (t *target) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// uncover deletes the routes that hide one, now that it is there: packets go from one to the other without a gap.
func (a *applying) uncover(ctx context.Context) {
	gone := map[string]bool{} // to delete a route twice, having no metric, would delete the one that it hid
	for _, o := range a.over {
		had := Op{Add, o.have}.String()
		if o.of.err != nil || gone[had] {
			continue
		}
		gone[had] = true
		a.log.Info("route of somebody else to a peer's subnet is replaced", "had", had, "scope", o.of.Scope)
		if err := a.kernel.Do(ctx, Op{Del, o.have}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.of.fail(err)
		}
	}
}

// end deletes what the scopes that succeeded do not want any more, and takes back what was done for those that failed.
func (a *applying) end(ctx context.Context) (errs []error) {
	number := 0
	var kept []*Run // most of them, with nothing to delete
	for _, block := range a.blocks {
		for i := range block {
			t := &block[i]
			switch {
			case t.err != nil:
				a.takeBack(ctx, t)
			case !t.anew && a.ledger.ownsMore(t.run.owner, &t.run.touched):
				t.err = t.run.Sweep(ctx)
			default:
				kept = append(kept, &t.run)
			}
			if t.err != nil {
				errs = append(errs, make([]error, number-len(errs))...)
				errs = append(errs, t.err)
			}
			number++
		}
	}
	a.ended(true, kept...)
	if errs == nil {
		return nil
	}
	return append(errs, make([]error, number-len(errs))...)
}

// takeBack has the scope be as it was before.
func (a *applying) takeBack(ctx context.Context, t *target) {
	for i := range t.parts {
		p := &t.parts[i]
		if p.claimed || p.done {
			t.run.undo = append(t.run.undo, func(ctx context.Context) error { return a.takePartBack(ctx, p) })
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	t.err = errors.Join(t.err, t.run.Undo(ctx))
}

func (a *applying) takePartBack(ctx context.Context, p *part) error {
	run := &p.of.run
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
