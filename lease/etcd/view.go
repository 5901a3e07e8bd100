package etcd

import (
	"cmp"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/overlayd/overlayd/lease"
)

// A view is what a watcher knows of the leases. Each value is read once, when it comes.
type view struct {
	revision int64
	entries  []*entry // sorted by name
}

// newView is a view of what is known.
func newView(s lease.Snapshot) *view {
	v := &view{revision: s.Revision, entries: make([]*entry, 0, len(s.Records)+len(s.Unreadable))}
	for _, r := range s.Records {
		v.set(&entry{name: r.Key(), record: r})
	}
	for _, u := range s.Unreadable {
		v.set(&entry{u.Key, lease.Record{Revision: u.Revision}, u.Err})
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
	name   string // of the key, below the prefix
	record lease.Record
	err    error
}

func (v *view) put(name string, kv *mvccpb.KeyValue) {
	l, err := lease.DecodeValue(name, kv.Value)
	v.set(&entry{name, lease.Record{Lease: l, Revision: kv.ModRevision, ID: kv.Lease}, err})
}

// set puts an entry in the place of that of its name.
func (v *view) set(e *entry) {
	i, found := v.find(e.name)
	if found {
		v.entries[i] = e
	} else {
		v.entries = slices.Insert(v.entries, i, e)
	}
}

func (v *view) delete(name string) {
	if i, found := v.find(name); found {
		v.entries = slices.Delete(v.entries, i, i+1)
	}
}

// find looks at the end first, where the next one of a list goes.
func (v *view) find(name string) (i int, found bool) {
	if n := len(v.entries); n == 0 || v.entries[n-1].name < name {
		return n, false
	}
	return slices.BinarySearchFunc(v.entries, name, func(e *entry, name string) int { return cmp.Compare(e.name, name) })
}

func (v *view) snapshot() lease.Snapshot {
	s := lease.Snapshot{Revision: v.revision, Records: make([]lease.Record, 0, len(v.entries))}
	for _, e := range v.entries {
		if e.err != nil {
			s.Unreadable = append(s.Unreadable, lease.Unreadable{Key: e.name, Err: e.err, Revision: e.record.Revision})
		} else {
			s.Records = append(s.Records, e.record)
		}
	}
	return s
}
