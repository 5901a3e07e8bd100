package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/hooks"
)

// undoPatience bounds the undoing of a failed hook, whose own context may be over.
const undoPatience = 10 * time.Second

// An application makes the kernel have what one scope wants.
type application struct {
	*planned
	scope string
	run   *kernel.Run
}

// inScope calls do with a run in the scope. When it succeeds, what the scope owned and do did not touch is deleted; when it
// fails, the scope is as before.
func (b *planned) inScope(ctx context.Context, scope string, do func(*application) error) error {
	a := &application{b, scope, b.set.scopes.Begin(scope)}
	if err := do(a); err != nil {
		return a.undo(ctx, err)
	}
	return a.run.Sweep(ctx)
}

// undo takes back what was done before the error.
func (a *application) undo(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer cancel()
	return errors.Join(err, a.run.Undo(ctx))
}

// apply makes the objects be there, in their order.
func (a *application) apply(ctx context.Context, objects []kernel.Object) error {
	for _, o := range objects {
		if err := a.place(ctx, kernel.Marked(o)); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) place(ctx context.Context, o kernel.Object) error {
	owner := a.set.scopes.Owner(o)
	if owner != a.scope && a.isLive(owner) {
		return fmt.Errorf("%s: this is %s's already, which is up", kernel.Op{Verb: kernel.Add, Object: o}, owner)
	}
	switch o := o.(type) {
	case kernel.Link:
		return a.link(ctx, o)
	case kernel.Device:
		if isAside(owner) {
			if err := a.set.scopes.Give(o, a.scope); err != nil {
				return err
			}
		}
		return a.run.Do(ctx, kernel.Op{Verb: kernel.Set, Object: o})
	}
	err := fs.ErrExist
	if owner == "" { // rarely is anything there, and to be told so is cheaper than to look first
		err = a.run.Do(ctx, kernel.Op{Verb: kernel.Add, Object: o})
	}
	if errors.Is(err, fs.ErrExist) {
		err = a.run.Do(ctx, kernel.Op{Verb: kernel.Replace, Object: o})
	}
	return a.explain(err)
}

// isLive reports whether the scope is that of a peer which is up. What a scope owns that is not is of an earlier life.
func (b *planned) isLive(scope string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, live := b.live[scope]
	return live || scope == hooks.NodeScope
}

// explain adds to the kernel's refusal of a gateway what it means here.
func (b *planned) explain(err error) error {
	refused, ok := errors.AsType[*kernel.OpError](err)
	if !ok {
		return err
	}
	r, ok := refused.Op.Object.(kernel.Route)
	if ok && len(r.Hops) == 1 && (errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)) {
		hop := r.Hops[0]
		return fmt.Errorf("%w: %s is not on the link of %s, and %s needs one layer-2 network (type vxlan does not)",
			err, hop.Via, hop.Dev, b.kind)
	}
	return err
}

// clearLinks deletes the scope's links that are not wanted any more, lest one keeps what a new one needs, such as its VNI.
func (a *application) clearLinks(ctx context.Context, wanted []kernel.Object) error {
	for _, o := range a.set.scopes.Owned(a.scope) {
		if l, ok := o.(kernel.Link); ok && !has(wanted, l) {
			if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Del, Object: kernel.Link{Name: l.Name}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// clearAddresses deletes the addresses in the overlay that the wanted links have and should not: those of an earlier lease.
func (a *application) clearAddresses(ctx context.Context, wanted []kernel.Object, networks []netip.Prefix) error {
	for _, w := range wanted {
		l, ok := w.(kernel.Link)
		if !ok {
			continue
		}
		list, err := a.run.List(ctx, kernel.Addr{Dev: l.Name})
		if err != nil {
			return err
		}
		for _, o := range list {
			ip := o.(kernel.Addr).Prefix.Addr()
			inside := slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
			if !inside || has(wanted, o) {
				continue
			}
			a.log.Info("address of an earlier lease is removed", "link", l.Name, "address", ip)
			if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Del, Object: o}); err != nil {
				return err
			}
		}
	}
	return nil
}

// has reports whether one of the objects goes where o is.
func has(objects []kernel.Object, o kernel.Object) bool {
	return slices.ContainsFunc(objects, func(w kernel.Object) bool { return w.Key() == o.Key() })
}
