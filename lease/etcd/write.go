package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// nesting is how many candidates one transaction tries, each in the else branch of the one before.
const nesting = 8

// Create implements lease.Store.
func (s *Store) Create(ctx context.Context, seen lease.Snapshot, ttl time.Duration, candidates ...lease.Lease) (lease.Record, error) {
	r, err := s.create(ctx, seen, ttl, seen.Free(candidates))
	if err != nil {
		return lease.Record{}, fmt.Errorf("create lease: %w", err)
	}
	return r, nil
}

func (s *Store) create(ctx context.Context, seen lease.Snapshot, ttl time.Duration, candidates []lease.Lease) (r lease.Record, err error) {
	if len(candidates) == 0 {
		return r, lease.ErrTaken
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := s.grant(ctx, ttl)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			s.revoke(ctx, id) // and with it what a lost answer may have left
		}
	}()
	for batch := range slices.Chunk(candidates, nesting) {
		op, err := s.firstFree(batch, seen, id)
		if err != nil {
			return r, err
		}
		resp, err := s.client.Do(ctx, op)
		if err != nil {
			return r, s.explain(ctx, err)
		}
		txn := resp.Txn()
		if i := succeeded((*etcdserverpb.TxnResponse)(txn)); i >= 0 {
			return lease.Record{Lease: batch[i], Revision: txn.Header.Revision, ID: int64(id)}, nil
		}
	}
	return r, lease.ErrTaken
}

// firstFree writes the first of the leases whose subnets nobody holds.
func (s *Store) firstFree(leases []lease.Lease, seen lease.Snapshot, id clientv3.LeaseID) (op clientv3.Op, err error) {
	var otherwise []clientv3.Op
	for _, l := range slices.Backward(leases) {
		value, err := lease.EncodeValue(l)
		if err != nil {
			return op, err
		}
		put := clientv3.OpPut(s.key(l), string(value), clientv3.WithLease(id))
		op = clientv3.OpTxn(s.unheld(l, seen), []clientv3.Op{put}, otherwise)
		otherwise = []clientv3.Op{op}
	}
	return op, nil
}

// unheld compares so that no other lease has one of the subnets. Keys begin with the IPv4 subnet, so its holders can be
// looked for whenever they came. The IPv6 subnet's cannot: there, no lease at all may have been written since the
// snapshot in which it was free.
func (s *Store) unheld(l lease.Lease, seen lease.Snapshot) (compares []clientv3.Cmp) {
	if l.V4.Subnet.IsValid() {
		alone := s.subnets() + lease.Lease{V4: l.V4}.Key()
		absent := clientv3.Compare(clientv3.CreateRevision(alone), "=", 0)
		compares = append(compares, absent, clientv3.Compare(clientv3.CreateRevision(alone+"&"), "=", 0).WithPrefix())
	}
	if l.V6.Subnet.IsValid() {
		compares = append(compares, clientv3.Compare(clientv3.ModRevision(s.subnets()), "<", seen.Revision+1).WithPrefix())
	}
	return compares
}

// succeeded is the index of the candidate that was written, or -1.
func succeeded(txn *etcdserverpb.TxnResponse) int {
	for i := 0; ; i++ {
		if txn.Succeeded {
			return i
		}
		if len(txn.Responses) == 0 {
			return -1
		}
		txn = txn.Responses[0].GetResponseTxn()
	}
}

// Update implements lease.Store.
func (s *Store) Update(ctx context.Context, old lease.Record, ttl time.Duration, new lease.Lease) (lease.Record, error) {
	r, err := s.update(ctx, old, ttl, new)
	if err != nil {
		return lease.Record{}, fmt.Errorf("update lease %s: %w", old.Lease, err)
	}
	return r, nil
}

func (s *Store) update(ctx context.Context, old lease.Record, ttl time.Duration, new lease.Lease) (r lease.Record, err error) {
	if new.Key() != old.Key() {
		return r, fmt.Errorf("other subnets: %s", new)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := lease.EncodeValue(new)
	if err != nil {
		return r, err
	}
	id, err := s.keepOrGrant(ctx, old, ttl)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil && int64(id) != old.ID {
			s.revoke(ctx, id)
		}
	}()
	var put []clientv3.Op // none where that would only wake the watchers
	if int64(id) != old.ID || !new.Equal(old.Lease) {
		put = []clientv3.Op{clientv3.OpPut(s.key(new), string(value), clientv3.WithLease(id))}
	}
	revision, err := s.swap(ctx, old, put...)
	if err != nil {
		return r, err
	}
	if len(put) == 0 {
		revision = old.Revision
	}
	return lease.Record{Lease: new, Revision: revision, ID: int64(id)}, nil
}

// swap carries out the operations if the record is still as given.
func (s *Store) swap(ctx context.Context, old lease.Record, ops ...clientv3.Op) (revision int64, err error) {
	same := clientv3.Compare(clientv3.ModRevision(s.key(old.Lease)), "=", old.Revision)
	resp, err := s.client.Txn(ctx).If(same).Then(ops...).Commit()
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	if !resp.Succeeded {
		return 0, lease.ErrLost
	}
	return resp.Header.Revision, nil
}

// keepOrGrant renews the record's etcd lease, or grants another where it is gone or runs for another time.
func (s *Store) keepOrGrant(ctx context.Context, r lease.Record, ttl time.Duration) (clientv3.LeaseID, error) {
	if r.Reserved() {
		return clientv3.NoLease, nil
	}
	resp, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(r.ID))
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
	case err != nil:
		return 0, s.explain(ctx, err)
	case resp.TTL == seconds(ttl):
		return resp.ID, nil
	}
	return s.grant(ctx, ttl)
}

func (s *Store) grant(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	resp, err := s.client.Grant(ctx, seconds(ttl))
	if err != nil {
		return 0, s.explain(ctx, err)
	}
	return resp.ID, nil
}

func seconds(ttl time.Duration) int64 { return int64(math.Ceil(ttl.Seconds())) }

// revoke is worth one try, also after the context has ended: what it misses expires by itself.
func (s *Store) revoke(ctx context.Context, id clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if _, err := s.client.Revoke(ctx, id); err != nil {
		s.log.Debug("revoke etcd lease", "id", fmt.Sprintf("%x", id), "err", err)
	}
}

// Renew implements lease.Store.
func (s *Store) Renew(ctx context.Context, r lease.Record) error {
	if err := s.renew(ctx, r); err != nil {
		return fmt.Errorf("renew lease %s: %w", r.Lease, err)
	}
	return nil
}

func (s *Store) renew(ctx context.Context, r lease.Record) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !r.Reserved() {
		_, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(r.ID))
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return lease.ErrLost
		}
		if err != nil {
			return s.explain(ctx, err)
		}
	}
	resp, err := s.client.Get(ctx, s.key(r.Lease)) // the etcd lease may have lost its key to another
	if err != nil {
		return s.explain(ctx, err)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].Lease != r.ID {
		return lease.ErrLost
	}
	return nil
}

// Delete implements lease.Store.
func (s *Store) Delete(ctx context.Context, r lease.Record) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := s.swap(ctx, r, clientv3.OpDelete(s.key(r.Lease))); err != nil {
		return fmt.Errorf("delete lease %s: %w", r.Lease, err)
	}
	return nil
}
