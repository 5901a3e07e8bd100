package builtin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/memory"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// memberVariable holds the directory in which the test program is to be an etcd member instead.
const memberVariable = "OVERLAYD_TEST_MEMBER"

// beMember is an etcd member that writes its client URL to standard output, until standard input ends.
func beMember(dir string) error {
	m, err := embedded.Start(context.Background(), embedded.Options{Dir: dir, ListenClient: "http://127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Println(m.Endpoints()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startMember starts an etcd member in a process of its own, so that what it does counts for nobody else, and returns its URL.
func startMember(b *testing.B) string {
	b.Helper()
	member := exec.Command("/proc/self/exe")
	member.Env = append(os.Environ(), memberVariable+"="+filepath.Join(b.TempDir(), "etcd"))
	member.Stderr = os.Stderr
	in, _ := member.StdinPipe()
	out, _ := member.StdoutPipe()
	if err := member.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := member.Wait(); err != nil {
			b.Error(err)
		}
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// A stopwatch measures from the receipt of a watch event to the state of a peer.
type stopwatch struct {
	*control.State
	b  *testing.B
	up chan cost // of one peer

	mu       sync.Mutex
	received time.Time
	used     float64
}

// ObservePeer is part of hooks.Observer.
func (s *stopwatch) ObservePeer(p hooks.PeerStatus) {
	s.State.ObservePeer(p)
	if p.State == hooks.PeerUp {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.up <- cost{time.Since(s.received).Seconds(), processorTime(s.b) - s.used}
	}
}

// dial is etcd.Dial for a client whose watch events start the watch.
func (s *stopwatch) dial(url string) *clientv3.Client {
	s.b.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, DialOptions: []grpc.DialOption{
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, streamer grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			stream, err := streamer(ctx, d, c, method, o...)
			return clocked{stream, s}, err
		}),
	}})
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { client.Close() })
	return client
}

type clocked struct {
	grpc.ClientStream
	watch *stopwatch
}

func (c clocked) RecvMsg(m any) error {
	err := c.ClientStream.RecvMsg(m)
	if r, ok := m.(*etcdserverpb.WatchResponse); ok && len(r.Events) > 0 {
		c.watch.mu.Lock()
		defer c.watch.mu.Unlock()
		c.watch.received, c.watch.used = time.Now(), processorTime(c.watch.b)
	}
	return err
}

// putAll writes leases into etcd, a hundred at a time.
func putAll(b *testing.B, client *clientv3.Client, leases []lease.Lease) {
	b.Helper()
	var ops []clientv3.Op
	for i, l := range leases {
		value, err := lease.EncodeValue(l)
		if err != nil {
			b.Fatal(err)
		}
		ops = append(ops, clientv3.OpPut("/net/subnets/"+l.Key(), string(value)))
		if len(ops) == 100 || i == len(leases)-1 {
			if _, err := client.Txn(b.Context()).Then(ops...).Commit(); err != nil {
				b.Fatal(err)
			}
			ops = nil
		}
	}
}

// BenchmarkJoin is the time from the event of etcd that tells of a new lease, in a cluster of so many, until packets to its node are
// forwarded: all that a daemon does in between, with its memory, its ledger and its status. From its write is what a person
// sees, with etcd and the network between them.
func BenchmarkJoin(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // as the daemon has it
	for _, tt := range []struct {
		kind string
		n    int
	}{{"vxlan", 1000}, {"vxlan", 10000}, {"host-gw", 1000}, {"host-gw", 10000}, {"wireguard", 100}, {"wireguard", 1000}, {"wireguard", 10000}} {
		b.Run(fmt.Sprintf("%s/%d", tt.kind, tt.n), func(b *testing.B) {
			for b.Loop() {
				own, whole := joins(b, tt.kind, tt.n, 50)
				b.ReportMetric(median(own, func(c cost) float64 { return c.wall })*1000, "ms/join")
				b.ReportMetric(median(own, func(c cost) float64 { return c.cpu })*1000, "cpu-ms/join")
				b.ReportMetric(median(whole, func(c cost) float64 { return c.wall })*1000, "ms/join-from-its-write")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// joins has some nodes join a cluster of n, one after the other.
func joins(b *testing.B, kind string, n, some int) (own, whole []cost) {
	all := crowd(kind, n+some)
	network, err := lease.ParseNetwork([]byte(`{"Network": "10.0.0.0/8", "SubnetLen": 25, "SubnetMin": "10.254.0.0", "Backend": {"Type": "` + kind + `"}}`))
	if err != nil {
		b.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	url := startMember(b)
	watch := &stopwatch{State: control.NewState(control.Facts{}), b: b, up: make(chan cost, len(all))}
	writer, err := clientv3.New(clientv3.Config{Endpoints: []string{url}})
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	putAll(b, writer, all[:n])
	store := etcd.New(watch.dial(url), "/net", quiet)
	remembered, err := memory.Open(filepath.Join(b.TempDir(), "peers"), "config", quiet)
	if err != nil {
		b.Fatal(err)
	}
	defer remembered.Close()
	node := newBench(b, kind)
	defer node.close(b) // WireGuard's next one is in the same namespace
	self := node.call.Node
	self.Lease.V4.Subnet = lease.Path{}.Subnet
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- hooks.Run(ctx, hooks.Options{
			Node: self, BackendType: kind, Backend: node.backend, Reason: hooks.Start, Observer: watch, Logger: quiet,
			Leases: lease.NewManager(store, network, lease.ManagerOptions{NodeID: "one", Logger: quiet}), Effects: node.backend, Memory: remembered,
		})
	}()
	for range n {
		<-watch.up
	}
	debug.FreeOSMemory()
	for _, l := range all[n:] {
		began := time.Now()
		putAll(b, writer, []lease.Lease{l})
		own = append(own, <-watch.up)
		whole = append(whole, cost{wall: time.Since(began).Seconds()})
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return own, whole
}
