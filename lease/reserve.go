package lease

import (
	"context"
	"errors"
	"fmt"
)

// Reserve sets the subnets of a lease aside for the node that it names by identity, by public address, or by both. A lease
// that the same node holds becomes a reservation with all that the node said. It refuses a subnet that is none of the network's,
// and answers ErrTaken for one that another node holds or that is reserved for another.
func Reserve(ctx context.Context, store Store, n Network, l Lease) (Record, error) {
	if err := n.Admits(l); err != nil {
		return Record{}, fmt.Errorf("reserve %w", err)
	}
	for {
		s, err := store.Load(ctx)
		if err != nil {
			return Record{}, err
		}
		have := s.Records.Get(&Record{Lease: l})
		switch {
		case have != nil && !have.SameNode(l):
			return Record{}, fmt.Errorf("reserve %s: %w by %s", l, ErrTaken, have.holder())
		case have != nil:
			r, err := store.Update(ctx, *have, 0, have.naming(l))
			if !errors.Is(err, ErrLost) {
				return r, err
			}
			continue // somebody wrote meanwhile: look again
		case len(s.Free([]Lease{l})) == 0:
			return Record{}, fmt.Errorf("reserve %s: %w in part or by what is no lease", l, ErrTaken)
		}
		r, err := store.Create(ctx, s, 0, l)
		if !errors.Is(err, ErrTaken) {
			return r, err
		}
	}
}

// SameNode reports whether both leases name the same node. Of identity and public address the identity decides.
func (l Lease) SameNode(o Lease) bool {
	if l.NodeID != "" && o.NodeID != "" {
		return l.NodeID == o.NodeID
	}
	return l.V4.meets(o.V4) || l.V6.meets(o.V6)
}

// naming is what the record says, with the names that the reservation adds.
func (r Record) naming(named Lease) Lease {
	l := r.Lease
	if named.NodeID != "" {
		l.NodeID = named.NodeID
	}
	for _, pair := range [...][2]*Path{{&l.V4, &named.V4}, {&l.V6, &named.V6}} {
		if pair[1].PublicIP.IsValid() {
			pair[0].PublicIP = pair[1].PublicIP
		}
	}
	return l
}

// holder says for people whose the record is.
func (r Record) holder() string {
	text := "the node"
	if r.Reserved() {
		text = "a reservation for the node"
	}
	if r.NodeID != "" {
		text += fmt.Sprintf(" %.64q", r.NodeID)
	}
	if a := r.publicIP(); a.IsValid() {
		text += " at " + a.String()
	}
	return text
}
