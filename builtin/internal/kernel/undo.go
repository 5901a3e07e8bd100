package kernel

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
)

// undoing is what brings back the present state after an operation that changes something, or replaces it.
func (r *Run) undoing(ctx context.Context, op Op) (undo effect, err error) {
	switch o := op.Object.(type) {
	case Link:
		return r.inverseLink(ctx, o)
	case Device:
		undo.inverse, err = r.inverseDevice(ctx, o)
		return undo, err
	case Peer:
		undo.inverse, err = r.inversePeer(ctx, o)
		return undo, err
	}
	key := op.Object.Key()
	// The ledger answers for what some scope owns, unless that is one of several.
	if e, ok := r.scopes.ledger.at(key); ok && !r.scopes.ledger.hasBeside(key) {
		return effect{inverse: []Op{{Replace, e.object}}}, nil
	}
	have, err := r.at(ctx, op.Object)
	if err != nil {
		return effect{}, err
	}
	if len(have) == 0 {
		return effect{inverse: []Op{{Del, op.Object}}}, nil
	}
	// The kernel may have one route twice, after somebody's replacement, and then the other stays.
	lost := slices.DeleteFunc(r.owners(have[:1]), func(e entry) bool { return e.place == key || e.holds(have[1:]) })
	return effect{inverse: []Op{{Replace, have[0]}}, lost: lost}, nil
}

// at is what the kernel has at the object's key, in its order.
func (r *Run) at(ctx context.Context, o Object) ([]Object, error) {
	list, err := r.List(ctx, narrow(o))
	return slices.DeleteFunc(list, func(have Object) bool { return have.Key() != o.Key() }), err
}

// twins reports whether the kernel can have several objects of one key.
func twins(o Object) bool {
	switch o := o.(type) {
	case Route:
		return true
	case FDB:
		return o.floods()
	}
	return false
}

// listed is what the kernel has that a deletion of the object can mean, which may be several.
func (r *Run) listed(ctx context.Context, o Object) ([]Object, error) {
	list, err := r.List(ctx, narrow(o))
	return slices.DeleteFunc(list, func(have Object) bool { return !means(o, have) }), err
}

// narrow is what to ask List for to learn of an object.
func narrow(o Object) Object {
	switch o := o.(type) {
	case Addr:
		return Addr{Dev: o.Dev, Prefix: o.Prefix}
	case Route:
		return Route{Dst: o.Dst.Masked(), Table: o.Table, Metric: o.Metric}
	case Rule:
		return Rule{IPv6: o.IPv6}
	case Neigh:
		return Neigh{Dev: o.Dev, IP: o.IP, Proxy: o.Proxy}
	case FDB:
		return FDB{Dev: o.Dev, Address: o.Address}
	case VLAN:
		return VLAN{Dev: o.Dev, ID: o.ID}
	case Device:
		return Device{Name: o.Name}
	case Peer:
		return Peer{Dev: o.Dev, PublicKey: o.PublicKey}
	case Sysctl:
		return Sysctl{Name: o.Name}
	}
	return o
}

// means reports whether a deletion of the first, which may leave things unsaid, can mean the second.
func means(o, have Object) bool {
	switch o := o.(type) {
	case Route:
		h, ok := have.(Route)
		return ok && o.table() == h.table() && o.TOS == h.TOS && o.From == h.From && o.Dst.Masked() == h.Dst.Masked() && (o.Metric == 0 || o.Metric == h.Metric) && o.covers(h)
	case Rule:
		h, ok := have.(Rule)
		return ok && o.covers(h)
	case FDB:
		h, ok := have.(FDB)
		return ok && o.Key() == h.Key() && (!o.Dst.IsValid() || o.Dst == h.Dst)
	}
	return o.Key() == have.Key()
}

func (r *Run) inverseDevice(ctx context.Context, d Device) ([]Op, error) {
	list, err := r.List(ctx, narrow(d))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return []Op{restoring(list[0])}, nil
}

// inversePeer looks at all peers of the device, since an allowed prefix moves from one peer to the other.
func (r *Run) inversePeer(ctx context.Context, p Peer) ([]Op, error) {
	list, err := r.List(ctx, Peer{Dev: p.Dev})
	if err != nil {
		return nil, err
	}
	inverse := []Op{{Del, p}}
	for _, o := range list {
		have := o.(Peer)
		self := have.PublicKey == p.PublicKey
		// An endpoint cannot be unsaid, so a peer that had none is made anew.
		if self && (have.Endpoint.IsValid() || !p.Endpoint.IsValid()) {
			inverse = inverse[1:]
		}
		if self || slices.ContainsFunc(have.AllowedIPs, p.allows) {
			inverse = append(inverse, restoring(have))
		}
	}
	return inverse, nil
}

// restoring is the operation that makes an object of List be there. WireGuard's zeros clear what is not set.
func restoring(o Object) Op {
	switch o := o.(type) {
	case Device:
		if o.PrivateKey == nil {
			o.PrivateKey = new(Secret)
		}
		return Op{Set, o}
	case Peer:
		if o.Preshared == nil {
			o.Preshared = new(Secret)
		}
		return Op{Set, o}
	case FDB:
		return Op{Append, o} // may be one of several remotes
	case Sysctl:
		return Op{Set, o}
	case VLAN:
		return Op{Replace, o}
	}
	return Op{Add, o}
}

// rebuilding is what brings an object back once it is deleted, with all that goes away with it.
func (r *Run) rebuilding(ctx context.Context, o Object) (effect, error) {
	switch o := o.(type) {
	case Link:
		have, err := r.scopes.link(ctx, o.Name)
		if have == nil || err != nil {
			return effect{lost: r.hangingOn(o)}, err
		}
		carried, err := r.carried(ctx, *have)
		if err != nil {
			return effect{}, err
		}
		others, err := r.dependent(ctx, *have)
		return effect{inverse: slices.Concat(have.making(), carried, others), lost: r.hangingOn(o)}, err
	case Addr:
		have, err := r.scopes.link(ctx, o.Dev)
		if have == nil || err != nil {
			return effect{lost: r.meant(o)}, err
		}
		carried, err := r.carried(ctx, *have)
		return effect{inverse: carried, lost: r.meant(o)}, err
	}
	if e, ok := r.scopes.ledger.at(o.Key()); ok && r.isTheOne(o, e) {
		return effect{inverse: []Op{restoring(e.object)}, lost: []entry{e}}, nil
	}
	doomed, err := r.listed(ctx, o)
	if err != nil {
		return effect{}, err
	}
	_, route := o.(Route)
	if _, rule := o.(Rule); (route || rule) && len(doomed) > 1 {
		doomed = doomed[:1] // the kernel deletes the first that fits
	}
	if len(doomed) == 0 {
		return effect{lost: r.meant(o)}, nil
	}
	undo := effect{lost: r.owners(doomed)}
	for _, h := range doomed {
		undo.inverse = append(undo.inverse, restoring(h))
	}
	if route {
		have, err := r.at(ctx, doomed[0])
		if err != nil {
			return effect{}, err
		}
		undo.behind = after(doomed[0], have)
	}
	return undo, nil
}

// behind is what the kernel has at the object's key after the object, where a scope has put something beside another.
func (r *Run) behind(ctx context.Context, o Object) ([]Object, error) {
	if !twins(o) || !r.scopes.ledger.hasBeside(o.Key()) {
		return nil, nil
	}
	have, err := r.at(ctx, o)
	return after(o, have), err
}

// after is what comes after the object among those; all of them where it is not there.
func after(o Object, have []Object) []Object {
	return have[slices.IndexFunc(have, func(h Object) bool { return isAs(o, h) })+1:]
}

// isTheOne reports whether nothing but the entry can be what a deletion means. The kernel need not be asked then.
func (r *Run) isTheOne(o Object, e entry) bool {
	switch o := o.(type) {
	case Route: // the lowest metric goes first, and IPv6 has lower ones than that of a route which says none
		return means(o, e.object) && !r.scopes.ledger.hasBeside(o.Key()) && (o.Dst.Addr().Is4() || o.Metric != 0)
	case Neigh:
		return true
	case FDB:
		return means(o, e.object) && !o.floods()
	}
	return false
}

// exact says of a route what a deletion would otherwise take from whichever comes first.
func exact(o Object) Object {
	r, ok := o.(Route)
	if !ok {
		return o
	}
	if r.Dst.Addr().Is6() {
		r.Metric = cmp.Or(r.Metric, defaultMetric6)
	} else if r.Type == "" && len(r.Hops) == 1 && !r.Hops[0].Via.IsValid() {
		r.Scope = cmp.Or(r.Scope, "link")
	}
	return r
}

// carried is how to make what hangs on a link, each after what it needs. What the kernel makes by itself, or learns, is
// left to it.
func (r *Run) carried(ctx context.Context, l Link) ([]Op, error) {
	likes := []Object{Addr{Dev: l.Name}, Neigh{Dev: l.Name}, FDB{Dev: l.Name}, Route{Table: AnyTable}}
	if l.Kind == "wireguard" {
		likes = append(likes, Device{Name: l.Name}, Peer{Dev: l.Name})
	}
	var found []Object
	for _, like := range likes {
		list, err := r.List(ctx, like)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if hangsOn(o, l.Name) && lasting(o) {
				found = append(found, o)
			}
		}
	}
	for _, e := range r.scopes.ledger.hanging(l.Name) {
		if s, ok := e.object.(Sysctl); ok {
			list, err := r.List(ctx, narrow(s))
			if err != nil {
				return nil, err
			}
			found = append(found, list...)
		}
	}
	slices.SortStableFunc(found, func(a, b Object) int { return cmp.Compare(turn(a), turn(b)) })
	ops, err := r.vlans(ctx, l)
	for _, o := range found {
		ops = append(ops, restoring(o))
	}
	return ops, err
}

// lasting reports whether somebody made the object, and it stays until somebody deletes it.
func lasting(o Object) bool {
	const byKernel, local = 2, 255
	switch o := o.(type) {
	case Addr:
		return !slices.Contains(o.Flags, "dynamic")
	case Route:
		return o.Protocol != byKernel && o.Table != local
	case Neigh:
		return o.State == "permanent"
	case FDB:
		return o.Dst.IsValid() && o.State != "dynamic" && o.State != "stale"
	}
	return true
}

// allows reports whether the prefix is among those that the peer is to have.
func (p Peer) allows(ip netip.Prefix) bool { return slices.Contains(p.AllowedIPs, ip) }
