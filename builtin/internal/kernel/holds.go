package kernel

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// sets puts into now what was known of the entry's link and what is said of it. It reports whether that is anything new.
func (e entry) sets(now *entry, said Link) bool {
	set := Link{Name: said.Name}
	if e.set != nil {
		set = *e.set
	}
	before := set
	set.MTU = cmp.Or(said.MTU, set.MTU)
	set.Address = cmp.Or(said.Address, set.Address)
	set.State = cmp.Or(said.State, set.State)
	if said.Master != "" || said.NoMaster {
		set.Master, set.NoMaster = said.Master, said.NoMaster
	}
	if set.Group = cmp.Or(said.Group, set.Group); said.Options != nil {
		set.Kind, set.Options = said.Kind, set.Options.with(said.Options)
	}
	set.Port, set.Switches = set.Port.with(said.Port), set.Switches.with(said.Switches)
	now.object, now.set = e.object, &set
	return set.command(Set) != before.command(Set)
}

// holds reports whether one of the objects, which the kernel has at the key of the entry's, is what the scope has made. What
// the kernel may change by itself is not looked at, nor is what comes to an end by itself.
func (e entry) holds(have []Object) bool {
	if perishes(e.object) {
		return true
	}
	return slices.ContainsFunc(have, func(h Object) bool { return isAs(e.object, h) && (e.set == nil || isAs(*e.set, h)) })
}

// perishes reports whether the kernel forgets the object in time.
func perishes(o Object) bool {
	switch o := o.(type) {
	case Addr:
		return o.Life != nil && o.Life.Valid != Forever
	case Neigh:
		return stateOr(o.State) != "permanent"
	case FDB:
		return !slices.Contains([]string{"permanent", "static"}, stateOr(o.State))
	}
	return false
}

// isAs reports whether all that is said of the first, as it was made, is true of the other.
func isAs(made, have Object) bool {
	switch m := made.(type) {
	case Link:
		h, ok := have.(Link)
		return ok && m.isAs(h)
	case Addr:
		h, ok := have.(Addr)
		return ok && m.Prefix == h.Prefix && m.Peer == h.Peer
	case Route:
		h, ok := have.(Route)
		return ok && m.isAs(h)
	case Rule:
		h, ok := have.(Rule)
		return ok && m.covers(h)
	case Neigh:
		h, ok := have.(Neigh)
		return ok && m.Address == h.Address && h.State == "permanent"
	case FDB:
		h, ok := have.(FDB)
		return ok && unsaidOr(m.Dst, h.Dst) && !perishes(h)
	case VLAN:
		h, ok := have.(VLAN)
		return ok && m == h
	case Device:
		h, ok := have.(Device)
		return ok && m.isAs(h)
	case Peer:
		h, ok := have.(Peer)
		return ok && m.isAs(h)
	case Sysctl:
		h, ok := have.(Sysctl)
		return ok && oneBlank(m.Value) == oneBlank(h.Value)
	}
	return true
}

func (l Link) isAs(have Link) bool {
	v, h := l.VXLAN, have.VXLAN
	return unsaidOr(l.Kind, have.Kind) && unsaidOr(l.MTU, have.MTU) && unsaidOr(l.Address, have.Address) && unsaidOr(l.State, have.State) &&
		unsaidOr(l.Master, have.Master) && !(l.NoMaster && have.Master != "") &&
		(v == nil || h != nil && v.ID == h.ID && unsaidOr(v.Port, h.Port) && unsaidOr(specified(v.Local), h.Local) && v.Learning == h.Learning) &&
		l.Options.areIn(have.Kind, have.Options) && l.Port.areIn("bridge_slave", have.Port)
}

// isAs knows the private key by its public one. A port of 0 is any.
func (d Device) isAs(have Device) bool {
	return unsaidOr(d.PublicKey, have.PublicKey) && (d.ListenPort == nil || *d.ListenPort == 0 || same(d.ListenPort, have.ListenPort)) &&
		(d.Mark == nil || same(d.Mark, have.Mark))
}

// isAs leaves the endpoint out, which follows the peer wherever it goes.
func (p Peer) isAs(have Peer) bool {
	allowed := slices.IndexFunc(p.AllowedIPs, func(ip netip.Prefix) bool { return !have.allows(ip.Masked()) }) < 0
	return allowed && (!p.ReplaceIPs || len(p.AllowedIPs) == len(have.AllowedIPs)) &&
		(p.Keepalive == nil || have.Keepalive == nil || *p.Keepalive == *have.Keepalive) &&
		(p.Preshared == nil || same(secret(wgtypes.Key(*p.Preshared)), have.Preshared))
}

func (r Route) isAs(have Route) bool {
	if r.Type == "unicast" {
		r.Type = ""
	}
	return r.Type == have.Type && unsaidOr(r.Protocol, have.Protocol) && r.leadsAs(have) && unsaidOr(r.Src, have.Src) && unsaidOr(r.Scope, have.Scope) &&
		unsaidOr(r.MTU, have.MTU) && unsaidOr(r.AdvMSS, have.AdvMSS)
}

// leadsAs reports whether the route's hops are the other's. IPv6 routes that differ in their gateways alone are one to the
// kernel, so that the only hop of one may be one of several.
func (r Route) leadsAs(have Route) bool {
	same := func(made, have Hop) bool { return made.Via == have.Via && unsaidOr(made.Dev, have.Dev) }
	if len(r.Hops) == 1 && r.Dst.Addr().Is6() {
		return slices.ContainsFunc(have.Hops, func(h Hop) bool { return same(r.Hops[0], h) })
	}
	return r.Hops == nil || slices.EqualFunc(r.Hops, have.Hops, same)
}
