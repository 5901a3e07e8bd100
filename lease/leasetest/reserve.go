package leasetest

import (
	"errors"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

func testReserve(t *testing.T, h Harness) {
	held := create(t, h, sample("10.5.1.0/24", "fc00:1::/64"))
	before := load(t, h)
	reserve := func(seen lease.Snapshot, v4, v6 string) (lease.Record, error) {
		return h.Store.Reserve(t.Context(), seen, sample(v4, v6))
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
	if _, err := reserve(before, "10.5.3.0/24", ""); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("reserve with a stale snapshot: got %v, want ErrTaken", err)
	}
	turned, err := reserve(load(t, h), "10.5.1.0/24", "fc00:1::/64")
	if err != nil {
		t.Fatal(err)
	}
	if !free.Reserved() || !turned.Reserved() {
		t.Errorf("got %+v and %+v, want reservations", free, turned)
	}
	h.Expire(held)
	diff(t, "loaded", load(t, h).Records, []lease.Record{turned, free})
	if err := h.Store.Renew(t.Context(), held); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal of the lease that became a reservation: got %v, want ErrLost", err)
	}
	seen := load(t, h)
	h.Remove(turned.Key())
	if _, err := reserve(seen, "10.5.1.0/24", "fc00:1::/64"); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("reserve over what was removed since: got %v, want ErrTaken", err)
	}
}
