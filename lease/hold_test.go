package lease_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

func TestAHeldLeaseOutlivesItsTTLAndAnOutage(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		before, _ := w.store.Load(w.Context())
		stop := w.holding(m, ignore)
		time.Sleep(100 * time.Hour)
		w.store.Break(errors.New("nobody there"))
		time.Sleep(10 * time.Hour)
		w.store.Break(nil)
		time.Sleep(100 * time.Hour)
		if err := stop(); !errors.Is(err, context.Canceled) {
			w.Errorf("hold: %v", err)
		}
		w.holds(own.Key() + " a")
		if after, _ := w.store.Load(w.Context()); after.Revision != before.Revision {
			w.Errorf("renewals wrote: revision %d, then %d", before.Revision, after.Revision)
		}
		w.logged("watch leases: trying on", "watch leases: works again")
	})
}

func TestALeaseThatWasLostIsTakenAgain(t *testing.T) {
	for name, lose := range map[string]func(w *world, own lease.Lease){
		"deleted":                  func(w *world, own lease.Lease) { w.store.Remove(own.Key()) },
		"expired":                  func(w *world, own lease.Lease) { s, _ := w.store.Load(w.Context()); w.store.Expire(s.List()[0]) },
		"overwritten with garbage": func(w *world, own lease.Lease) { w.store.Put(own.Key(), "x") },
		"expired during a long outage": func(w *world, own lease.Lease) {
			w.store.Break(errors.New("nobody there"))
			time.Sleep(48 * time.Hour)
			w.store.Break(nil)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inWorld(t, "", func(w *world) {
				m := w.manager("a")
				own := w.acquire(m, node(1))
				stop := w.holding(m, ignore)
				lose(w, own)
				time.Sleep(2 * time.Minute)
				if err := stop(); !errors.Is(err, context.Canceled) {
					w.Errorf("hold: %v", err)
				}
				w.holds(own.Key() + " a")
				w.logged("taking it again")
			})
		})
	}
}

func TestALeaseThatSomebodyRewroteForThisNodeIsPutRight(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		stop := w.holding(m, ignore)
		w.store.Put(own.Key(), `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
		time.Sleep(time.Minute)
		if err := stop(); !errors.Is(err, context.Canceled) {
			w.Errorf("hold: %v", err)
		}
		w.holds(own.Key() + " a*") // whoever rewrote it made it a reservation
		w.logged("own lease was overwritten in the store, writing it again")
	})
}

func TestALeaseThatSomebodyRewroteAsItWasIsLeftAlone(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		want := node(1)
		want.V4.Data = []byte(`{ "VNI": 1 }`) // a store gives it back without the spaces
		own := w.acquire(m, want)
		stop := w.holding(m, ignore)
		value, err := lease.EncodeValue(own)
		if err != nil {
			w.Fatal(err)
		}
		w.store.Put(own.Key(), string(value))
		before, _ := w.store.Load(w.Context())
		time.Sleep(time.Minute)
		if err := stop(); !errors.Is(err, context.Canceled) {
			w.Errorf("hold: %v", err)
		}
		if after, _ := w.store.Load(w.Context()); after.Revision != before.Revision {
			w.Errorf("it was written again: revision %d, then %d", before.Revision, after.Revision)
		}
	})
}

func TestALeaseThatAnotherNodeTookIsLost(t *testing.T) {
	for name, take := range map[string]func(w *world, own lease.Lease){
		"overwritten": func(w *world, own lease.Lease) {
			w.store.Put(own.Key(), `{"PublicIP":"192.0.2.99"}`)
		},
		"overwritten by another identity at the same address": func(w *world, own lease.Lease) {
			w.store.Put(own.Key(), `{"PublicIP":"192.0.2.1","NodeID":"b"}`)
		},
		"taken in an outage": func(w *world, own lease.Lease) {
			w.store.Break(errors.New("nobody there"))
			w.store.Remove(own.Key())
			w.store.Put(own.Key()+"&fc00::-64", `{"PublicIP":"192.0.2.99"}`)
			w.store.Break(nil)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inWorld(t, "", func(w *world) {
				m := w.manager("a")
				own := w.acquire(m, node(1))
				stop := w.holding(m, ignore)
				take(w, own)
				time.Sleep(time.Minute)
				if err := stop(); !errors.Is(err, lease.ErrLost) {
					w.Errorf("hold: got %v, want ErrLost", err)
				}
				if next := w.acquire(m, node(1)); next.V4.Subnet == own.V4.Subnet {
					w.Errorf("acquired %s again", next)
				}
			})
		})
	}
}

// While nobody watched, the lease ended, another node took the subnet, and somebody reserved it for this one, by its address.
func TestALeaseThatWasAnothersInBetweenIsLost(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		own := w.acquire(m, node(1))
		w.store.Remove(own.Key())
		other := w.manager("b", own.V4.Subnet)
		if got := w.acquire(other, node(2)); got.Key() != own.Key() {
			w.Fatalf("the other node has %s", got)
		}
		w.store.Put(own.Key(), `{"PublicIP":"192.0.2.1","PublicIPv6":null}`)
		if err := m.Hold(w.Context()); !errors.Is(err, lease.ErrLost) {
			w.Errorf("hold: got %v, want ErrLost", err)
		}
	})
}
