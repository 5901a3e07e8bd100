package leasetest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlayd/overlayd/lease"
)

func TestMemory(t *testing.T) {
	TestStore(t, func(*testing.T) Harness {
		m := NewMemory()
		return Harness{Store: m, Put: m.Put, Remove: m.Remove, Expire: m.Expire}
	})
}

func TestMemoryExpiresInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		h := Harness{Store: m}
		sets := watch(t, h, lease.Snapshot{}, nil)
		renewed, left := create(t, h, sample("10.5.1.0/24", "")), create(t, h, sample("10.5.2.0/24", ""))
		await(t, sets, "both", renewed, left)
		time.Sleep(ttl / 2)
		if err := m.Renew(t.Context(), renewed); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ttl / 2)
		await(t, sets, "the one renewed", renewed)
		time.Sleep(ttl / 2)
		await(t, sets, "none", []lease.Record{}...)
	})
}
