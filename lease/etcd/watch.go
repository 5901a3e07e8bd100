package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/connectivity"

	"github.com/overlayd/overlayd/lease"
)

// Watch implements lease.Store.
func (s *Store) Watch(ctx context.Context, set func(lease.Snapshot) error, trouble func(error)) error {
	var v *view
	return s.follow(ctx, topic{
		what: "watch leases",
		key:  s.subnets(),
		opts: []clientv3.OpOption{clientv3.WithPrefix()},
		list: func(ctx context.Context) (revision int64, err error) {
			if v, err = s.list(ctx); err != nil {
				return 0, err
			}
			return v.revision, nil
		},
		change: func(events []*clientv3.Event, revision int64) {
			v.revision = revision
			for _, e := range events {
				if name := s.name(e.Kv); e.Type == clientv3.EventTypeDelete {
					delete(v.entries, name)
				} else {
					v.put(name, e.Kv)
				}
			}
		},
		set: func() error { return set(v.snapshot()) },
	}, trouble)
}

// A topic is what follow follows.
type topic struct {
	what   string // for errors
	key    string
	opts   []clientv3.OpOption
	list   func(context.Context) (revision int64, err error) // reads all of it
	change func(events []*clientv3.Event, revision int64)    // takes in what happened since
	set    func() error                                      // hands over what is known now
}

// follow lists a topic and watches it from there. Whatever goes wrong, a compacted revision too, it lists again. It returns
// when the context ends or set fails.
func (s *Store) follow(ctx context.Context, t topic, trouble func(error)) error {
	const first, limit = 100 * time.Millisecond, 5 * time.Second
	for delay := first; ; delay = min(2*delay, limit) {
		listed, err := s.followOnce(ctx, t)
		if refused, ok := errors.AsType[setError](err); ok {
			return refused.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if trouble != nil {
			trouble(fmt.Errorf("%s: %w", t.what, err))
		}
		if listed {
			delay = first
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay - rand.N(delay/4)):
		}
	}
}

// A setError is what the caller's function refused with, as opposed to trouble with etcd.
type setError struct{ error }

// followOnce lists and watches until something goes wrong, and reports whether the list succeeded.
func (s *Store) followOnce(ctx context.Context, t topic) (listed bool, err error) {
	revision, err := t.list(ctx)
	if err != nil {
		return false, err
	}
	if err := t.set(); err != nil {
		return true, setError{err}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.connected(ctx) })
	g.Go(func() error { return s.watch(ctx, t, revision+1) })
	return true, g.Wait()
}

// watch takes in changes from the revision on. It always returns an error.
func (s *Store) watch(ctx context.Context, t topic, revision int64) error {
	opts := append([]clientv3.OpOption{clientv3.WithRev(revision), clientv3.WithProgressNotify()}, t.opts...)
	for resp := range s.client.Watch(clientv3.WithRequireLeader(ctx), t.key, opts...) {
		if err := resp.Err(); err != nil {
			return err
		}
		if len(resp.Events) == 0 { // a sign of life
			continue
		}
		t.change(resp.Events, resp.Header.Revision)
		if err := t.set(); err != nil {
			return setError{err}
		}
	}
	return errors.New("the watch has ended")
}

// connected returns when no endpoint can be reached. The client would try on without a word.
func (s *Store) connected(ctx context.Context) error {
	conn := s.client.ActiveConnection()
	for {
		state := conn.GetState()
		if state == connectivity.TransientFailure || state == connectivity.Shutdown {
			return fmt.Errorf("%w: connection lost", ErrUnreachable)
		}
		if !conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
}
