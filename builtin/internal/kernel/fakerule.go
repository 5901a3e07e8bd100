package kernel

import (
	"cmp"
	"slices"
	"syscall"
)

// firstOfMain is the priority of the rule for the table main, which every network namespace starts with.
const firstOfMain = 32766

// doRule keeps the rules in the order they are asked. One without a priority comes just before the first that has one.
func (f *Fake) doRule(verb Verb, r Rule) error {
	if verb == Del {
		i := slices.IndexFunc(f.objects, func(o Object) bool {
			have, ok := o.(Rule)
			return ok && r.covers(have)
		})
		if i < 0 {
			return syscall.ENOENT
		}
		f.objects = slices.Delete(f.objects, i, i+1)
		return nil
	}
	if r.Table == 0 && r.Type == "" {
		r.Table = mainTable
	}
	said := r.Priority != 0
	if !said {
		r.Priority = firstOfMain
		for _, o := range f.objects {
			if have, ok := o.(Rule); ok && have.IPv6 == r.IPv6 && have.Priority > 0 {
				r.Priority = min(r.Priority, have.Priority)
			}
		}
		r.Priority--
	}
	for _, o := range f.objects {
		have, ok := o.(Rule)
		same := r
		if !said {
			same.Priority = have.Priority
		}
		if ok && same.Key() == have.Key() {
			return syscall.EEXIST
		}
	}
	f.objects = append(f.objects, r)
	slices.SortStableFunc(f.objects, func(a, b Object) int {
		first, _ := a.(Rule)
		second, _ := b.(Rule)
		return cmp.Compare(first.Priority, second.Priority)
	})
	return nil
}
