package kernel

import (
	"encoding/json"
	"strconv"
)

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
	VLAN   *VLAN   `json:"vlan,omitzero"`
	Device *Device `json:"device,omitzero"`
	Peer   *Peer   `json:"peer,omitzero"`
	Sysctl *Sysctl `json:"sysctl,omitzero"`

	made Object // what is to be written, of which the field of its kind is made when package json has to write it
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
	case r.VLAN != nil:
		return *r.VLAN
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
	return record{Scope: e.scope, Place: e.place, Set: e.set, made: e.object}
}

// MarshalJSON is for package json.
func (r record) MarshalJSON() ([]byte, error) {
	switch o := r.made.(type) {
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
	case VLAN:
		r.VLAN = &o
	case Device:
		r.Device = &o
	case Peer:
		r.Peer = &o
	case Sysctl:
		r.Sysctl = &o
	}
	type fields record
	return json.Marshal(fields(r))
}

// AppendJSON appends what json.Marshal would write, for the three kinds of objects of which a start writes thousands. ok is false
// for any other record.
func (r record) AppendJSON(b []byte) (_ []byte, ok bool) {
	if r.Set != nil || !isBare(r.Scope) || !isBare(r.Place) {
		return b, false
	}
	b = append(append(append(b, `{"scope":"`...), r.Scope...), `","place":"`...)
	b = append(append(b, r.Place...), `",`...)
	if r.Scope == "" {
		return b, false
	}
	switch o := r.made.(type) {
	case Route:
		b, ok = o.appendJSON(b)
	case Neigh:
		b, ok = o.appendJSON(b)
	case FDB:
		b, ok = o.appendJSON(b)
	}
	return append(b, '}'), ok
}

func (r Route) appendJSON(b []byte) (_ []byte, ok bool) {
	if !r.isPlain() || r.Type != "" || r.Table != 0 || r.Hops[0].Weight != 0 || !r.Hops[0].Via.IsValid() || !isBare(r.Hops[0].Dev) || r.Hops[0].Dev == "" {
		return b, false
	}
	b = append(r.Dst.AppendTo(append(b, `"route":{"Dst":"`...)), `","Hops":[{"Via":"`...)
	b = append(append(append(r.Hops[0].Via.AppendTo(b), `","Dev":"`...), r.Hops[0].Dev...), '"')
	if r.Hops[0].Onlink {
		b = append(b, `,"Onlink":true`...)
	}
	b = append(b, `}]`...)
	if r.Metric != 0 {
		b = strconv.AppendInt(append(b, `,"Metric":`...), int64(r.Metric), 10)
	}
	if r.Protocol != 0 {
		b = strconv.AppendInt(append(b, `,"Protocol":`...), int64(r.Protocol), 10)
	}
	return append(b, '}'), true
}

func (n Neigh) appendJSON(b []byte) (_ []byte, ok bool) {
	if n != (Neigh{IP: n.IP, Dev: n.Dev, Address: n.Address}) || !n.IP.IsValid() || n.Dev == "" || n.Address == "" || !isBare(n.Dev) || !isBare(string(n.Address)) {
		return b, false
	}
	b = n.IP.AppendTo(append(b, `"neigh":{"IP":"`...))
	b = append(append(b, `","Dev":"`...), n.Dev...)
	return append(append(append(b, `","Address":"`...), n.Address...), `"}`...), true
}

func (f FDB) appendJSON(b []byte) (_ []byte, ok bool) {
	rest := f.Master || f.State != "" || f.VLAN != 0 || f.Port != 0 || f.VNI != 0 || f.SourceVNI != 0 || f.NextHop != 0 || f.Via != ""
	if rest || !f.Dst.IsValid() || f.Dev == "" || f.Address == "" || !isBare(f.Dev) || !isBare(string(f.Address)) {
		return b, false
	}
	b = append(append(b, `"fdb":{"Address":"`...), f.Address...)
	b = append(append(b, `","Dev":"`...), f.Dev...)
	return append(f.Dst.AppendTo(append(b, `","Dst":"`...)), `"}`...), true
}

// isBare reports whether the text stands in JSON as it is.
func isBare(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
