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

	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

// Watch implements lease.Store.
func (s *Store) Watch(ctx context.Context, known lease.Snapshot, set func(lease.Snapshot) error, trouble func(error)) error {
	v := view{known}
	return s.follow(ctx, topic{
		what: "watch leases",
		key:  s.subnets(),
		opts: []clientv3.OpOption{clientv3.WithPrefix()},
		list: func(ctx context.Context) (revision int64, err error) {
			if known.Revision != 0 {
				known = lease.Snapshot{} // by the next time it is out of date
				return v.Revision, nil
			}
			listed, err := s.list(ctx, v)
			if err != nil {
				return 0, err
			}
			v = listed
			return v.Revision, nil
		},
		change: func(events []*clientv3.Event, revision int64) {
			v.Revision = revision
			for _, e := range events {
				if name := s.name(e.Kv); e.Type == clientv3.EventTypeDelete {
					v.delete(name)
				} else {
					v.put(name, e.Kv)
				}
			}
		},
		set:   func() error { return set(v.Snapshot) },
		same:  func(count int, newest int64) bool { return v.is(count, newest) },
		count: v.count,
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
	same   func(count int, newest int64) bool                // whether so many keys, the last written then, are what is known
	count  func() int                                        // how many keys are known
}

// A pace says how often a watch makes sure of itself. etcd gives a sign of life every ten minutes.
type pace struct {
	check   time.Duration // between cheap comparisons of what is known with what there is, at most
	doubt   time.Duration // until the next one where the two differ
	silence time.Duration // without a sign of life after which a watch counts as dead
}

// follow lists a topic and watches it from there. Whatever goes wrong, a compacted revision too, it lists again. It returns
// when the context ends or set fails.
func (s *Store) follow(ctx context.Context, t topic, trouble func(error)) error {
	for failures := 0; ; failures++ {
		listed, err := s.followOnce(ctx, t)
		if refused, ok := errors.AsType[finalError](err); ok {
			return refused.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if trouble != nil {
			trouble(fmt.Errorf("%s: %w", t.what, err))
		}
		if listed {
			failures = 0
		}
		_ = sleep.For(ctx, rand.N(spread(failures, t.count())))
	}
}

// spread is the time over which nodes come back that lost etcd at once. Each lists all keys, of which there are as many as
// nodes, so the more there are, the more time they leave etcd.
func spread(failures, keys int) time.Duration {
	const first, perKey, limit = 200 * time.Millisecond, time.Millisecond, 30 * time.Second
	return min((first+time.Duration(keys)*perKey)<<min(failures, 8), limit)
}

// A finalError ends following, such as what the caller's function refused with, as opposed to trouble that it gets over.
type finalError struct{ error }

// followOnce lists and watches until something goes wrong, and reports whether the list succeeded.
func (s *Store) followOnce(ctx context.Context, t topic) (listed bool, err error) {
	revision, err := t.list(ctx)
	if err != nil {
		return false, err
	}
	if err := t.set(); err != nil {
		return true, finalError{err}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.connected(ctx) })
	g.Go(func() error { return s.watch(ctx, t, revision+1) })
	return true, g.Wait()
}

// watch takes in changes from the revision on. It always returns an error.
func (s *Store) watch(ctx context.Context, t topic, revision int64) error {
	opts := append([]clientv3.OpOption{clientv3.WithRev(revision), clientv3.WithProgressNotify()}, t.opts...)
	responses := s.client.Watch(clientv3.WithRequireLeader(ctx), t.key, opts...)
	doubts := 0
	check, silence := time.NewTimer(s.nextCheck()), time.NewTimer(s.pace.silence)
	defer check.Stop()
	defer silence.Stop()
	for {
		select {
		case resp, ok := <-responses:
			if !ok {
				return errors.New("the watch has ended")
			}
			silence.Reset(s.pace.silence)
			if err := takeIn(t, resp, responses); err != nil {
				return err
			}
		case <-check.C:
			switch same, err := s.check(ctx, t); {
			case err != nil:
				return err
			case same:
				doubts = 0
				check.Reset(s.nextCheck())
			case doubts == maxDoubts:
				return errors.New("the watch has missed a change")
			default: // a change may be on its way
				doubts++
				check.Reset(s.pace.doubt)
			}
		case <-silence.C:
			return fmt.Errorf("no sign of life for %s", s.pace.silence)
		}
	}
}

// takeIn takes in a response, and those that came meanwhile, and then hands the whole over: however long that takes, what
// comes in between is one set.
func takeIn(t topic, resp clientv3.WatchResponse, more <-chan clientv3.WatchResponse) error {
	changed := false
	for ok := true; ok; {
		if err := resp.Err(); err != nil {
			return err
		}
		if len(resp.Events) > 0 { // else it is a sign of life
			t.change(resp.Events, resp.Header.Revision)
			changed = true
		}
		select {
		case resp, ok = <-more: // when it has ended, the next look at it says so
		default:
			ok = false
		}
	}
	if !changed {
		return nil
	}
	if err := t.set(); err != nil {
		return finalError{err}
	}
	return nil
}

// nextCheck is jittered so that nodes that started at once do not ask at once.
func (s *Store) nextCheck() time.Duration { return s.pace.check - rand.N(s.pace.check/2) }

// maxDoubts is how often in a row a watch may differ from what there is, since a change was on its way.
const maxDoubts = 2

// check compares how many keys there are and when the last was written with what is known. If both are as known, so is
// everything: a key missed as written would be newer, and without one, a key missed as deleted would be one too many.
func (s *Store) check(ctx context.Context, t topic) (same bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := []clientv3.OpOption{clientv3.WithKeysOnly(), clientv3.WithLimit(1), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)}
	resp, err := s.client.Get(ctx, t.key, append(last, t.opts...)...)
	if err != nil {
		return false, s.explain(ctx, err)
	}
	var newest int64
	if len(resp.Kvs) > 0 {
		newest = resp.Kvs[0].ModRevision
	}
	return t.same(int(resp.Count), newest), nil
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
