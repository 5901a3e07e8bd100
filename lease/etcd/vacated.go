package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// overwrites is how many values of a key are looked at, from the newest back, for a node's lease.
const overwrites = 8

// vacated answers lease.ErrKept if the reservation was written over the lease of another node than by's, and that node has not
// given it up: its etcd lease has no key any more, but lasts. What etcd has forgotten the history of was written long ago.
func (s *Store) vacated(ctx context.Context, reservation lease.Record, by lease.Lease) error {
	revision := reservation.Revision
	for range overwrites {
		resp, err := s.client.Get(ctx, s.key(by), clientv3.WithRev(revision-1))
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			return nil
		case err != nil:
			return s.explain(ctx, err)
		case len(resp.Kvs) == 0: // it was written where nothing was
			return nil
		}
		kv := resp.Kvs[0]
		revision = kv.ModRevision
		before, err := lease.DecodeValue(by.Key(), kv.Value)
		switch {
		case err == nil && before.NodeID != "" && before.NodeID == by.NodeID: // it had it already
			return nil
		case kv.Lease == 0 || err == nil && before.SameNode(by):
			continue
		}
		left, err := s.client.TimeToLive(ctx, clientv3.LeaseID(kv.Lease), clientv3.WithAttachedKeys())
		switch {
		case err != nil:
			return s.explain(ctx, err)
		case left.TTL > 0 && len(left.Keys) == 0:
			return fmt.Errorf("%w: it may hold it for %d s more: end its daemon, or release the subnet and reserve it again",
				lease.ErrKept, left.TTL)
		}
	}
	return nil
}

// giveUp ends the record's etcd lease, unless somebody hung other keys on it. It is worth one try: what it misses expires by
// itself.
func (s *Store) giveUp(ctx context.Context, r lease.Record) {
	if r.Reserved() {
		return
	}
	left, err := s.client.TimeToLive(ctx, clientv3.LeaseID(r.ID), clientv3.WithAttachedKeys())
	if err == nil && left.TTL >= 0 && len(left.Keys) == 0 {
		s.revoke(ctx, clientv3.LeaseID(r.ID))
	}
}
