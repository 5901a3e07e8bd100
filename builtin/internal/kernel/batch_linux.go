package kernel

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// smallRequest is how many bytes a request takes at least, or nearly.
const smallRequest = 56

const (
	// ahead is how many datagrams may wait to be sent. With few, their maker waits and is woken often, each time on whichever
	// processor the system chooses, the sender's among them.
	ahead = 64
	// unsent is how many may wait while the sender has not begun. Where the system has put it on the maker's processor, it begins when
	// the maker waits.
	unsent = 4
)

// Batch is part of Kernel. While the kernel works on a datagram of requests, the next one is made.
func (s *system) Batch(ctx context.Context, ops iter.Seq[Op]) []error {
	b := batch{s: s, ctx: ctx, numbers: s.numbers(), limit: datagramSize / 8, errs: map[int]error{}}
	b.numbers.scratch = new(scratch)
	for op := range ops {
		switch o := op.Object.(type) {
		case Addr, Route, Rule, Neigh, FDB, VLAN:
			b.configure()
			b.add(op)
		case Peer:
			if len(b.peers) > 0 && b.peers[0].Object.(Peer).Dev != o.Dev {
				b.configure()
			}
			b.peers = append(b.peers, op)
		default: // takes more than a request, or others have to know its outcome
			b.configure()
			b.finish()
			b.failed(b.count, s.Do(ctx, op))
			b.numbers.forget()
		}
		b.count++
	}
	b.configure()
	b.finish()
	if len(b.errs) == 0 {
		return nil
	}
	errs := make([]error, b.count)
	for i, err := range b.errs {
		errs[i] = err
	}
	return errs
}

// A batch is operations of which some wait to be sent: either requests or peers.
type batch struct {
	s       *system
	ctx     context.Context
	numbers *numbers
	count   int       // operations so far
	limit   int       // bytes of the one that is filled; the first is small, so that the kernel soon has something to do
	filling *datagram // requests that wait to be sent, nil for none
	peers   []Op      // of one device, that wait to be changed at once
	sender  errgroup.Group
	full    chan *datagram // what the sender is to send; nil without one
	begun   chan struct{}  // closed when it has something

	mu   sync.Mutex
	errs map[int]error // of the operations that failed, by number
}

// add puts an operation that is one request with those that wait. Operations in a datagram are one behind the other.
func (b *batch) add(op Op) {
	m, err := b.numbers.request(op)
	if err != nil || !b.filling.hasRoom(m, b.s.changes.most, b.limit) {
		b.send()
	}
	if err != nil {
		b.failed(b.count, refusal(op, err))
		return
	}
	if b.filling == nil {
		b.filling = b.s.changes.datagram(b.limit)
		b.filling.first = b.count
		b.filling.ops = slices.Grow(b.filling.ops, b.limit/smallRequest)
	}
	b.filling.put(m)
	b.filling.ops = append(b.filling.ops, op)
}

// send has the sender send what waits. There is none before the first datagram is full: few operations need no other goroutine.
func (b *batch) send() {
	if b.filling == nil {
		return
	}
	if b.full == nil {
		full, begun := make(chan *datagram, ahead), make(chan struct{})
		b.full, b.begun = full, begun
		b.sender.Go(func() error {
			d := <-full
			close(begun)
			for ok := true; ok; d, ok = <-full {
				b.carry(d)
			}
			return nil
		})
	}
	b.full <- b.filling
	if len(b.full) == unsent {
		<-b.begun
	}
	b.filling = nil
	b.limit = min(2*b.limit, datagramSize)
}

// finish returns when nothing waits any more.
func (b *batch) finish() {
	if b.full != nil {
		close(b.full)
		_ = b.sender.Wait() // each operation has its own error
		b.full = nil
	}
	if b.filling != nil {
		b.carry(b.filling)
		b.filling = nil
	}
}

// carry has the kernel carry out the requests of a datagram.
func (b *batch) carry(d *datagram) {
	failed := func(i int, err error) { b.failed(d.first+i, refusal(d.ops[i], err)) }
	if b.ctx.Err() == nil {
		b.s.changes.exchange(d, failed)
	} else {
		for i := range d.ops {
			failed(i, context.Cause(b.ctx))
		}
	}
	b.s.changes.release(d)
}

func (b *batch) failed(i int, err error) {
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.errs[i] = err
	}
}

// configure changes the peers that wait. When that fails, which says nothing of each, they are changed one by one.
func (b *batch) configure() {
	if len(b.peers) == 0 {
		return
	}
	b.finish()
	var peers []wgtypes.PeerConfig
	for _, op := range b.peers {
		peers = append(peers, peerConfig(op.Verb, op.Object.(Peer)))
	}
	dev := b.peers[0].Object.(Peer).Dev
	if len(peers) == 1 || b.ctx.Err() != nil || b.s.configure(dev, wgtypes.Config{Peers: peers}) != nil {
		for i, op := range b.peers {
			b.failed(b.count-len(b.peers)+i, b.s.Do(b.ctx, op))
		}
	}
	b.peers = nil
}

// request is what carries out an operation that is one request.
func (n *numbers) request(op Op) (message, error) {
	switch o := op.Object.(type) {
	case Addr:
		return n.addr(op.Verb, o)
	case Route:
		return n.route(op.Verb, &o)
	case Rule:
		return ruleRequest(op.Verb, o)
	case Neigh:
		return n.neigh(op.Verb, &o)
	case FDB:
		return n.fdb(op.Verb, &o)
	case VLAN:
		return n.vlan(op.Verb, o)
	}
	return message{}, fmt.Errorf("unknown object %T", op.Object)
}

// numbers finds links' numbers by name and remembers them for the length of one batch.
type numbers struct {
	system  *system
	known   map[string]int
	last    string   // the name that was asked for last, mostly the next one too
	index   int      // its number
	scratch *scratch // nil has the parts of a request allocated
}

// A scratch is memory for the parts of a request, which are the next one's afterwards.
type scratch struct {
	header [unix.SizeofRtMsg]byte
	attrs  [64]byte // most requests take no more
}

func (s *system) numbers() *numbers { return &numbers{system: s, known: map[string]int{}} }

// attrs are none yet, with room for those of a request.
func (n *numbers) attrs() attrs {
	if n.scratch == nil {
		return nil
	}
	return n.scratch.attrs[:0]
}

// header is the bytes of an rtmsg or an ndmsg, which are as many, all zero.
func (n *numbers) header() []byte {
	if n.scratch == nil {
		return make([]byte, unix.SizeofRtMsg)
	}
	clear(n.scratch.header[:])
	return n.scratch.header[:]
}

// of is the number of the link, 0 without a name.
func (n *numbers) of(name string) (int, error) {
	switch name {
	case "":
		return 0, nil
	case n.last:
		return n.index, nil
	}
	index, ok := n.known[name]
	if !ok {
		var err error
		if index, err = n.system.index(name); err != nil {
			return index, err
		}
		n.known[name] = index
	}
	n.last, n.index = name, index
	return index, nil
}

// forget forgets all numbers.
func (n *numbers) forget() {
	clear(n.known)
	n.last = ""
}
