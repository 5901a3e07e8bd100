package kernel

import "slices"

// hangsOn reports whether the object is the link of that name or goes away with it.
func hangsOn(o Object, link string) bool {
	switch o := o.(type) {
	case Link:
		return o.Name == link
	case Addr:
		return o.Dev == link
	case Route:
		return slices.ContainsFunc(o.Hops, func(h Hop) bool { return h.Dev == link })
	case Neigh:
		return o.Dev == link
	case FDB:
		return o.Dev == link
	case VLAN:
		return o.Dev == link
	case Device:
		return o.Name == link
	case Peer:
		return o.Dev == link
	case Sysctl:
		return o.ofLink() == link
	}
	return false
}

// renamed is the object after its link has got another name.
func renamed(o Object, from, to string) Object {
	name := func(s *string) {
		if *s == from {
			*s = to
		}
	}
	switch o := o.(type) {
	case Link:
		name(&o.Name)
		name(&o.Master)
		name(&o.Lower)
		name(&o.Peer)
		return o
	case Addr:
		name(&o.Dev)
		return o
	case Route:
		o.Hops = slices.Clone(o.Hops)
		for i := range o.Hops {
			name(&o.Hops[i].Dev)
		}
		return o
	case Neigh:
		name(&o.Dev)
		return o
	case FDB:
		name(&o.Dev)
		return o
	case VLAN:
		name(&o.Dev)
		return o
	case Device:
		name(&o.Name)
		return o
	case Peer:
		name(&o.Dev)
		return o
	case Sysctl:
		return o.renamed(from, to)
	}
	return o
}
