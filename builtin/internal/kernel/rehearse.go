package kernel

import (
	"context"
	"iter"
	"slices"
)

// A Rehearsal is a copy of a kernel's state, with an account of what is done to it.
type Rehearsal struct {
	*Fake
	done []Op
}

// Rehearse copies what the kernel has, but for what it makes by itself and what has come to be by traffic.
func Rehearse(ctx context.Context, k Kernel) (*Rehearsal, error) {
	f := &Fake{unset: readSysctl}
	if fake, ok := k.(*Fake); ok {
		f.unset = fake.sysctl
	}
	likes := []Object{Link{}, Addr{}, Device{}, Peer{}, Neigh{}, FDB{}, VLAN{}, Route{Table: AnyTable}, Rule{}, Rule{IPv6: true}}
	for _, like := range likes {
		list, err := k.List(ctx, like)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if lasting(o) {
				f.objects = append(f.objects, o)
			}
			if l, ok := o.(Link); ok {
				f.made = max(f.made, l.Index)
			}
		}
	}
	return &Rehearsal{Fake: f}, nil
}

// Do is part of Kernel.
func (r *Rehearsal) Do(ctx context.Context, ops ...Op) error {
	for _, op := range ops {
		before := r.snapshot()
		if err := r.Fake.Do(ctx, op); err != nil {
			return err
		}
		_, device := op.Object.(Device) // its text hides what has changed
		if device || !slices.Equal(before, r.snapshot()) {
			r.done = append(r.done, op)
		}
	}
	return nil
}

// Batch is part of Kernel.
func (r *Rehearsal) Batch(ctx context.Context, ops iter.Seq[Op]) []error { return eachOf(ctx, r, ops) }

// Done returns the operations that have changed anything, in the order in which they were done. It must not be called
// concurrently with Do.
func (r *Rehearsal) Done() []Op { return r.done }

func (r *Rehearsal) snapshot() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, o := range r.objects {
		all = append(all, Op{Add, o}.String())
	}
	return all
}
