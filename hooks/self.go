package hooks

import (
	"context"
	"sync"
)

// A Watch calls changed with what the node is by now, of its Lease the public addresses alone, at once and whenever that has
// changed, until the context ends, whose error it returns. An error before that says why changes are not noticed any more.
type Watch func(ctx context.Context, changed func(Node)) error

// A self is what this node is by now, of its Lease the public addresses alone.
type self struct {
	moved chan struct{} // it has changed

	mu   sync.Mutex
	node Node
}

func newSelf(n Node) *self { return &self{node: n, moved: make(chan struct{}, 1)} }

func (s *self) now() Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// set reports whether the node is another now.
func (s *self) set(n Node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.sameMachine(s.node) {
		return false
	}
	s.node = n
	select {
	case s.moved <- struct{}{}:
	default: // nobody has looked since the last time
	}
	return true
}

// sameMachine reports whether the two nodes differ in nothing that hooks may have used, but for the lease.
func (n Node) sameMachine(o Node) bool {
	return n.Interface == o.Interface && n.MTU == o.MTU &&
		n.Lease.V4.PublicIP == o.Lease.V4.PublicIP && n.Lease.V6.PublicIP == o.Lease.V6.PublicIP
}

// watchSelf watches the machine until the context ends or the returned function is called, which waits for the end.
func (r *runner) watchSelf(ctx context.Context) (stop func()) {
	if r.Watch == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		err := r.Watch(ctx, func(n Node) {
			if r.self.set(n) {
				r.Logger.Info("this machine has changed", "interface", n.Interface, "mtu", n.MTU,
					"public", n.Lease.V4.PublicIP, "public6", n.Lease.V6.PublicIP)
			}
		})
		if ctx.Err() == nil {
			r.Logger.Warn("a change of this machine's addresses is not noticed before the next start", "err", err)
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}
