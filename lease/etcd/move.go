package etcd

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// move carries out the put of a lease of other subnets in place of the record, if that is still as given and nobody but the
// record holds one of them.
//
// Whoever writes below the leases' prefix meanwhile may take one, so the transaction compares that nobody has since all were
// listed. That is dear where many nodes write, but it is rare: a network has changed.
func (s *Store) move(ctx context.Context, old lease.Record, to lease.Lease, put clientv3.Op) (revision int64, err error) {
	for {
		v, err := s.list(ctx, view{})
		if err != nil {
			return 0, err
		}
		v.delete(old.Key())
		if len(v.Free([]lease.Lease{to})) == 0 {
			return 0, lease.ErrTaken
		}
		resp, err := s.client.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(s.key(old.Lease)), "=", old.Revision),
			clientv3.Compare(clientv3.ModRevision(s.subnets()), "<", v.Revision+1).WithPrefix(),
		).Then(clientv3.OpDelete(s.key(old.Lease)), put).Else(clientv3.OpGet(s.key(old.Lease), clientv3.WithKeysOnly())).Commit()
		switch {
		case err != nil:
			return 0, s.explain(ctx, err)
		case resp.Succeeded:
			return resp.Header.Revision, nil
		}
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 || kvs[0].ModRevision != old.Revision {
			return 0, lease.ErrLost
		}
		// Others wrote meanwhile: look again.
	}
}
