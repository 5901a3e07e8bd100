package etcd

import (
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/overlayd/overlayd/lease"
)

// A view is what a watcher knows of the leases. Each value is read once, when it comes.
type view struct{ lease.Snapshot }

// newView is a view of what was listed. It shares with an earlier one what is as it was then.
func (s *Store) newView(kvs []*mvccpb.KeyValue, revision int64, before view) view {
	v := view{lease.Snapshot{Revision: revision}}
	records, unreadable := make([]*lease.Record, 0, len(kvs)), []*lease.Unreadable(nil)
	for _, kv := range kvs {
		r, err := decode(s.name(kv), kv)
		if err != nil {
			unreadable = append(unreadable, err)
		} else if was := before.Records.Get(r); was != nil && was.Equal(r.Lease) && was.Revision == r.Revision && was.ID == r.ID {
			records = append(records, was)
		} else {
			records = append(records, r)
		}
	}
	v.Records, v.Unreadable = lease.NewSet(records...), lease.NewSet(unreadable...)
	return v
}

// is reports whether the view has so many keys, the last of them written at the revision.
func (v *view) is(count int, newest int64) bool {
	last := int64(0)
	for r := range v.Records.All() {
		last = max(last, r.Revision)
	}
	for u := range v.Unreadable.All() {
		last = max(last, u.Revision)
	}
	return v.count() == count && last == newest
}

func (v *view) count() int { return v.Records.Len() + v.Unreadable.Len() }

// decode reads a record, or says why it cannot be read.
func decode(name string, kv *mvccpb.KeyValue) (*lease.Record, *lease.Unreadable) {
	l, err := lease.DecodeValue(name, kv.Value)
	if err != nil {
		return nil, &lease.Unreadable{Key: name, Err: err, Revision: kv.ModRevision}
	}
	return &lease.Record{Lease: l, Revision: kv.ModRevision, ID: kv.Lease}, nil
}

// put takes in a key that was written.
func (v *view) put(name string, kv *mvccpb.KeyValue) {
	r, err := decode(name, kv)
	if err != nil {
		v.delete(name)
		v.Unreadable = v.Unreadable.With(err)
		return
	}
	v.Records = v.Records.With(r)
	v.Unreadable = v.Unreadable.Without(&lease.Unreadable{Key: name})
}

// delete takes in that a key is gone.
func (v *view) delete(name string) {
	v.Unreadable = v.Unreadable.Without(&lease.Unreadable{Key: name})
	if v4, v6, err := lease.ParseKey(name); err == nil {
		l := lease.Lease{V4: lease.Path{Subnet: v4}, V6: lease.Path{Subnet: v6}}
		v.Records = v.Records.Without(&lease.Record{Lease: l})
	}
}
