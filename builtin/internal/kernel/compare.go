package kernel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// few is how many objects are looked for one by one rather than in a list of all there are. Apply makes more than that without a look.
const few = 64

// A Difference is an object that the kernel does not have as it is described.
type Difference struct {
	Index int    // of the object
	Have  Object // what is in its place; nil when nothing is
	Over  bool   // Have is not in its place: it is another route there, which packets take instead
}

// compareLists is a Compare that asks for whole lists.
func compareLists(ctx context.Context, k Kernel, objects []Object) (differences []Difference, err error) {
	have, err := survey(ctx, k, objects)
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		there := have[spot(o)]
		switch {
		case slices.ContainsFunc(there, func(h Object) bool { return isAs(o, h) }):
		case len(there) > 0:
			differences = append(differences, Difference{Index: i, Have: there[0]})
		default:
			differences = append(differences, Difference{Index: i})
		}
		r, ok := o.(Route)
		if !ok || !r.isSpread() {
			continue
		}
		for _, h := range over(r, have) {
			differences = append(differences, Difference{i, h, true})
		}
	}
	return differences, nil
}

// isPlain reports whether the route says no more than its prefix, table, metric, protocol and only hop.
func (r *Route) isPlain() bool {
	return len(r.Hops) == 1 && (r.Type == "" || r.Type == "unicast") && r.Table >= 0 &&
		!r.From.IsValid() && r.TOS == 0 && !r.Src.IsValid() && r.Scope == "" && r.MTU == 0 && r.AdvMSS == 0 &&
		len(r.Metrics) == 0 && r.Realms == 0 && r.NextHop == 0 && r.Expires == 0 && r.Pref == ""
}

// over are the routes that packets take instead of r, the best first.
func over(r Route, have map[string][]Object) (routes []Route) {
	for _, list := range have {
		if h, ok := list[0].(Route); ok && r.isUnder(h) {
			routes = append(routes, h)
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return cmp.Compare(a.Metric, b.Metric) })
	return routes
}

// survey is what the kernel has of the kinds, and in the places, of the objects, by spot.
func survey(ctx context.Context, k Kernel, objects []Object) (map[string][]Object, error) {
	asked := map[string]bool{}
	have := map[string][]Object{}
	for _, o := range objects {
		like := wide(o)
		question := fmt.Sprintf("%T %s", like, like.Key())
		if r, ok := like.(Route); ok {
			question += " " + r.hop().Dev
		}
		if asked[question] {
			continue
		}
		asked[question] = true
		list, err := k.List(ctx, like)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			at := spot(o)
			have[at] = append(have[at], o)
		}
	}
	return have, nil
}

// spot is where to look for an object that was made: its key, which a rule has only once the kernel has completed it.
func spot(o Object) string {
	if _, rule := o.(Rule); rule {
		return "rules"
	}
	return o.Key()
}

// wide is what to ask List for to learn of all objects that are like one and in the same place.
func wide(o Object) Object {
	switch o := o.(type) {
	case Link:
		return Link{}
	case Addr:
		return Addr{Dev: o.Dev}
	case Route:
		if len(o.Hops) == 1 && !o.isSpread() {
			return Route{Table: o.Table, Hops: []Hop{{Dev: o.Hops[0].Dev}}}
		}
		return Route{Table: o.Table}
	case Rule:
		return Rule{IPv6: o.IPv6}
	case Neigh:
		return Neigh{Dev: o.Dev}
	case FDB:
		return FDB{Dev: o.Dev}
	case VLAN:
		return VLAN{Dev: o.Dev}
	case Device:
		return Device{Name: o.Name}
	case Peer:
		return Peer{Dev: o.Dev}
	case Sysctl:
		return Sysctl{Name: o.Name}
	}
	return o
}
