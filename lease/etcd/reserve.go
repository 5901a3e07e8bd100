package etcd

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// Reserve implements lease.Store.
func (s *Store) Reserve(ctx context.Context, seen lease.Snapshot, l lease.Lease) (lease.Record, error) {
	r, err := s.reserve(ctx, seen, l)
	if err != nil {
		return lease.Record{}, fmt.Errorf("reserve %s: %w", l, err)
	}
	return r, nil
}

func (s *Store) reserve(ctx context.Context, seen lease.Snapshot, l lease.Lease) (r lease.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := lease.EncodeValue(l)
	if err != nil {
		return r, err
	}
	same := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.subnets()), "<", seen.Revision+1).WithPrefix()}
	i := slices.IndexFunc(seen.Records, func(r lease.Record) bool { return r.Key() == l.Key() })
	switch {
	case i >= 0:
		same = append(same, clientv3.Compare(clientv3.ModRevision(s.key(l)), "=", seen.Records[i].Revision))
	case len(seen.Free([]lease.Lease{l})) == 0:
		return r, lease.ErrTaken
	}
	resp, err := s.client.Txn(ctx).If(same...).Then(clientv3.OpPut(s.key(l), string(value))).Commit()
	if err != nil {
		return r, s.explain(ctx, err)
	}
	if !resp.Succeeded {
		return r, lease.ErrTaken
	}
	return lease.Record{Lease: l, Revision: resp.Header.Revision}, nil
}
