package kernel

import (
	"context"
	"fmt"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// waiting is how many requests wait to be sent at most: those of some datagrams.
const waiting = 2048

// Batch is part of Kernel.
func (s *system) Batch(ctx context.Context, ops []Op) []error {
	b := batch{s: s, ops: ops, numbers: s.numbers()}
	b.numbers.scratch = &scratch{bytes: make([]byte, min(len(ops), waiting)*attrSize)}
	for i := 0; i < len(ops); {
		switch o := ops[i].Object.(type) {
		case Addr, Route, Rule, Neigh, FDB, VLAN:
			if b.add(i); len(b.requests) == waiting {
				b.flush(ctx)
			}
			i++
		case Peer:
			b.flush(ctx)
			n := peersOf(o.Dev, ops[i:])
			b.configure(ctx, i, n)
			i += n
		default: // takes more than a request, or others have to know its outcome
			b.flush(ctx)
			b.failed(i, s.Do(ctx, ops[i]))
			clear(b.numbers.known)
			b.numbers.known[""] = 0
			i++
		}
	}
	b.flush(ctx)
	return b.errs
}

// peersOf is how many of the operations, from the first on, are of peers of the device.
func peersOf(dev string, ops []Op) int {
	for i, op := range ops {
		if p, ok := op.Object.(Peer); !ok || p.Dev != dev {
			return i
		}
	}
	return len(ops)
}

// configure changes n peers of one device at once. When that fails, which says nothing of each, they are changed one by one.
func (b *batch) configure(ctx context.Context, first, n int) {
	ops := b.ops[first : first+n]
	var peers []wgtypes.PeerConfig
	for _, op := range ops {
		peers = append(peers, peerConfig(op.Verb, op.Object.(Peer)))
	}
	if n > 1 && ctx.Err() == nil && b.s.configure(ops[0].Object.(Peer).Dev, wgtypes.Config{Peers: peers}) == nil {
		return
	}
	for i, op := range ops {
		b.failed(first+i, b.s.Do(ctx, op))
	}
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
	b.numbers.scratch.used = 0
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
	case VLAN:
		return n.vlan(op.Verb, o)
	}
	return message{}, fmt.Errorf("unknown object %T", op.Object)
}

// numbers finds links' numbers by name and remembers them for the length of one batch.
type numbers struct {
	system  *system
	known   map[string]int
	scratch *scratch // for the attributes of requests that wait to be sent; nil has them allocated
}

func (s *system) numbers() numbers { return numbers{s, map[string]int{"": 0}, nil} }

// attrSize is how many bytes the attributes of most requests take at most.
const attrSize = 64

// A scratch is memory for the attributes of many requests.
type scratch struct {
	bytes []byte
	used  int
}

// attrs are none yet, with room for those of a request.
func (n numbers) attrs() attrs {
	s := n.scratch
	if s == nil || s.used+attrSize > len(s.bytes) {
		return make(attrs, 0, attrSize)
	}
	begin := s.used
	s.used += attrSize
	return s.bytes[begin:begin:s.used]
}

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
