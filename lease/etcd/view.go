package etcd

import (
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/overlayd/overlayd/lease"
)

// A view is what a watcher knows of the leases. Each value is read once, when it comes.
type view struct {
	revision int64
	entries  map[string]entry
}

// An entry is a record, or the reason why the value is none.
type entry struct {
	record lease.Record
	err    error
}

func (v *view) put(name string, kv *mvccpb.KeyValue) {
	l, err := lease.DecodeValue(name, kv.Value)
	v.entries[name] = entry{lease.Record{Lease: l, Revision: kv.ModRevision, ID: kv.Lease}, err}
}

func (v *view) snapshot() lease.Snapshot {
	s := lease.Snapshot{Revision: v.revision}
	for _, name := range slices.Sorted(maps.Keys(v.entries)) {
		if e := v.entries[name]; e.err != nil {
			s.Unreadable = append(s.Unreadable, lease.Unreadable{Key: name, Err: e.err, Revision: e.record.Revision})
		} else {
			s.Records = append(s.Records, e.record)
		}
	}
	return s
}
