package etcd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// Update implements lease.Store.
func (s *Store) Update(ctx context.Context, old lease.Record, ttl time.Duration, new lease.Lease) (lease.Record, error) {
	r, err := s.update(ctx, old, ttl, new)
	if err != nil {
		return lease.Record{}, fmt.Errorf("update lease %s: %w", old.Lease, err)
	}
	return r, nil
}

func (s *Store) update(ctx context.Context, old lease.Record, ttl time.Duration, new lease.Lease) (r lease.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := lease.EncodeValue(new)
	if err != nil {
		return r, err
	}
	if old.Reserved() && ttl > 0 {
		if err := s.vacated(ctx, old, new); err != nil {
			return r, err
		}
	}
	id := clientv3.NoLease
	if ttl > 0 {
		if id, err = s.keepOrGrant(ctx, old, ttl); err != nil {
			return r, err
		}
	}
	defer func() {
		if err != nil && int64(id) != old.ID {
			s.revoke(ctx, id)
		}
	}()
	r = lease.Record{Lease: new, Revision: old.Revision, ID: int64(id)}
	put := clientv3.OpPut(s.key(new), string(value), clientv3.WithLease(id))
	switch {
	case new.Key() != old.Key():
		r.Revision, err = s.move(ctx, old, new, put)
	case r.ID == old.ID && new.Equal(old.Lease): // to write it would only wake the watchers
		_, err = s.swap(ctx, old)
	default:
		r.Revision, err = s.swap(ctx, old, put)
	}
	return r, err
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
	if id == clientv3.NoLease {
		return
	}
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
	_, err := s.swap(ctx, r, clientv3.OpDelete(s.key(r.Lease)))
	if err == nil || errors.Is(err, lease.ErrLost) {
		s.giveUp(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("delete lease %s: %w", r.Lease, err)
	}
	return nil
}
