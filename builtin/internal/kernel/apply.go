package kernel

import (
	"context"
	"errors"
	"io/fs"
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
	a := &applying{Scopes: s, wants: wants, errs: make([]error, len(wants)), runs: s.beginAll(wants), inUse: inUse}
	a.plan()
	a.carryOut(ctx)
	a.uncover(ctx)
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
	inUse func(scope string) bool
	news  int            // parts of scopes that own nothing
	order map[string]int // the Wants by their scopes, once that is asked for
}

// A part is one object of a Want.
type part struct {
	want    int
	op      Op
	place   string // known once it is claimed
	was     *entry // what was owned there then; nil for nothing
	have    Object // what the kernel had there; nil for nothing
	anew    bool   // the scope owned nothing
	claimed bool
	needed  bool // the kernel does not have it
	unseen  bool // whether it does was not looked at: if so, it will say
	done    bool
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

// plan takes the Wants apart.
func (a *applying) plan() {
	n := 0
	for _, w := range a.wants {
		n += len(w.Objects)
	}
	a.parts = make([]part, 0, n)
	room := make([]string, n) // for the places that the runs touch
	for i, w := range a.wants {
		a.runs[i].touched.few, room = room[:0:len(w.Objects)], room[len(w.Objects):]
		anew := !a.ledger.owns(w.Scope)
		if anew {
			a.news += len(w.Objects)
		}
		for _, o := range w.Objects {
			a.parts = append(a.parts, part{want: i, op: Op{Add, o}, anew: anew})
		}
	}
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
