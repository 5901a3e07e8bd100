package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/sleep"
)

// Config returns the network config and the revision of its last change, or fs.ErrNotExist.
func (s *Store) Config(ctx context.Context) (value []byte, revision int64, err error) {
	configs, err := s.Configs(ctx)
	if err != nil {
		return nil, 0, err
	}
	if configs.Value == nil {
		return nil, 0, fmt.Errorf("etcd %s: %w", s.ConfigKey(), fs.ErrNotExist)
	}
	return configs.Value, configs.Revision, nil
}

// Configs are the network config, and what is staged to replace it.
type Configs struct {
	Value    []byte  // nil for an absent one
	Revision int64   // of its last change, 0 for one that never was
	Staged   *Staged // nil where there is none, or none that this user may read

	// StagedRevision is that of what the staged config's key holds, be it something that is none; 0 for nothing.
	StagedRevision int64
}

// Configs returns what there is now, be it nothing.
func (s *Store) Configs(ctx context.Context) (Configs, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	read, err := s.tryConfig(ctx)
	if err != nil {
		return Configs{}, fmt.Errorf("read etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	return s.configs(read), nil
}

func (s *Store) configs(read ConfigRead) Configs {
	c := Configs{Value: read.config.value, Revision: read.config.revision, Staged: s.parseStaged(read.staged)}
	if read.staged.value != nil {
		c.StagedRevision = read.staged.revision
	}
	return c
}

// A ConfigRead is the network config, and what is staged, as they were read once.
type ConfigRead struct {
	config, staged keyed
	denied         bool  // this user may not read what is staged
	now            int64 // etcd's revision when it was read
}

// A keyed is what one key holds.
type keyed struct {
	value    []byte // nil where there is none
	revision int64  // of its last change, 0 where none is known
}

func newKeyed(kvs []*mvccpb.KeyValue) keyed {
	if len(kvs) == 0 {
		return keyed{}
	}
	return keyed{present(kvs[0].Value), kvs[0].ModRevision}
}

// tryConfig returns etcd's error as it is.
func (s *Store) tryConfig(ctx context.Context) (ConfigRead, error) {
	both, err := s.client.Txn(ctx).Then(clientv3.OpGet(s.ConfigKey()), clientv3.OpGet(s.stagedKey())).Commit()
	if errors.Is(err, ErrDenied) {
		one, err := s.client.Get(ctx, s.ConfigKey())
		if err != nil {
			return ConfigRead{}, err
		}
		return ConfigRead{config: newKeyed(one.Kvs), denied: true, now: one.Header.Revision}, nil
	}
	if err != nil {
		return ConfigRead{}, err
	}
	at := func(i int) keyed { return newKeyed(both.Responses[i].GetResponseRange().Kvs) }
	return ConfigRead{config: at(0), staged: at(1), now: both.Header.Revision}, nil
}

// present tells an empty value from an absent one.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// PublishConfig writes the network config where there is none. It answers fs.ErrExist where there is one.
func (s *Store) PublishConfig(ctx context.Context, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	absent := clientv3.Compare(clientv3.ModRevision(s.ConfigKey()), "=", 0)
	resp, err := s.client.Txn(ctx).If(absent).Then(clientv3.OpPut(s.ConfigKey(), string(value))).Commit()
	if err == nil && !resp.Succeeded {
		err = fs.ErrExist
	}
	if err != nil {
		return fmt.Errorf("write etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	return nil
}

// WatchConfig calls set with the network config and what is staged, at once, after each change of one of them, and again after
// trouble, until the context ends or set returns an error, which it returns. It begins with what is known from Check, unless that is
// the zero ConfigRead. Trouble that it is getting over goes to trouble, which may be nil. Neither is called twice at once.
//
// A user who may not read what is staged is a node that follows the network config alone. Whether that has changed is looked at
// every ten minutes.
func (s *Store) WatchConfig(ctx context.Context, known ConfigRead, set func(Configs) error, trouble func(error)) error {
	w := configWatch{store: s, now: known, missing: 2, set: set, trouble: trouble}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return s.follow(ctx, w.topic(s.ConfigKey(), &w.now.config, known), w.report)
	})
	g.Go(func() error { return w.followStaged(ctx, known) })
	return g.Wait()
}

// A configWatch brings two watches together.
type configWatch struct {
	store   *Store
	set     func(Configs) error
	trouble func(error) // may be nil

	mu      sync.Mutex
	now     ConfigRead
	missing int // of the two, those not read yet
}

// topic is one of the two keys, which is kept in held.
func (w *configWatch) topic(key string, held *keyed, known ConfigRead) topic {
	begun := false
	return topic{
		what: "watch network config",
		key:  key,
		list: func(ctx context.Context) (revision int64, err error) {
			if known.now != 0 {
				revision, known = known.now, ConfigRead{} // by the next time it is out of date
				return revision, nil
			}
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			resp, err := w.store.client.Get(ctx, key)
			if err != nil {
				return 0, fmt.Errorf("read etcd %s: %w", key, w.store.explain(ctx, err))
			}
			w.take(held, newKeyed(resp.Kvs))
			return resp.Header.Revision, nil
		},
		change: func(events []*clientv3.Event, _ int64) {
			last := events[len(events)-1]
			k := keyed{nil, last.Kv.ModRevision}
			if last.Type != clientv3.EventTypeDelete {
				k.value = present(last.Kv.Value)
			}
			w.take(held, k)
		},
		set: func() error {
			first := !begun
			begun = true
			return w.hand(first)
		},
		same: func(count int, newest int64) bool { // only its own watch changes what is held
			return count == 0 && held.value == nil || count == 1 && held.value != nil && newest == held.revision
		},
		count: func() int { return 1 },
	}
}

func (w *configWatch) take(held *keyed, k keyed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*held = k
}

// hand hands over what is known, once both keys are.
func (w *configWatch) hand(first bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if first {
		w.missing--
	}
	if w.missing > 0 {
		return nil
	}
	return w.set(w.store.configs(w.now))
}

func (w *configWatch) report(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble != nil {
		w.trouble(err)
	}
}

// followStaged follows what is staged while this user may.
func (w *configWatch) followStaged(ctx context.Context, known ConfigRead) error {
	t := w.topic(w.store.stagedKey(), &w.now.staged, known)
	list, denied := t.list, known.denied
	t.list = func(ctx context.Context) (revision int64, err error) {
		if revision, err = list(ctx); errors.Is(err, ErrDenied) {
			err = finalError{err}
		}
		return revision, err
	}
	for said := false; ; denied = false {
		if !denied {
			if err := w.store.follow(ctx, t, w.report); !errors.Is(err, ErrDenied) {
				return err
			}
		}
		w.take(&w.now.staged, keyed{})
		if !said {
			w.store.log.Info("network configs that are staged for some nodes are not followed, for want of a right to read them",
				"etcd_key", w.store.stagedKey(), "see", "overlayd etcd role")
			said = true
			if err := t.set(); err != nil {
				return err
			}
		}
		if err := sleep.For(ctx, w.store.pace.check); err != nil {
			return err
		}
	}
}
