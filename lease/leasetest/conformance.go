package leasetest

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// A Harness is an empty store under test, and what an operator or time can do to it.
type Harness struct {
	Store   lease.Store
	Put     func(key, value string) // writes any value under any key, without an expiry
	Remove  func(key string)
	Expire  func(lease.Record) // makes the record's expiry come now
	Compact func()             // makes the store forget its history; nil if it has none
}

const ttl = time.Hour

// TestStore runs the tests of a lease.Store, each on a store that open returns.
func TestStore(t *testing.T, open func(*testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"a created lease is loaded as written", testCreate},
		{"the first free candidate wins", testCandidates},
		{"each family's subnet is held on its own", testFamilies},
		{"garbage under a subnet's key takes the subnet", testGarbageTakes},
		{"an IPv6 subnet taken behind the writer's back stays taken", testStale},
		{"a create that finds nothing free says what is held", testTaken},
		{"of many creators of one subnet one wins", testRace},
		{"an update replaces only what the writer knows", testUpdate},
		{"an update moves to subnets that nobody else holds", testMove},
		{"a reservation stays one", testReservation},
		{"only what is free or the node's own can be reserved", testReserve},
		{"a reservation over a lease waits for its node", testKept},
		{"a renewal is seen by no watcher", testRenew},
		{"an expired lease is lost to its writer", testExpiry},
		{"a delete removes only what the writer knows", testDelete},
		{"garbage is set aside one by one", testGarbage},
		{"it is known how long a lease lasts", testExpiries},
		{"a watch tells whole sets", testWatch},
		{"a watch begins with what is known", testWatchKnown},
		{"a watch survives forgotten history", testCompaction},
		{"a watch ends with its context or with the error of set", testWatchEnds},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) { test.run(t, open(t)) })
	}
}

func testCreate(t *testing.T, h Harness) {
	for _, l := range []lease.Lease{
		sample("10.5.1.0/24", ""), sample("10.5.2.0/24", "fc00:2::/64"), sample("", "fc00:3::/64"),
	} {
		r, err := h.Store.Create(t.Context(), load(t, h), ttl, l)
		if err != nil {
			t.Fatal(err)
		}
		if r.Reserved() {
			t.Errorf("created %s as a reservation", l)
		}
		diff(t, "created", r.Lease, l)
	}
	s := load(t, h)
	diff(t, "loaded", leases(s), []lease.Lease{sample("", "fc00:3::/64"), sample("10.5.1.0/24", ""), sample("10.5.2.0/24", "fc00:2::/64")})
}

func testCandidates(t *testing.T, h Harness) {
	create(t, h, sample("10.5.1.0/24", ""))
	create(t, h, sample("10.5.2.0/24", ""))
	seen := load(t, h)
	many := []lease.Lease{sample("10.5.1.0/24", ""), sample("10.5.2.0/24", "")}
	for i := range 20 { // more than a store may try in one go
		many = append(many, sample(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 5, byte(10 + i), 0}), 24).String(), ""))
	}
	if _, err := h.Store.Create(t.Context(), seen, ttl, many[:2]...); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("create of taken subnets: got %v, want ErrTaken", err)
	}
	for _, l := range many[2:] { // taken meanwhile, unseen
		create(t, h, l)
	}
	last := sample("10.5.90.0/24", "")
	r, err := h.Store.Create(t.Context(), seen, ttl, append(many, last, sample("10.5.91.0/24", ""))...)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "created", r.Lease, last)
}

func testFamilies(t *testing.T, h Harness) {
	create(t, h, sample("10.5.1.0/24", "fc00:1::/64"))
	for _, l := range []lease.Lease{
		sample("10.5.1.0/24", ""), sample("10.5.1.0/24", "fc00:2::/64"), sample("10.5.2.0/24", "fc00:1::/64"), sample("", "fc00:1::/64"),
	} {
		if _, err := h.Store.Create(t.Context(), load(t, h), ttl, l); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("create %s: got %v, want ErrTaken", l, err)
		}
	}
	create(t, h, sample("10.5.10.0/24", ""))
	create(t, h, sample("10.5.100.0/24", "fc00:2::/64"))
}

func testGarbageTakes(t *testing.T, h Harness) {
	h.Put("10.5.1.0-24", "garbage")
	if _, err := h.Store.Create(t.Context(), load(t, h), ttl, sample("10.5.1.0/24", "")); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	if got := load(t, h).Unreadable; got.Len() != 1 {
		t.Errorf("set aside: got %v, want one", got)
	}
}

func testStale(t *testing.T, h Harness) {
	seen := load(t, h)
	create(t, h, sample("10.5.1.0/24", "fc00:1::/64"))
	stale := sample("10.5.2.0/24", "fc00:1::/64")
	if _, err := h.Store.Create(t.Context(), seen, ttl, stale); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("create with a stale snapshot: got %v, want ErrTaken", err)
	}
	if s := load(t, h); s.Records.Len() != 1 {
		t.Errorf("the store holds %v, want the first alone", s.List())
	}
	if _, err := h.Store.Create(t.Context(), seen, ttl, sample("10.5.2.0/24", "fc00:2::/64")); err != nil {
		t.Errorf("create of other subnets with a stale snapshot: %v", err)
	}
}

func testTaken(t *testing.T, h Harness) {
	seen := load(t, h)
	a, b := create(t, h, sample("10.5.1.0/24", "")), create(t, h, sample("10.5.2.0/24", "fc00:2::/64"))
	h.Put("nonsense", "nonsense")
	_, err := h.Store.Create(t.Context(), seen, ttl, sample("10.5.1.0/24", ""), sample("10.5.2.0/24", "fc00:3::/64"))
	taken, ok := errors.AsType[*lease.TakenError](err)
	if !ok {
		t.Fatalf("got %v, want a TakenError", err)
	}
	diff(t, "held", leases(taken.Now), []lease.Lease{onlySubnets(a.Lease), onlySubnets(b.Lease)})
	if s := load(t, h); taken.Now.Revision != s.Revision || taken.Now.Unreadable.Len() != 1 {
		t.Errorf("got revision %d and aside %v, want revision %d and one", taken.Now.Revision, taken.Now.Unreadable, s.Revision)
	}
	if _, err := h.Store.Create(t.Context(), taken.Now, ttl, sample("10.5.3.0/24", "fc00:3::/64")); err != nil {
		t.Errorf("create of what is free by then: %v", err)
	}
}

func testExpiries(t *testing.T, h Harness) {
	lasting, gone := create(t, h, sample("10.5.1.0/24", "")), create(t, h, sample("10.5.2.0/24", ""))
	h.Expire(gone)
	h.Put("10.5.3.0-24", `{}`)
	e, err := h.Store.Expiries(t.Context(), lasting, gone, load(t, h).List()[1])
	if err != nil {
		t.Fatal(err)
	}
	if e[0].Left <= ttl-time.Minute || e[0].Left > ttl || e[0].Age < 0 || e[0].Age+e[0].Left != ttl || e[1] != (lease.Expiry{}) || e[2] != (lease.Expiry{}) {
		t.Errorf("got %v, want about %s for the one that lasts, and 0 for what is gone or reserved", e, ttl)
	}
}

func testRace(t *testing.T, h Harness) {
	for _, family := range []struct{ v4, v6 string }{{"10.5.1.0/24", ""}, {"", "fc00:1::/64"}} {
		seen := load(t, h)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won, lost := 0, 0
		for range 16 {
			wg.Go(func() {
				_, err := h.Store.Create(t.Context(), seen, ttl, sample(family.v4, family.v6))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, lease.ErrTaken):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 || lost != 15 {
			t.Errorf("%v: %d won and %d lost, want 1 and 15", family, won, lost)
		}
	}
}

func testUpdate(t *testing.T, h Harness) {
	first := create(t, h, sample("10.5.1.0/24", "fc00:1::/64"))
	changed := first.Lease
	changed.V4.PublicIP = netip.MustParseAddr("192.0.2.9")
	second, err := h.Store.Update(t.Context(), first, ttl, changed)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "loaded", load(t, h).List(), []lease.Record{second})
	diff(t, "written", second.Lease, changed)
	if _, err := h.Store.Update(t.Context(), first, ttl, first.Lease); !errors.Is(err, lease.ErrLost) {
		t.Errorf("update of what was updated since: got %v, want ErrLost", err)
	}
	third, err := h.Store.Update(t.Context(), second, 2*ttl, changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Renew(t.Context(), third); err != nil {
		t.Error(err)
	}
	h.Remove(first.Key())
	if _, err := h.Store.Update(t.Context(), third, ttl, changed); !errors.Is(err, lease.ErrLost) {
		t.Errorf("update of what was removed: got %v, want ErrLost", err)
	}
}

func testMove(t *testing.T, h Harness) {
	create(t, h, sample("10.5.2.0/24", "fc00:2::/64"))
	r := create(t, h, sample("10.5.1.0/24", ""))
	for _, l := range []lease.Lease{
		sample("10.5.2.0/24", "fc00:1::/64"), sample("10.5.1.0/24", "fc00:2::/64"), sample("10.5.2.128/25", ""), sample("", "fc00:2::/64"),
	} {
		if _, err := h.Store.Update(t.Context(), r, ttl, l); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("move to %s: got %v, want ErrTaken", l, err)
		}
	}
	for _, l := range []lease.Lease{
		sample("10.5.1.0/24", "fc00:1::/64"), sample("", "fc00:1::/64"), sample("10.5.3.0/24", "fc00:1::/64"), sample("10.5.3.128/25", ""),
	} {
		moved, err := h.Store.Update(t.Context(), r, ttl, l)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "moved", moved.Lease, l)
		if s := load(t, h); s.Records.Len() != 2 || moved.Reserved() {
			t.Errorf("after the move to %s the store holds %v", l, s.List())
		}
		if err := h.Store.Renew(t.Context(), moved); err != nil {
			t.Error(err)
		}
		if _, err := h.Store.Update(t.Context(), r, ttl, sample("10.5.4.0/24", "")); !errors.Is(err, lease.ErrLost) {
			t.Errorf("move of what has moved: got %v, want ErrLost", err)
		}
		r = moved
	}
}

func testReservation(t *testing.T, h Harness) {
	h.Put("10.5.1.0-24", `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
	reserved := load(t, h).List()[0]
	if !reserved.Reserved() {
		t.Fatalf("got %+v, want a reservation", reserved)
	}
	taken, err := h.Store.Update(t.Context(), reserved, ttl, sample("10.5.1.0/24", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !taken.Reserved() {
		t.Error("the update made it expire")
	}
	diff(t, "loaded", load(t, h).List(), []lease.Record{taken})
	if err := h.Store.Renew(t.Context(), taken); err != nil {
		t.Error(err)
	}
	h.Remove("10.5.1.0-24")
	if err := h.Store.Renew(t.Context(), taken); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal of what was removed: got %v, want ErrLost", err)
	}
}

func testRenew(t *testing.T, h Harness) {
	r := create(t, h, sample("10.5.1.0/24", ""))
	before := load(t, h)
	if err := h.Store.Renew(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	diff(t, "after a renewal", load(t, h), before)
	h.Put(r.Key(), `{"PublicIP":"192.0.2.1"}`)
	if err := h.Store.Renew(t.Context(), r); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal of what was overwritten: got %v, want ErrLost", err)
	}
}

func testExpiry(t *testing.T, h Harness) {
	r := create(t, h, sample("10.5.1.0/24", ""))
	other := create(t, h, sample("10.5.2.0/24", ""))
	h.Expire(r)
	diff(t, "loaded", load(t, h).List(), []lease.Record{other})
	if err := h.Store.Renew(t.Context(), r); !errors.Is(err, lease.ErrLost) {
		t.Errorf("renewal: got %v, want ErrLost", err)
	}
	if _, err := h.Store.Update(t.Context(), r, ttl, r.Lease); !errors.Is(err, lease.ErrLost) {
		t.Errorf("update: got %v, want ErrLost", err)
	}
	create(t, h, r.Lease)
}

func testDelete(t *testing.T, h Harness) {
	r := create(t, h, sample("10.5.1.0/24", ""))
	changed := r.Lease
	changed.BackendType = "wireguard"
	newer, err := h.Store.Update(t.Context(), r, ttl, changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Delete(t.Context(), r); !errors.Is(err, lease.ErrLost) {
		t.Errorf("delete of what was updated since: got %v, want ErrLost", err)
	}
	if err := h.Store.Delete(t.Context(), newer); err != nil {
		t.Error(err)
	}
	if err := h.Store.Delete(t.Context(), newer); !errors.Is(err, lease.ErrLost) {
		t.Errorf("second delete: got %v, want ErrLost", err)
	}
	if s := load(t, h); s.Records.Len() != 0 {
		t.Errorf("loaded: got %v, want none", s.List())
	}
}

func testGarbage(t *testing.T, h Harness) {
	good := create(t, h, sample("10.5.1.0/24", ""))
	garbage := map[string]string{
		"$(reboot)":      "{}",
		"10.5.2.0-24":    "not json",
		"10.5.3.0-24":    "null",
		"10.5.4.0-24":    `{"PublicIP":"$(reboot)"}`,
		"10.5.5.0-24":    strings.Repeat(" ", 1<<20) + "{}",
		"10.5.6.0-32":    "{}",
		"10.5.7.0-24/x":  "{}",
		"\x00\xff\n":     "{}",
		"10.5.8.0-24&::": "{}",
	}
	for key, value := range garbage {
		h.Put(key, value)
	}
	s := load(t, h)
	diff(t, "loaded", s.List(), []lease.Record{good})
	found := map[string]string{}
	for _, u := range lease.List(s.Unreadable) {
		if u.Err == nil {
			t.Errorf("%q is set aside without a reason", u.Key)
		}
		found[u.Key] = garbage[u.Key]
	}
	diff(t, "set aside", found, garbage)
}
