package etcd

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config returns the network config and the revision of its last change, or fs.ErrNotExist.
func (s *Store) Config(ctx context.Context) (value []byte, revision int64, err error) {
	read, err := s.readConfig(ctx)
	if err != nil {
		return nil, 0, err
	}
	if read.value == nil {
		return nil, 0, fmt.Errorf("etcd %s: %w", s.ConfigKey(), fs.ErrNotExist)
	}
	return read.value, read.revision, nil
}

// A ConfigRead is the network config as it was read once.
type ConfigRead struct {
	value    []byte // nil for an absent one
	revision int64  // of its last change, 0 for an absent one
	now      int64  // etcd's when it was read
}

func (s *Store) readConfig(ctx context.Context) (ConfigRead, error) {
	read, err := s.tryConfig(ctx, patience)
	if err != nil {
		return read, fmt.Errorf("read etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	return read, nil
}

// tryConfig returns etcd's error as it is.
func (s *Store) tryConfig(ctx context.Context, patience time.Duration) (ConfigRead, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := s.client.Get(ctx, s.ConfigKey())
	if err != nil {
		return ConfigRead{}, err
	}
	if len(resp.Kvs) == 0 {
		return ConfigRead{now: resp.Header.Revision}, nil
	}
	return ConfigRead{present(resp.Kvs[0].Value), resp.Kvs[0].ModRevision, resp.Header.Revision}, nil
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

// WatchConfig calls set with the network config and the revision of its last change, at once, after each change, and again
// after trouble, until the context ends or set returns an error, which it returns. An absent config is nil. It begins with
// what is known from Check, unless that is the zero ConfigRead. Trouble that it is getting over goes to trouble, which may
// be nil.
func (s *Store) WatchConfig(ctx context.Context, known ConfigRead, set func(value []byte, revision int64) error, trouble func(error)) error {
	now := known
	return s.follow(ctx, topic{
		what: "watch network config",
		key:  s.ConfigKey(),
		list: func(ctx context.Context) (revision int64, err error) {
			if known.now != 0 {
				known = ConfigRead{} // by the next time it is out of date
				return now.now, nil
			}
			now, err = s.readConfig(ctx)
			return now.now, err
		},
		change: func(events []*clientv3.Event, _ int64) {
			last := events[len(events)-1]
			now.value, now.revision = nil, last.Kv.ModRevision
			if last.Type != clientv3.EventTypeDelete {
				now.value = present(last.Kv.Value)
			}
		},
		set: func() error { return set(now.value, now.revision) },
		same: func(count int, newest int64) bool {
			return count == 0 && now.value == nil || count == 1 && now.value != nil && newest == now.revision
		},
		count: func() int { return 1 },
	}, trouble)
}
