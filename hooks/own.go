package hooks

import "github.com/overlayd/overlayd/lease"

// A Teller is Leases that also say what the own lease says by now: public addresses may change while it is held.
type Teller interface {
	Own() lease.Lease
}

// current is the node as peers' hooks see it now.
func (r *runner) current(n Node) Node {
	if t, ok := r.Leases.(Teller); ok {
		n.Lease = t.Own()
	}
	return n
}
