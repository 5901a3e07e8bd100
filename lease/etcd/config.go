package etcd

import (
	"context"
	"fmt"
	"io/fs"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config returns the network config and the revision of its last change, or fs.ErrNotExist.
func (s *Store) Config(ctx context.Context) (value []byte, revision int64, err error) {
	value, revision, _, err = s.readConfig(ctx)
	if err != nil {
		return nil, 0, err
	}
	if value == nil {
		return nil, 0, fmt.Errorf("etcd %s: %w", s.ConfigKey(), fs.ErrNotExist)
	}
	return value, revision, nil
}

// readConfig returns nil and 0 for an absent config, and the revision of etcd at which that is so.
func (s *Store) readConfig(ctx context.Context) (value []byte, revision, now int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := s.client.Get(ctx, s.ConfigKey())
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	if len(resp.Kvs) == 0 {
		return nil, 0, resp.Header.Revision, nil
	}
	return present(resp.Kvs[0].Value), resp.Kvs[0].ModRevision, resp.Header.Revision, nil
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
// after trouble, until the context ends or set returns an error, which it returns. An absent config is nil. Trouble that
// it is getting over goes to trouble, which may be nil.
func (s *Store) WatchConfig(ctx context.Context, set func(value []byte, revision int64) error, trouble func(error)) error {
	var value []byte
	var revision int64
	return s.follow(ctx, topic{
		what: "watch network config",
		key:  s.ConfigKey(),
		list: func(ctx context.Context) (now int64, err error) {
			value, revision, now, err = s.readConfig(ctx)
			return now, err
		},
		change: func(events []*clientv3.Event, _ int64) {
			last := events[len(events)-1]
			value, revision = nil, last.Kv.ModRevision
			if last.Type != clientv3.EventTypeDelete {
				value = present(last.Kv.Value)
			}
		},
		set: func() error { return set(value, revision) },
		same: func(count int, newest int64) bool {
			return count == 0 && value == nil || count == 1 && value != nil && newest == revision
		},
		count: func() int { return 1 },
	}, trouble)
}
