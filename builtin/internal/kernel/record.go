package kernel

// A record is one line of the file: an object that a scope has come to own, or a place that nobody owns any more.
type record struct {
	Scope  string  `json:"scope,omitzero"`
	Place  string  `json:"place"`
	Link   *Link   `json:"link,omitzero"`
	Set    *Link   `json:"set,omitzero"` // what was set of the link after it was made
	Addr   *Addr   `json:"addr,omitzero"`
	Route  *Route  `json:"route,omitzero"`
	Rule   *Rule   `json:"rule,omitzero"`
	Neigh  *Neigh  `json:"neigh,omitzero"`
	FDB    *FDB    `json:"fdb,omitzero"`
	Device *Device `json:"device,omitzero"`
	Peer   *Peer   `json:"peer,omitzero"`
	Sysctl *Sysctl `json:"sysctl,omitzero"`
}

func (r record) entry() entry {
	return entry{scope: r.Scope, place: r.Place, object: r.object(), set: r.Set}
}

func (r record) object() Object {
	switch {
	case r.Link != nil:
		return *r.Link
	case r.Addr != nil:
		return *r.Addr
	case r.Route != nil:
		return *r.Route
	case r.Rule != nil:
		return *r.Rule
	case r.Neigh != nil:
		return *r.Neigh
	case r.FDB != nil:
		return *r.FDB
	case r.Device != nil:
		return *r.Device
	case r.Peer != nil:
		return *r.Peer
	case r.Sysctl != nil:
		return *r.Sysctl
	}
	return nil
}

func (e entry) record() record {
	r := record{Scope: e.scope, Place: e.place, Set: e.set}
	switch o := e.object.(type) {
	case Link:
		r.Link = &o
	case Addr:
		r.Addr = &o
	case Route:
		r.Route = &o
	case Rule:
		r.Rule = &o
	case Neigh:
		r.Neigh = &o
	case FDB:
		r.FDB = &o
	case Device:
		r.Device = &o
	case Peer:
		r.Peer = &o
	case Sysctl:
		r.Sysctl = &o
	}
	return r
}
