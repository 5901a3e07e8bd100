package kernel

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A record is one line of the file: an object that a scope has come to own, or a place that nobody owns any more.
type record struct {
	scope  string
	place  string // "" for the object's key
	object Object // nil for a place that nobody owns
	set    *Link  // what was set of the link after it was made
}

// written is a record in JSON.
type written struct {
	Scope  string  `json:"scope,omitzero"`
	Place  string  `json:"place,omitzero"`
	Link   *Link   `json:"link,omitzero"`
	Set    *Link   `json:"set,omitzero"`
	Addr   *Addr   `json:"addr,omitzero"`
	Route  *Route  `json:"route,omitzero"`
	Rule   *Rule   `json:"rule,omitzero"`
	Neigh  *Neigh  `json:"neigh,omitzero"`
	FDB    *FDB    `json:"fdb,omitzero"`
	VLAN   *VLAN   `json:"vlan,omitzero"`
	Device *Device `json:"device,omitzero"`
	Peer   *Peer   `json:"peer,omitzero"`
	Sysctl *Sysctl `json:"sysctl,omitzero"`
}

func (r record) entry() entry {
	if r.place == "" {
		return entry{scope: r.scope, place: r.object.Key(), object: r.object, set: r.set, keyed: true}
	}
	return entry{scope: r.scope, place: r.place, object: r.object, set: r.set}
}

func (e entry) record() record {
	r := record{e.scope, e.place, e.object, e.set}
	if e.keyed {
		r.place = ""
	}
	return r
}

// UnmarshalJSON is for package json.
func (r *record) UnmarshalJSON(line []byte) error {
	var w written
	if err := json.Unmarshal(line, &w); err != nil {
		return err
	}
	*r = record{w.Scope, w.Place, w.object(), w.Set}
	return nil
}

func (w written) object() Object {
	switch {
	case w.Link != nil:
		return *w.Link
	case w.Addr != nil:
		return *w.Addr
	case w.Route != nil:
		return *w.Route
	case w.Rule != nil:
		return *w.Rule
	case w.Neigh != nil:
		return *w.Neigh
	case w.FDB != nil:
		return *w.FDB
	case w.VLAN != nil:
		return *w.VLAN
	case w.Device != nil:
		return *w.Device
	case w.Peer != nil:
		return *w.Peer
	case w.Sysctl != nil:
		return *w.Sysctl
	}
	return nil
}

// MarshalJSON is for package json.
func (r record) MarshalJSON() ([]byte, error) {
	w := written{Scope: r.scope, Place: r.place, Set: r.set}
	switch o := r.object.(type) {
	case Link:
		w.Link = &o
	case Addr:
		w.Addr = &o
	case Route:
		w.Route = &o
	case Rule:
		w.Rule = &o
	case Neigh:
		w.Neigh = &o
	case FDB:
		w.FDB = &o
	case VLAN:
		w.VLAN = &o
	case Device:
		w.Device = &o
	case Peer:
		w.Peer = &o
	case Sysctl:
		w.Sysctl = &o
	}
	return json.Marshal(w)
}

// AppendJSON appends what json.Marshal would write, for the three kinds of objects of which a start writes thousands. ok is false
// for any other record.
func (r *record) AppendJSON(b []byte) (_ []byte, ok bool) {
	if r.set != nil || !isBare(r.scope) || !isBare(r.place) {
		return b, false
	}
	b = append(append(append(b, `{"scope":"`...), r.scope...), `",`...)
	if r.place != "" {
		b = append(append(append(b, `"place":"`...), r.place...), `",`...)
	}
	if r.scope == "" {
		return b, false
	}
	switch o := r.object.(type) {
	case Route:
		b, ok = o.appendJSON(b)
	case Neigh:
		b, ok = o.appendJSON(b)
	case FDB:
		b, ok = o.appendJSON(b)
	}
	return append(b, '}'), ok
}

func (r *Route) appendJSON(b []byte) (_ []byte, ok bool) {
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

func (n *Neigh) appendJSON(b []byte) (_ []byte, ok bool) {
	if *n != (Neigh{IP: n.IP, Dev: n.Dev, Address: n.Address}) || !n.IP.IsValid() || n.Dev == "" || n.Address == "" || !isBare(n.Dev) || !isBare(string(n.Address)) {
		return b, false
	}
	b = n.IP.AppendTo(append(b, `"neigh":{"IP":"`...))
	b = append(append(b, `","Dev":"`...), n.Dev...)
	return append(append(append(b, `","Address":"`...), n.Address...), `"}`...), true
}

func (f *FDB) appendJSON(b []byte) (_ []byte, ok bool) {
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
		if !bare[text[i]] {
			return false
		}
	}
	return true
}

// bare are the characters that package json leaves as they are.
var bare = func() (bare [256]bool) {
	for c := ' '; c <= '~'; c++ {
		bare[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return bare
}()
