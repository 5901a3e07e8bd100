// Package etcd keeps leases in etcd v3, in flannel's format: the network config at PREFIX/config, and one key per lease
// below PREFIX/subnets/. Earlier network configs, one that some nodes try first, and what these say of it, are at
// PREFIX/overlayd/config/. Nothing else is ever written below PREFIX, since flannel takes whatever begins with PREFIX/subnets for a lease.
//
// Each lease hangs on an etcd lease of its own and is kept by keep-alives, which no watcher sees. A key without an etcd lease
// is a reservation. Every write is a transaction that compares first.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// patience is how long one request may take. It is ample: where many nodes start at once, each waits for all.
const patience = 10 * time.Second

// A Store keeps the leases of one network, and its config.
type Store struct {
	client *clientv3.Client
	prefix string // begins with a slash and ends without
	log    *slog.Logger
	pace   pace // of watches
}

var _ lease.Store = (*Store)(nil)

// New returns the store of the network whose keys begin with the prefix, usually "/coreos.com/network". The client stays
// the caller's to close.
func New(client *clientv3.Client, prefix string, log *slog.Logger) *Store {
	return &Store{client, path.Join("/", prefix), log, pace{check: 10 * time.Minute, doubt: 2 * time.Second, silence: 25 * time.Minute}}
}

// ConfigKey is where the network config is kept.
func (s *Store) ConfigKey() string { return path.Join(s.prefix, "config") }

// subnets is what the keys of leases begin with. The slash keeps neighbours such as "subnets-old" out.
func (s *Store) subnets() string { return path.Join(s.prefix, "subnets") + "/" }

func (s *Store) key(l lease.Lease) string { return s.subnets() + l.Key() }

// Load implements lease.Store.
func (s *Store) Load(ctx context.Context) (lease.Snapshot, error) {
	v, err := s.list(ctx, view{})
	if err != nil {
		return lease.Snapshot{}, fmt.Errorf("load leases: %w", err)
	}
	return v.Snapshot, nil
}

// list reads all keys of leases. What is as it was before it shares with that.
func (s *Store) list(ctx context.Context, before view) (view, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := s.client.Get(ctx, s.subnets(), clientv3.WithPrefix())
	if err != nil {
		return view{}, s.explain(ctx, err)
	}
	return s.newView(resp.Kvs, resp.Header.Revision, before), nil
}

// name is a lease's key without what all have in front.
func (s *Store) name(kv *mvccpb.KeyValue) string {
	return strings.TrimPrefix(string(kv.Key), s.subnets())
}

// explain says what to do about a right that is missing, and asks why there was no answer where the bare error says only that
// time ran out.
func (s *Store) explain(ctx context.Context, err error) error {
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return denied(err)
	}
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	return s.diagnose(context.WithoutCancel(ctx), fmt.Errorf("no answer within %s", patience))
}
