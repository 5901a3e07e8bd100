package kernel

import (
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"syscall"
)

// A Fake is a Kernel that keeps its state in memory and answers as Linux does, with the same errors. It knows WireGuard.
// What the kernel adds by itself it leaves out: connected and local routes, link-local and multicast addresses, and the VLAN that
// bridges and their ports begin with.
type Fake struct {
	mu      sync.Mutex
	objects []Object                            // in the order they were made
	made    int                                 // links made so far, which numbers them
	notice  func(Notice)                        // of Watch; nil while nobody watches
	unset   func(sysctl string) (string, error) // what a setting is before it is set
}

// NewFake returns a Fake that has only the loopback.
func NewFake() *Fake {
	f := new(Fake)
	f.unset = f.unsetSysctl
	f.newLink(Link{Name: "lo", MTU: 65536, Address: "00:00:00:00:00:00", State: Up, Encap: "loopback"})
	f.objects = append(f.objects,
		Addr{Dev: "lo", Prefix: loopback4, Scope: "host"}, Addr{Dev: "lo", Prefix: loopback6, Scope: "host"})
	return f
}

// String is the state as commands that rebuild it when they are run in their order, without the loopback.
func (f *Fake) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return describe(f.objects)
}

// Close is part of Kernel.
func (f *Fake) Close() error { return nil }

// Do is part of Kernel.
func (f *Fake) Do(ctx context.Context, ops ...Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range ops {
		if err := ctx.Err(); err != nil {
			return &OpError{Op: op, Err: context.Cause(ctx)}
		}
		if err := refusal(op, f.do(op)); err != nil {
			return err
		}
		if f.notice != nil {
			f.notice(Notice{op.Object, op.Verb == Del})
		}
	}
	return nil
}

// Batch is part of Kernel.
func (f *Fake) Batch(ctx context.Context, ops iter.Seq[Op]) []error { return eachOf(ctx, f, ops) }

// Compare is part of Kernel.
func (f *Fake) Compare(ctx context.Context, objects []Object) ([]Difference, error) {
	return compareLists(ctx, f, objects)
}

// Rivals is part of Kernel.
func (f *Fake) Rivals(ctx context.Context, most int) (rivals []Route, err error) {
	list, err := f.List(ctx, Route{})
	for _, o := range list {
		if r := o.(Route); r.isRival() && len(rivals) <= most {
			rivals = append(rivals, r)
		}
	}
	return rivals, err
}

// eachOf is a Batch of one after the other.
func eachOf(ctx context.Context, k interface {
	Do(context.Context, ...Op) error
}, ops iter.Seq[Op]) (errs []error) {
	failed := false
	for op := range ops {
		err := k.Do(ctx, op)
		errs, failed = append(errs, err), failed || err != nil
	}
	if !failed {
		return nil
	}
	return errs
}

// Watch is part of Kernel.
func (f *Fake) Watch(ctx context.Context, notice func(Notice)) error {
	set := func(n func(Notice)) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.notice = n
	}
	set(notice)
	defer set(nil)
	<-ctx.Done()
	return ctx.Err()
}

func (f *Fake) do(op Op) error {
	switch o := op.Object.(type) {
	case Link:
		return f.doLink(op.Verb, o)
	case Addr:
		return f.doAddr(op.Verb, o)
	case Route:
		return f.doRoute(op.Verb, o)
	case Rule:
		return f.doRule(op.Verb, o)
	case Neigh:
		return f.doNeigh(op.Verb, o)
	case FDB:
		return f.doFDB(op.Verb, o)
	case VLAN:
		return f.doVLAN(op.Verb, o)
	case Device:
		return f.doDevice(op.Verb, o)
	case Peer:
		return f.doPeer(op.Verb, o)
	case Sysctl:
		return f.doSysctl(op.Verb, o)
	}
	return fmt.Errorf("unknown object %T", op.Object)
}

// List is part of Kernel.
func (f *Fake) List(ctx context.Context, like Object) ([]Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := like.(Sysctl); ok {
		return f.listSysctl(s)
	}
	var list []Object
	for _, o := range f.objects {
		if !resembles(o, like) {
			continue
		}
		if l, ok := o.(Link); ok && like.(Link).Encap == AnyEncap {
			o = Link{Name: l.Name, Encap: l.Encap}
		} else if ok && like.(Link).Details != nil {
			l.Details = &Details{Mode: "default", Kind: l.Options, Port: l.Port}
			o = l
		}
		list = append(list, o)
	}
	return list, nil
}

// resembles reports whether List answers o when asked for what is like the other.
func resembles(o, like Object) bool {
	said := func(want, got string) bool { return want == "" || want == got }
	switch like := like.(type) {
	case Link:
		o, ok := o.(Link)
		return ok && said(like.Name, o.Name) && said(like.Kind, o.Kind)
	case Addr:
		o, ok := o.(Addr)
		return ok && said(like.Dev, o.Dev) && (!like.Prefix.IsValid() || like.Prefix.Addr().Is4() == o.Prefix.Addr().Is4())
	case Route:
		o, ok := o.(Route)
		return ok && (like.Table == AnyTable || like.table() == o.table()) && said(like.hop().Dev, o.hop().Dev) && o.fits(like)
	case Rule:
		o, ok := o.(Rule)
		return ok && like.IPv6 == o.IPv6
	case Neigh:
		o, ok := o.(Neigh)
		return ok && said(like.Dev, o.Dev) && like.Proxy == o.Proxy && (!like.IP.IsValid() || like.IP == o.IP)
	case FDB:
		o, ok := o.(FDB)
		return ok && said(like.Dev, o.Dev) && said(string(like.Address), string(o.Address))
	case VLAN:
		o, ok := o.(VLAN)
		return ok && said(like.Dev, o.Dev) && unsaidOr(like.ID, o.ID)
	case Device:
		o, ok := o.(Device)
		return ok && said(like.Name, o.Name)
	case Peer:
		o, ok := o.(Peer)
		return ok && said(like.Dev, o.Dev) && (like.PublicKey == PublicKey{} || like.PublicKey == o.PublicKey)
	}
	return false
}

// find is the place of the first object with the key, -1 without one.
func (f *Fake) find(o Object) int {
	key := o.Key()
	return slices.IndexFunc(f.objects, func(have Object) bool { return have.Key() == key })
}

// put carries out a verb on an object that is alone at its key. Nothing but the error for its absence differs by kind.
func (f *Fake) put(verb Verb, o Object, absent error) error {
	i := f.find(o)
	switch {
	case i < 0 && (verb == Change || verb == Set || verb == Del):
		return absent
	case i < 0:
		f.objects = append(f.objects, o)
	case verb == Add || verb == Append:
		return syscall.EEXIST
	case verb == Del:
		f.objects = slices.Delete(f.objects, i, i+1)
	default:
		f.objects[i] = o
	}
	return nil
}

func (f *Fake) link(name string) (Link, error) {
	if i := f.find(Link{Name: name}); i >= 0 {
		return f.objects[i].(Link), nil
	}
	return Link{}, NoDevice{name}
}

func (f *Fake) doNeigh(verb Verb, n Neigh) error {
	if _, err := f.link(n.Dev); err != nil {
		return err
	}
	if err := validMAC(n.Address); err != nil {
		return err
	}
	n.State = stateOr(n.State)
	return f.put(verb, n, syscall.ENOENT)
}

func validMAC(m MAC) error {
	if _, err := net.ParseMAC(string(m)); err != nil && m != "" {
		return fmt.Errorf("%q is invalid lladdr", m)
	}
	return nil
}

// doFDB is a vxlan's table: an address has one remote, except that the zero and multicast addresses have a list.
func (f *Fake) doFDB(verb Verb, e FDB) error {
	l, err := f.link(e.Dev)
	if err != nil {
		return err
	}
	if err := validMAC(e.Address); err != nil {
		return err
	}
	if l.Kind != "vxlan" && !(e.Master && l.Master != "") {
		return syscall.EOPNOTSUPP
	}
	e.State = stateOr(e.State)
	i := f.find(e)
	same := func(o Object) bool { return o.Key() == e.Key() && (!e.Dst.IsValid() || o.(FDB).Dst == e.Dst) }
	switch {
	case verb == Del && i >= 0:
		f.objects = slices.DeleteFunc(f.objects, same)
		return nil // also when the station is behind another remote
	case verb == Append && i >= 0:
		if e.floods() && !slices.ContainsFunc(f.objects, same) {
			f.objects = append(f.objects, e)
		}
		return nil // a second remote for one station is passed over without a word
	case verb == Replace && i >= 0 && e.floods():
		return fmt.Errorf("%w: Cannot replace non-unicast fdb entries", syscall.EOPNOTSUPP)
	}
	return f.put(verb, e, syscall.ENOENT)
}

// floods reports whether the entry is for packets that go to more than one station.
func (f FDB) floods() bool {
	m, _ := net.ParseMAC(string(f.Address))
	return len(m) > 0 && (m[0]&1 == 1 || f.Address == "00:00:00:00:00:00")
}
