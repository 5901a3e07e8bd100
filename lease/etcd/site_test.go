package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// A site is an etcd that does not wait for its disk, with some stores on it, and knows how often it was asked for what.
type site struct {
	endpoint string
	stores   []*etcd.Store
	clients  []*clientv3.Client
	mu       sync.Mutex
	asked    map[string]int // by the last part of the method's name
}

func newSite(tb testing.TB, connections int) *site {
	tb.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = tb.TempDir()
	cfg.LogLevel = "panic"
	cfg.UnsafeNoFsync = true
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = nil
	cfg.TickMs, cfg.ElectionMs = 100, 1000
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	s := &site{endpoint: e.Clients[0].Addr().String(), asked: map[string]int{}}
	for range connections {
		client := s.dial(tb)
		s.clients = append(s.clients, client)
		s.stores = append(s.stores, newStoreOf(client))
	}
	return s
}

func newStoreOf(client *clientv3.Client) *etcd.Store {
	return etcd.New(client, "/coreos.com/network", slog.New(slog.DiscardHandler))
}

func (s *site) dial(tb testing.TB) *clientv3.Client {
	tb.Helper()
	note := func(method string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[method[strings.LastIndex(method, "/")+1:]]++
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{s.endpoint}, Logger: zap.NewNop(), DialTimeout: 10 * time.Second,
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				note(method)
				return invoke(ctx, method, req, reply, conn, opts...)
			}),
			grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				note(method)
				return streamer(ctx, desc, conn, method, opts...)
			}),
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { client.Close() })
	return client
}

func (s *site) count(method string) int { return s.counts()[method] }

func (s *site) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.asked)
}

// storm lets so many nodes acquire at once, and returns how long the slowest took. No subnet may go to two.
func (s *site) storm(tb testing.TB, config string, nodes int) time.Duration {
	tb.Helper()
	n := parse(tb, config)
	var mu sync.Mutex
	holders := map[netip.Prefix]int{}
	var wg sync.WaitGroup
	began := time.Now()
	for i := range nodes {
		wg.Go(func() {
			m := lease.NewManager(s.stores[i%len(s.stores)], n, lease.ManagerOptions{NodeID: fmt.Sprint("node", i)})
			l, err := m.Acquire(tb.Context(), publicNode(i))
			if err != nil {
				tb.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for p := range l.Paths() {
				holders[p.Subnet]++
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	families := 0
	for _, p := range []lease.Pool{n.V4, n.V6} {
		families += int(min(p.Size(), 1))
	}
	if len(holders) != families*nodes {
		tb.Errorf("%d nodes have %d subnets of %d families", nodes, len(holders), families)
	}
	return took
}

func parse(tb testing.TB, config string) lease.Network {
	tb.Helper()
	n, err := lease.ParseNetwork([]byte(config))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func publicNode(i int) lease.Lease {
	return lease.Lease{V4: lease.Path{PublicIP: netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})}, BackendType: "alloc"}
}

// listPickRetry is the storm by another rule: list, pick one of the first hundred free, and up to ten times again.
func (s *site) listPickRetry(tb testing.TB, config string, nodes int) (took time.Duration, failures int) {
	tb.Helper()
	n := parse(tb, config)
	var failed atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for i := range nodes {
		wg.Go(func() {
			for range 10 {
				if s.listAndPick(tb, s.clients[i%len(s.clients)], n.V4, i) {
					return
				}
			}
			failed.Add(1)
		})
	}
	wg.Wait()
	return time.Since(began), int(failed.Load())
}

func (s *site) listAndPick(tb testing.TB, client *clientv3.Client, p lease.Pool, i int) bool {
	const subnets = "/coreos.com/network/subnets/"
	ctx := tb.Context()
	list, err := client.Get(ctx, subnets, clientv3.WithPrefix())
	if err != nil {
		return false
	}
	taken := map[string]bool{}
	for _, kv := range list.Kvs {
		if _, err := lease.DecodeValue(strings.TrimPrefix(string(kv.Key), subnets), kv.Value); err == nil {
			taken[string(kv.Key)] = true
		}
	}
	var free []string
	for j := uint64(0); j < p.Size() && len(free) < 100; j++ {
		key := subnets + lease.Lease{V4: lease.Path{Subnet: p.At(j)}}.Key()
		if !taken[key] {
			free = append(free, key)
		}
	}
	value, err := lease.EncodeValue(publicNode(i))
	if len(free) == 0 || err != nil {
		return false
	}
	key := free[rand.IntN(len(free))]
	grant, err := client.Grant(ctx, 86400)
	if err != nil {
		return false
	}
	put := clientv3.OpPut(key, string(value), clientv3.WithLease(grant.ID))
	txn, err := client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(put).Commit()
	if err == nil && txn.Succeeded {
		return true
	}
	client.Revoke(ctx, grant.ID)
	return false
}

// fill writes so many leases of other nodes, and forgets what that took.
func (s *site) fill(tb testing.TB, leases int) {
	tb.Helper()
	client := s.clients[0]
	grant, err := client.Grant(tb.Context(), 86400)
	if err != nil {
		tb.Fatal(err)
	}
	var puts []clientv3.Op
	for i := range leases {
		l := publicNode(i)
		l.V4.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		l.NodeID = fmt.Sprint("other", i)
		value, err := lease.EncodeValue(l)
		if err != nil {
			tb.Fatal(err)
		}
		puts = append(puts, clientv3.OpPut("/coreos.com/network/subnets/"+l.Key(), string(value), clientv3.WithLease(grant.ID)))
	}
	for some := range slices.Chunk(puts, 100) {
		if _, err := client.Txn(tb.Context()).Then(some...).Commit(); err != nil {
			tb.Fatal(err)
		}
	}
}

// start takes a node to where it sees its peers, gives its lease back, and returns how many requests the start took.
func (s *site) start(tb testing.TB, peers int) int {
	tb.Helper()
	s.mu.Lock()
	clear(s.asked)
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(tb.Context())
	var watches errgroup.Group
	defer func() {
		cancel()
		if err := watches.Wait(); !errors.Is(err, context.Canceled) {
			tb.Errorf("a watch ended with %v", err)
		}
	}()
	read, err := s.stores[0].Check(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	known := make(chan struct{}, 1)
	watches.Go(func() error {
		return s.stores[0].WatchConfig(ctx, read, func(etcd.Configs) error { known <- struct{}{}; return nil }, nil)
	})
	<-known
	m := lease.NewManager(s.stores[0], parse(tb, `{"Network":"10.0.0.0/8"}`), lease.ManagerOptions{NodeID: "late"})
	if _, err := m.Acquire(tb.Context(), publicNode(65535)); err != nil {
		tb.Fatal(err)
	}
	sets := make(chan int, 10)
	watches.Go(func() error {
		return m.Peers(ctx, func(got lease.Peers) error { sets <- got.Len(); return nil })
	})
	if got := <-sets; got != peers {
		tb.Errorf("got %d peers, want %d", got, peers)
	}
	late := "/coreos.com/network/subnets/10.200.0.0-24"
	if _, err := s.clients[0].Put(tb.Context(), late, "{}"); err != nil { // is seen by the watch
		tb.Fatal(err)
	}
	if got := <-sets; got != peers+1 {
		tb.Errorf("got %d peers, want %d", got, peers+1)
	}
	requests := -1 // the one just now
	for _, n := range s.counts() {
		requests += n
	}
	if _, err := s.clients[0].Delete(tb.Context(), late); err != nil {
		tb.Fatal(err)
	}
	if err := m.Release(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return requests
}

// fanOut lets nodes join one after the other, before watchers with a connection each, and renews each lease. It returns how
// long each join took to reach each watcher, and how many sets came of renewals.
func (s *site) fanOut(tb testing.TB, watchers, joins int) (delays []time.Duration, renewals int64) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	var g errgroup.Group
	defer func() {
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			tb.Errorf("watch ended with %v", err)
		}
	}()
	sets := make(chan int, watchers)
	for range watchers {
		store := newStoreOf(s.dial(tb))
		g.Go(func() error {
			return store.Watch(ctx, lease.Snapshot{}, func(now lease.Snapshot) error { sets <- now.Records.Len(); return nil }, nil)
		})
	}
	for range watchers {
		<-sets
	}
	n := parse(tb, `{"Network":"10.0.0.0/8"}`)
	join := func(i int) (began time.Time) {
		m := lease.NewManager(s.stores[0], n, lease.ManagerOptions{NodeID: fmt.Sprint("node", i)})
		began = time.Now()
		if _, err := m.Acquire(tb.Context(), publicNode(i)); err != nil {
			tb.Fatal(err)
		}
		return began
	}
	for i := range joins {
		began := join(i)
		for seen := 0; seen < watchers; {
			if <-sets == i+1 {
				seen++
				delays = append(delays, time.Since(began))
			}
		}
	}
	now, err := s.stores[0].Load(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range now.List() {
		if err := s.stores[0].Renew(ctx, r); err != nil {
			tb.Fatal(err)
		}
	}
	join(joins) // whatever the renewals caused comes before it
	for seen := 0; seen < watchers; {
		if <-sets == joins+1 {
			seen++
		} else {
			renewals++
		}
	}
	return delays, renewals
}
