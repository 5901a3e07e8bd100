package etcd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(candidates) == 0 {
		return r, s.taken(ctx, 0)
	}
	id := clientv3.NoLease
	if ttl > 0 {
		if id, err = s.grant(ctx, ttl); err != nil {
			return r, err
		}
	}
	defer func() {
		if err != nil {
			s.revoke(ctx, id) // and with it what a lost answer may have left
		}
	}()
	var now lease.Snapshot
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
		i, read := outcome((*etcdserverpb.TxnResponse)(txn))
		switch {
		case i >= 0 && s.crossed(batch[i], read):
			r = lease.Record{Lease: batch[i], Revision: txn.Header.Revision}
			if id == clientv3.NoLease {
				if _, err := s.swap(ctx, r, clientv3.OpDelete(s.key(r.Lease))); err != nil {
					return r, err
				}
			}
			return r, s.taken(ctx, txn.Header.Revision-1)
		case i >= 0:
			return lease.Record{Lease: batch[i], Revision: txn.Header.Revision, ID: int64(id)}, nil
		}
		now = s.keysOnly(read, txn.Header.Revision)
	}
	return r, &lease.TakenError{Now: now}
}

// firstFree writes the first of the leases whose IPv4 subnet nobody holds, and reads all keys where there is none.
//
// Keys begin with the IPv4 subnet, so its holders can be compared with whenever they came. Those of an IPv6 subnet cannot:
// a lease with one is written beside a look at what came since the snapshot in which it was free, see crossed.
func (s *Store) firstFree(leases []lease.Lease, seen lease.Snapshot, id clientv3.LeaseID) (op clientv3.Op, err error) {
	keys := clientv3.OpGet(s.subnets(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	since := clientv3.OpGet(s.subnets(), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithMinModRev(seen.Revision+1))
	otherwise := keys
	for _, l := range slices.Backward(leases) {
		value, err := lease.EncodeValue(l)
		if err != nil {
			return op, err
		}
		write := []clientv3.Op{clientv3.OpPut(s.key(l), string(value), clientv3.WithLease(id))}
		if l.V6.Subnet.IsValid() {
			write = []clientv3.Op{since, write[0]}
		}
		otherwise = clientv3.OpTxn(s.unheld(l), write, []clientv3.Op{otherwise})
	}
	return otherwise, nil
}

// unheld compares so that no other lease has the IPv4 subnet, or the IPv6 subnet alone.
func (s *Store) unheld(l lease.Lease) []clientv3.Cmp {
	absent := clientv3.Compare(clientv3.CreateRevision(s.key(l)), "=", 0)
	if !l.V4.Subnet.IsValid() {
		return []clientv3.Cmp{absent}
	}
	alone := s.subnets() + lease.Lease{V4: l.V4}.Key()
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(alone), "=", 0),
		clientv3.Compare(clientv3.CreateRevision(alone+"&"), "=", 0).WithPrefix(),
	}
}

// outcome is the index of the candidate that was written, or -1, and what was read beside it.
func outcome(txn *etcdserverpb.TxnResponse) (written int, read *etcdserverpb.RangeResponse) {
	for i := 0; ; i++ {
		if txn.Succeeded {
			return i, txn.Responses[0].GetResponseRange()
		}
		next := txn.Responses[0].GetResponseTxn()
		if next == nil {
			return -1, txn.Responses[0].GetResponseRange()
		}
		txn = next
	}
}

// crossed reports whether one of the keys that came before the lease, but after what its writer had seen, has one of its
// subnets: then the lease that was just written is to be taken back. Of two that meet, one sees the other.
func (s *Store) crossed(l lease.Lease, since *etcdserverpb.RangeResponse) bool {
	return len(s.keysOnly(since, 0).Free([]lease.Lease{l})) == 0
}

// taken says what was held at the revision, or is now if that is 0.
func (s *Store) taken(ctx context.Context, revision int64) error {
	resp, err := s.client.Get(ctx, s.subnets(), clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(revision))
	if err != nil {
		return s.explain(ctx, err)
	}
	revision = cmp.Or(revision, resp.Header.Revision)
	return &lease.TakenError{Now: s.keysOnly((*etcdserverpb.RangeResponse)(resp), revision)}
}

// keysOnly is what keys alone say: of each lease the subnets.
func (s *Store) keysOnly(read *etcdserverpb.RangeResponse, revision int64) lease.Snapshot {
	var records []*lease.Record
	var unreadable []*lease.Unreadable
	for _, kv := range read.GetKvs() {
		name := s.name(kv)
		if v4, v6, err := lease.ParseKey(name); err != nil {
			unreadable = append(unreadable, &lease.Unreadable{Key: name, Err: err, Revision: kv.ModRevision})
		} else {
			l := lease.Lease{V4: lease.Path{Subnet: v4}, V6: lease.Path{Subnet: v6}}
			records = append(records, &lease.Record{Lease: l, Revision: kv.ModRevision})
		}
	}
	return lease.Snapshot{Revision: revision, Records: lease.NewSet(records...), Unreadable: lease.NewSet(unreadable...)}
}
