package leasetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/lease"
)

func testWatch(t *testing.T, h Harness) {
	sets := watch(t, h, lease.Snapshot{}, nil)
	diff(t, "at once", leases(<-sets), []lease.Lease(nil))
	a := create(t, h, sample("10.5.1.0/24", ""))
	b := create(t, h, sample("10.5.2.0/24", "fc00:2::/64"))
	await(t, sets, "both created", a, b)
	h.Put("nonsense", "nonsense")
	changed := a.Lease
	changed.V4.Data = []byte(`{"VNI":2}`)
	a2, err := h.Store.Update(t.Context(), a, ttl, changed)
	if err != nil {
		t.Fatal(err)
	}
	if s := await(t, sets, "one changed", a2, b); s.Unreadable.Len() != 1 {
		t.Errorf("set aside: got %v, want one", lease.List(s.Unreadable))
	}
	h.Remove("nonsense")
	h.Expire(b)
	if s := await(t, sets, "one expired", a2); s.Unreadable.Len() != 0 {
		t.Errorf("set aside: got %v, want none", lease.List(s.Unreadable))
	}
	if err := h.Store.Delete(t.Context(), a2); err != nil {
		t.Fatal(err)
	}
	await(t, sets, "all gone")
}

func testWatchKnown(t *testing.T, h Harness) {
	gone, stays := create(t, h, sample("10.5.1.0/24", "")), create(t, h, sample("10.5.2.0/24", "fc00:2::/64"))
	h.Put("nonsense", "nonsense")
	known := load(t, h)
	h.Remove(gone.Key())
	h.Remove("nonsense")
	late := create(t, h, sample("10.5.3.0/24", ""))
	sets := watch(t, h, known, nil)
	await(t, sets, "what was known", gone, stays)
	if s := await(t, sets, "what happened since", stays, late); s.Unreadable.Len() != 0 {
		t.Errorf("set aside: got %v, want none", lease.List(s.Unreadable))
	}
}

func testCompaction(t *testing.T, h Harness) {
	if h.Compact == nil {
		t.Skip("this store keeps no history")
	}
	gone, stays := create(t, h, sample("10.5.1.0/24", "")), create(t, h, sample("10.5.2.0/24", ""))
	var once sync.Once
	created := make(chan lease.Record, 1)
	sets := watch(t, h, lease.Snapshot{}, func() { // between the list and the watch
		once.Do(func() {
			h.Remove(gone.Key())
			created <- create(t, h, sample("10.5.3.0/24", ""))
			h.Compact()
		})
	})
	await(t, sets, "what was listed", gone, stays)
	late := <-created
	await(t, sets, "what happened in between", stays, late)
	h.Compact()
	next := create(t, h, sample("10.5.4.0/24", ""))
	await(t, sets, "what happened later", stays, late, next)
}

func testWatchEnds(t *testing.T, h Harness) {
	refused := errors.New("refused")
	if err := h.Store.Watch(t.Context(), lease.Snapshot{}, func(lease.Snapshot) error { return refused }, nil); !errors.Is(err, refused) {
		t.Errorf("got %v, want the error of set", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := h.Store.Watch(ctx, lease.Snapshot{}, func(lease.Snapshot) error { cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// watch returns what a watch that begins with the known sets until the test ends, and calls afterSet, if not nil, after each set.
func watch(t *testing.T, h Harness, known lease.Snapshot, afterSet func()) <-chan lease.Snapshot {
	t.Helper()
	sets := make(chan lease.Snapshot, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- h.Store.Watch(ctx, known, func(s lease.Snapshot) error {
			sets <- s
			if afterSet != nil {
				afterSet()
			}
			return nil
		}, nil)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v, want context.Canceled", err)
		}
	})
	return sets
}

// await takes sets until one has exactly the records, and refuses a set that is empty while records are awaited.
func await(t *testing.T, sets <-chan lease.Snapshot, what string, want ...lease.Record) lease.Snapshot {
	t.Helper()
	timeout := time.After(20 * time.Second)
	var last lease.Snapshot
	for {
		select {
		case last = <-sets:
		case <-timeout:
			t.Fatalf("no set with %s; last differs by (-got +want)\n%s", what, cmp.Diff(last.List(), want, options...))
		}
		if len(want) > 1 && last.Records.Len() == 0 {
			t.Fatalf("awaiting %s: got an empty set", what)
		}
		if cmp.Equal(last.List(), want, options...) {
			return last
		}
	}
}
