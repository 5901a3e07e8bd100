package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/overlayd/overlayd/lease/etcd"
)

// A member is one of a cluster's, with a wire in front of it for clients.
type member struct {
	config *embed.Config
	etcd   *embed.Etcd // nil while it is stopped
	wire   *wire
}

// A cluster is etcd members in this process.
type cluster struct {
	*testing.T
	members  []*member
	direct   []string // endpoints of members that are not in this process
	nodes    []*node
	log      *slog.Logger  // of nodes that join; silent if nil
	requests *atomic.Int64 // that came from clients, streams not counted
}

// quota is how many bytes a member keeps before it counts its disk as full.
const quota = 8 << 20

func startCluster(t *testing.T, size int) *cluster {
	t.Helper()
	c := &cluster{T: t, requests: new(atomic.Int64)}
	initial := ""
	for i := range size {
		peer, client := loopback(t), loopback(t)
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir, cfg.LogLevel = fmt.Sprint("m", i), t.TempDir(), "panic"
		cfg.TickMs, cfg.ElectionMs = 50, 500
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.UnsafeNoFsync = true // no machine fails here
		cfg.QuotaBackendBytes = quota
		cfg.AuthTokenTTL = 1 // second
		cfg.BcryptCost = 4   // the least, since nobody guesses here
		cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(c.count)}
		initial += fmt.Sprintf("%s=%s,", cfg.Name, peer.String())
		c.members = append(c.members, &member{config: cfg, wire: newWire(t, client.Host)})
	}
	for _, m := range c.members {
		m.config.InitialCluster = initial[:len(initial)-1]
	}
	c.start(c.members...)
	t.Cleanup(func() { c.stop(c.members...) })
	return c
}

func (c *cluster) count(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	c.requests.Add(1)
	return handle(ctx, request)
}

func loopback(t *testing.T) url.URL { return url.URL{Scheme: "http", Host: freePort(t)} }

// start starts members, on their data if they ran before, and waits until they serve.
func (c *cluster) start(members ...*member) {
	c.Helper()
	errs := make(chan error)
	for _, m := range members {
		go func() {
			var err error
			m.etcd, err = embed.StartEtcd(m.config)
			errs <- err
		}()
	}
	for range members {
		if err := <-errs; err != nil {
			c.Fatal(err)
		}
	}
	for _, m := range members {
		<-m.etcd.Server.ReadyNotify()
	}
}

func (c *cluster) stop(members ...*member) {
	var wg sync.WaitGroup
	for _, m := range members {
		if m.etcd != nil {
			wg.Go(m.etcd.Close)
		}
	}
	wg.Wait()
	for _, m := range members {
		m.etcd = nil
	}
}

// leader waits until a running member leads, and returns it first, with the others behind it.
func (c *cluster) leader() (leader *member, others []*member) {
	c.Helper()
	await(c.T, "a leader", func() bool {
		leader, others = nil, nil
		for _, m := range c.members {
			if m.etcd != nil && m.etcd.Server.Leader() == m.etcd.Server.MemberID() {
				leader = m
			} else {
				others = append(others, m)
			}
		}
		return leader != nil
	})
	return leader, others
}

// cut lets no message pass between a member and the others; mend ends that.
func cut(alone *member, others []*member) {
	for _, o := range others {
		alone.etcd.Server.CutPeer(o.etcd.Server.MemberID())
		o.etcd.Server.CutPeer(alone.etcd.Server.MemberID())
	}
}

func mend(alone *member, others []*member) {
	for _, o := range others {
		alone.etcd.Server.MendPeer(o.etcd.Server.MemberID())
		o.etcd.Server.MendPeer(alone.etcd.Server.MemberID())
	}
}

// endpoints are those that nodes use, through the wires.
func (c *cluster) endpoints() (all []string) {
	for _, m := range c.members {
		all = append(all, "http://"+m.wire.listener.Addr().String())
	}
	return all
}

// person returns a client of a member that no fault reaches.
func (c *cluster) person(m *member) *clientv3.Client {
	c.Helper()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{m.config.ListenClientUrls[0].String()}})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { client.Close() })
	return client
}

func (c *cluster) eachWire(do func(*wire)) {
	for _, m := range c.members {
		do(m.wire)
	}
}

// await waits until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A wire carries TCP connections to an address, until it is cut.
type wire struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	isCut   bool
	hushed  chan struct{} // closed to let bytes pass again; nil while they do
	streams map[net.Conn]bool
	running sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, streams: map[net.Conn]bool{}}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.cut()
		w.running.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			w.running.Go(func() { w.carry(near) })
		}
	}
}

func (w *wire) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	if w.isCut {
		w.mu.Unlock()
		return
	}
	w.streams[near] = true
	w.mu.Unlock()
	w.running.Go(func() {
		w.copy(far, near)
		far.Close()
	})
	w.copy(near, far)
	w.mu.Lock()
	delete(w.streams, near)
	w.mu.Unlock()
}

// copy carries bytes one way. What comes while the wire is hushed waits, as TCP has it.
func (w *wire) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		hushed := w.hushed
		w.mu.Unlock()
		if hushed != nil {
			<-hushed
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// hush lets no byte pass, and no end of a connection either, until speak.
func (w *wire) hush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hushed = make(chan struct{})
}

func (w *wire) speak() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hushed != nil {
		close(w.hushed)
		w.hushed = nil
	}
}

// cut ends all connections, and each new one at once.
func (w *wire) cut() {
	w.speak()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for c := range w.streams {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}
