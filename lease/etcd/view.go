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

// newView is a view of what is known.
func newView(s lease.Snapshot) *view {
	v := &view{revision: s.Revision, entries: make(map[string]entry, len(s.Records)+len(s.Unreadable))}
	for _, r := range s.Records {
		v.entries[r.Key()] = entry{record: r}
	}
	for _, u := range s.Unreadable {
		v.entries[u.Key] = entry{lease.Record{Revision: u.Revision}, u.Err}
	}
	return v
}

// is reports whether the view has so many entries, the last of them written at the revision.
func (v *view) is(count int, newest int64) bool {
	last := int64(0)
	for _, e := range v.entries {
		last = max(last, e.record.Revision)
	}
	return len(v.entries) == count && last == newest
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
