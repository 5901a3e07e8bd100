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
		undo.inverse, err = r.inverseLink(ctx, o)
		return undo, err
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
	lost := slices.DeleteFunc(r.owners(have[:1]), func(e entry) bool { return e.place == key })
	return effect{[]Op{{Replace, have[0]}}, lost}, nil
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

func (r *Run) inverseLink(ctx context.Context, l Link) ([]Op, error) {
	have, err := r.scopes.link(ctx, l.Name)
	if have == nil || err != nil {
		return nil, err
	}
	back := Link{Name: l.Name, MTU: have.MTU, TxQueue: have.TxQueue}
	if l.Rename != "" {
		back.Name, back.Rename = l.Rename, l.Name
	}
	if l.Address != "" {
		back.Address = have.Address
	}
	if l.Alias != "" || l.NoAlias {
		back.Alias, back.NoAlias = have.Alias, have.Alias == ""
	}
	if l.State != Unsaid {
		back.State = have.State
	}
	if l.Master != "" || l.NoMaster {
		back.Master, back.NoMaster = have.Master, have.Master == ""
	}
	if l.VXLAN != nil && have.VXLAN != nil {
		v := *have.VXLAN
		v.Local, v.Remote = orUnspecified(v.Local, l.VXLAN.Local), orUnspecified(v.Remote, l.VXLAN.Remote)
		back.Lower, back.VXLAN = have.Lower, &v
	}
	back.restore(l, *have)
	inverse := []Op{{Set, back}}
	// A new link-layer address makes the kernel forget the neighbours, permanent ones too. A link that goes down loses its routes
	// and its IPv6 addresses, also when it was down before it came up.
	if l.State != Unsaid && l.State != have.State || l.Address != "" {
		carried, err := r.carried(ctx, *have)
		return append(inverse, carried...), err
	}
	return inverse, nil
}

// orUnspecified is the address, or what takes away one that is as the other.
func orUnspecified(a, other netip.Addr) netip.Addr {
	switch {
	case a.IsValid() || !other.IsValid():
		return a
	case other.Is6():
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// restore says what the link has now of the things that it is about to be told.
func (l *Link) restore(told, have Link) {
	if told.Group != nil {
		if l.Group = have.Group; l.Group == nil {
			l.Group = new(int)
		}
	}
	if told.Broadcast != "" {
		l.Broadcast = have.Broadcast
	}
	if told.AddrGen != "" && have.Details != nil {
		l.AddrGen = have.Details.AddrGen
	}
	for word := range told.Switches {
		if l.Switches == nil {
			l.Switches = Options{}
		}
		s := linkSwitches[word]
		l.Switches[word] = onOff(slices.Contains(have.Flags, s.flag) != s.inverted)
	}
	if told.Options != nil {
		l.Kind, l.Options = have.Kind, have.Options.before(have.Kind, told.Options)
	}
	if told.Port != nil {
		l.Port = have.Port.before("bridge_slave", told.Port)
	}
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
		return effect{append(have.making(), carried...), r.hangingOn(o)}, err
	case Addr:
		have, err := r.scopes.link(ctx, o.Dev)
		if have == nil || err != nil {
			return effect{lost: r.meant(o)}, err
		}
		carried, err := r.carried(ctx, *have)
		return effect{carried, r.meant(o)}, err
	}
	if e, ok := r.scopes.ledger.at(o.Key()); ok && r.isTheOne(o, e) {
		return effect{[]Op{restoring(e.object)}, []entry{e}}, nil
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
	return undo, nil
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

// making is how a link is made that List has found. The link-layer address of tunnels is their outer IP address.
func (l Link) making() []Op {
	anew := Link{
		Name: l.Name, Kind: l.Kind, MTU: l.MTU, TxQueue: l.TxQueue, TxQueues: l.TxQueues, RxQueues: l.RxQueues,
		Lower: l.Lower, Peer: l.Peer, VXLAN: l.VXLAN, Options: l.Options,
	}
	if l.Encap == "ether" || l.Encap == "" {
		anew.Address = l.Address
	}
	if d := l.Details; d != nil && len(d.Sizes) >= 2 {
		anew.TxQueues, anew.RxQueues = d.Sizes[0].Value, d.Sizes[1].Value
	}
	rest := Link{Name: l.Name, Alias: l.Alias, Master: l.Master, State: l.State, Group: l.Group}
	rest.Switches = l.unusual()
	ops := []Op{{Add, anew}}
	if rest.command(Set) != (Link{Name: l.Name}).command(Set) {
		ops = append(ops, Op{Set, rest})
	}
	if l.Port != nil && l.Master != "" {
		ops = append(ops, Op{Set, Link{Name: l.Name, Port: l.Port}})
	}
	return ops
}

// unusual are the switches that stand otherwise than a new link of the kind has them.
func (l Link) unusual() (switches Options) {
	for word, usual := range map[string]string{"allmulticast": "off", "promisc": "off", "dynamic": "off", "arp": "on", "multicast": "on"} {
		s := linkSwitches[word]
		state := onOff(slices.Contains(l.Flags, s.flag) != s.inverted)
		certain := usual == "off" || l.Encap == "ether" && !slices.Contains([]string{"dummy", "vrf", "ifb"}, l.Kind)
		if state != usual && certain && l.Flags != nil {
			switches = switches.with(Options{word: state})
		}
	}
	return switches
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
	var ops []Op
	for _, o := range found {
		ops = append(ops, restoring(o))
	}
	return ops, nil
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
