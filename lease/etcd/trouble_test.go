package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// watchPeers starts a node on the store, and returns its sets of peers; set, if not nil, is called before each.
func watchPeers(t *testing.T, store lease.Store, set func()) <-chan []lease.Lease {
	t.Helper()
	m := lease.NewManager(store, network(t, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.9.0"}`), lease.ManagerOptions{NodeID: "a"})
	if _, err := m.Acquire(t.Context(), lease.Lease{V4: lease.Path{PublicIP: netip.MustParseAddr("192.0.2.1")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sets, done := make(chan []lease.Lease, 10_000), make(chan error, 1)
	go func() {
		done <- m.Peers(ctx, func(peers lease.Peers) error {
			if set != nil {
				set()
			}
			sets <- lease.List(peers)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v", err)
		}
	})
	return sets
}

// awaitPeers takes sets until one says what is wanted.
func awaitPeers(t *testing.T, sets <-chan []lease.Lease, want string) {
	t.Helper()
	var last string
	await(t, "peers "+want, func() bool {
		for len(sets) > 0 {
			last = says(<-sets)
		}
		return last == want
	})
}

const flannelSays = "10.3.101.0/24 192.0.2.99 %q\n"

func TestASlowConsumerGetsTheLastSet(t *testing.T) {
	t.Parallel()
	client := dial(t, startCluster(t, 1).endpoints()...)
	busy := make(chan struct{})
	sets := watchPeers(t, newStore(t, client), func() { <-busy })
	var last *clientv3.PutResponse
	for i := range 1000 {
		var err error
		value := fmt.Sprintf(`{"PublicIP":"192.0.2.99","PublicIPv6":null,"BackendData":"%d"}`, i)
		if last, err = client.Put(t.Context(), subnets+"10.3.101.0-24", value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Compact(t.Context(), last.Header.Revision); err != nil {
		t.Fatal(err)
	}
	close(busy)
	awaitPeers(t, sets, fmt.Sprintf(flannelSays, "999"))
}

func TestANewOrderOfEndpointsIsNotNoticed(t *testing.T) {
	t.Parallel()
	alive, dead := startCluster(t, 1).endpoints()[0], "http://"+freePort(t)
	client := dial(t, dead, alive)
	sets := watchPeers(t, newStore(t, client), nil)
	for i, endpoints := range [][]string{{dead, alive}, {alive, dead}, {alive}, {dead, alive}} {
		client.SetEndpoints(endpoints...)
		put(t, client, "10.3.101.0-24", fmt.Sprint(i))
		awaitPeers(t, sets, fmt.Sprintf(flannelSays, fmt.Sprint(i)))
	}
}

func TestAnExpiredTokenIsRenewed(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	admin := c.person(c.members[0])
	end := clientv3.GetPrefixRangeEnd("/coreos.com/network/")
	for _, step := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.UserAdd(t.Context(), "node", "secret"); return err },
		func() error { _, err := admin.RoleAdd(t.Context(), "node"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "node", "node"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(t.Context(), "node", "/coreos.com/network/", end, clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	user := etcd.DialOptions{Endpoints: c.endpoints(), Username: "node", PasswordFile: writeFile(t, "password", "secret")}
	other := dialWith(t, user)
	sets := watchPeers(t, newStore(t, dialWith(t, user)), nil)
	for i, expire := range []func(){
		func() { time.Sleep(3 * time.Second) }, // a token lasts for 1 s after its last use
		func() { c.stop(c.members...); c.startStopped() },
		func() { c.eachWire((*wire).cut); time.Sleep(3 * time.Second); c.eachWire((*wire).mend) },
	} {
		expire()
		put(t, other, "10.3.101.0-24", fmt.Sprint(i))
		awaitPeers(t, sets, fmt.Sprintf(flannelSays, fmt.Sprint(i)))
	}
}
