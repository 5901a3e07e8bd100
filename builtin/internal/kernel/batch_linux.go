package kernel

import (
	"context"
	"fmt"
)

// waiting is how many requests wait to be sent at most: those of some datagrams.
const waiting = 2048

// Batch is part of Kernel.
func (s *system) Batch(ctx context.Context, ops []Op) []error {
	b := batch{s: s, ops: ops, numbers: s.numbers()}
	for i, op := range ops {
		switch op.Object.(type) {
		case Addr, Route, Rule, Neigh, FDB:
			if b.add(i); len(b.requests) == waiting {
				b.flush(ctx)
			}
		default: // takes more than a request, or others have to know its outcome
			b.flush(ctx)
			b.failed(i, s.Do(ctx, op))
			b.numbers = s.numbers()
		}
	}
	b.flush(ctx)
	return b.errs
}

// A batch is operations of which some wait to be sent.
type batch struct {
	s        *system
	ops      []Op
	numbers  numbers
	requests []message
	places   []int // which of the operations they are
	errs     []error
}

func (b *batch) add(i int) {
	m, err := b.numbers.request(b.ops[i])
	if err != nil {
		b.failed(i, refusal(b.ops[i], err))
		return
	}
	b.requests = append(b.requests, m)
	b.places = append(b.places, i)
}

func (b *batch) flush(ctx context.Context) {
	if len(b.requests) == 0 {
		return
	}
	b.s.changes.carry(ctx, b.requests, func(i int, err error) { b.failed(b.places[i], refusal(b.ops[b.places[i]], err)) })
	b.requests, b.places = b.requests[:0], b.places[:0]
}

func (b *batch) failed(i int, err error) {
	if err == nil {
		return
	}
	if b.errs == nil {
		b.errs = make([]error, len(b.ops))
	}
	b.errs[i] = err
}

// request is what carries out an operation that is one request.
func (n numbers) request(op Op) (message, error) {
	switch o := op.Object.(type) {
	case Addr:
		return n.addr(op.Verb, o)
	case Route:
		return n.route(op.Verb, o)
	case Rule:
		return ruleRequest(op.Verb, o)
	case Neigh:
		return n.neigh(op.Verb, o)
	case FDB:
		return n.fdb(op.Verb, o)
	}
	return message{}, fmt.Errorf("unknown object %T", op.Object)
}

// numbers finds links' numbers by name and remembers them for the length of one batch.
type numbers struct {
	system *system
	known  map[string]int
}

func (s *system) numbers() numbers { return numbers{s, map[string]int{"": 0}} }

func (n numbers) of(name string) (int, error) {
	index, ok := n.known[name]
	if ok {
		return index, nil
	}
	index, err := n.system.index(name)
	if err == nil {
		n.known[name] = index
	}
	return index, err
}
