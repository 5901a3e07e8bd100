package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

func network(t *testing.T, text string) lease.Network {
	t.Helper()
	n, err := lease.ParseNetwork([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestManyNodesAtOnceShareANetworkThatHoldsJustThem(t *testing.T) {
	store := newStore(t, dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...))
	n := network(t, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.200.0"}`)
	var mu sync.Mutex
	taken := map[netip.Prefix]int{}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			m := lease.NewManager(store, n, lease.ManagerOptions{NodeID: fmt.Sprint("node", i)})
			l, err := m.Acquire(t.Context(), lease.Lease{V4: lease.Path{PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			taken[l.V4.Subnet]++
		})
	}
	wg.Wait()
	if len(taken) != 200 {
		t.Errorf("200 nodes hold %d subnets", len(taken))
	}
}

func TestAHeldLeaseOutlivesItsTTLUnwritten(t *testing.T) {
	store := newStore(t, dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...))
	n := network(t, `{"EnableIPv6":true,"Network":"10.3.0.0/16","IPv6Network":"fc00::/48"}`)
	acquire := func(id string) (*lease.Manager, lease.Lease) {
		m := lease.NewManager(store, n, lease.ManagerOptions{NodeID: id, TTL: 2 * time.Second})
		l, err := m.Acquire(t.Context(), lease.Lease{V4: lease.Path{PublicIP: netip.MustParseAddr("192.0.2.1")}})
		if err != nil {
			t.Fatal(err)
		}
		return m, l
	}
	m, own := acquire("held")
	_, left := acquire("left")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	held := make(chan error, 1)
	go func() { held <- m.Hold(ctx) }()
	sets := make(chan []lease.Lease, 10)
	watched := make(chan error, 1)
	go func() {
		watched <- m.Peers(ctx, func(peers lease.Peers) error { sets <- lease.List(peers); return nil })
	}()
	if peers := <-sets; len(peers) != 1 || !peers[0].Equal(left) {
		t.Errorf("peers: got %v, want %v", peers, left)
	}
	if peers := <-sets; len(peers) != 0 { // its time has come
		t.Errorf("peers: got %v, want none", peers)
	}
	s, err := store.Load(t.Context())
	if err != nil || s.Records.Len() != 1 || !s.List()[0].Equal(own) || s.List()[0].Revision >= s.Revision {
		t.Errorf("got %+v, %v, want only %s, unwritten since", s, err, own)
	}
	cancel()
	for _, end := range []chan error{held, watched} {
		if err := <-end; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
}
