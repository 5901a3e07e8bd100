package leasetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

func testReserve(t *testing.T, h Harness) {
	held := create(t, h, sample("10.5.1.0/24", "fc00:1::/64"))
	before := load(t, h)
	reserve := func(seen lease.Snapshot, v4, v6 string) (lease.Record, error) {
		return h.Store.Create(t.Context(), seen, 0, sample(v4, v6))
	}
	for _, l := range [][2]string{{"10.5.1.0/24", ""}, {"10.5.2.0/24", "fc00:1::/64"}, {"10.5.1.128/25", ""}} {
		if _, err := reserve(before, l[0], l[1]); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("reserve %v, of which a part is held: got %v, want ErrTaken", l, err)
		}
	}
	free, err := reserve(before, "10.5.2.0/24", "fc00:2::/64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reserve(before, "10.5.3.0/24", "fc00:2::/64"); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("reserve what was taken since: got %v, want ErrTaken", err)
	}
	turned, err := h.Store.Update(t.Context(), held, 0, held.Lease)
	if err != nil {
		t.Fatal(err)
	}
	if !free.Reserved() || !turned.Reserved() {
		t.Errorf("got %+v and %+v, want reservations", free, turned)
	}
	h.Expire(held)
	diff(t, "loaded", load(t, h).List(), []lease.Record{turned, free})
	if err := h.Store.Renew(t.Context(), held); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal of the lease that became a reservation: got %v, want ErrLost", err)
	}
	if kept, err := h.Store.Update(t.Context(), turned, ttl, turned.Lease); err != nil || !kept.Reserved() {
		t.Errorf("taken by the node that had the lease: got %+v, %v, want a reservation", kept, err)
	}
}

// A reservation that somebody writes over a lease, with flannel's recipe, waits for the node that has it.
func testKept(t *testing.T, h Harness) {
	for key, free := range map[string]func(lease.Record) error{
		"10.5.1.0/24": func(held lease.Record) error { // as the node does, once it has made way
			if err := h.Store.Delete(t.Context(), held); !errors.Is(err, lease.ErrLost) {
				return err
			}
			return nil
		},
		"10.5.2.0/24": func(held lease.Record) error { h.Expire(held); return nil },
	} {
		held := create(t, h, sample(key, ""))
		h.Put(held.Key(), `{"PublicIP":"192.0.2.99","PublicIPv6":null}`)
		claim := func() error {
			s := load(t, h)
			i := slices.IndexFunc(s.List(), func(r lease.Record) bool { return r.Key() == held.Key() })
			other := s.List()[i].Lease
			other.NodeID = "other"
			_, err := h.Store.Update(t.Context(), s.List()[i], ttl, other)
			return err
		}
		if err := claim(); !errors.Is(err, lease.ErrKept) {
			t.Errorf("claim %s while it is held: got %v, want ErrKept", key, err)
		}
		if err := free(held); err != nil {
			t.Error(err)
		}
		if err := claim(); err != nil {
			t.Errorf("claim %s once it is free: %v", key, err)
		}
		if err := claim(); err != nil {
			t.Errorf("take %s again: %v", key, err)
		}
	}
}
