package builtin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/leasetest"
)

// A growing Store is one that already has many leases, and gets more.
type growing struct {
	*leasetest.Memory
	leases []lease.Lease
	joins  chan lease.Lease
}

// Watch tells of all leases, anew for each that comes, as that of etcd does.
func (g *growing) Watch(ctx context.Context, _ lease.Snapshot, set func(lease.Snapshot) error, _ func(error)) error {
	s, err := g.Load(ctx)
	if err != nil {
		return err
	}
	byKey := func(a, b lease.Record) int { return cmp.Compare(a.Key(), b.Key()) }
	for _, l := range g.leases {
		s.Records = append(s.Records, lease.Record{Lease: l, Revision: 1, ID: 1})
	}
	slices.SortFunc(s.Records, byKey)
	for {
		if err := set(s); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-g.joins:
			r := lease.Record{Lease: l, Revision: 1, ID: 1}
			i, _ := slices.BinarySearchFunc(s.Records, r, byKey)
			s.Records = slices.Insert(slices.Clone(s.Records), i, r)
		}
	}
}

// waiting tells when a peer is up.
type waiting struct {
	hooks.Observer
	up chan string
}

func (w waiting) ObservePeer(p hooks.PeerStatus) {
	if p.State == hooks.PeerUp {
		w.up <- p.Lease.String()
	}
}

// BenchmarkJoin is the time from the word of a new lease, in a cluster of so many, until packets to its node are forwarded.
func BenchmarkJoin(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const rounds = 50
			all := crowd("vxlan", n+rounds)
			network, err := lease.ParseNetwork([]byte(`{"Network": "10.0.0.0/8", "SubnetLen": 25, "SubnetMin": "10.254.0.0", "Backend": {"Type": "vxlan"}}`))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				node := newBench(b, "vxlan")
				store := &growing{leasetest.NewMemory(), all[:n], make(chan lease.Lease)}
				quiet := slog.New(slog.DiscardHandler)
				up := waiting{unobserved{}, make(chan string, len(all))}
				self := node.call.Node
				self.Lease.V4.Subnet = lease.Path{}.Subnet
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error, 1)
				go func() {
					done <- hooks.Run(ctx, hooks.Options{
						Node: self, BackendType: "vxlan", Backend: node.backend, Reason: hooks.Start, Observer: up, Logger: quiet,
						Leases: lease.NewManager(store, network, lease.ManagerOptions{NodeID: "one", Logger: quiet}), Effects: node.set,
					})
				}()
				for range n {
					<-up.up
				}
				runtime.GC()
				var costs []cost
				for _, l := range all[n:] {
					began, used := time.Now(), processorTime(b)
					store.joins <- l
					<-up.up
					costs = append(costs, cost{time.Since(began).Seconds(), processorTime(b) - used})
				}
				b.ReportMetric(median(costs, func(c cost) float64 { return c.wall })*1000, "ms/join")
				b.ReportMetric(median(costs, func(c cost) float64 { return c.cpu })*1000, "cpu-ms/join")
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

type unobserved struct{}

func (unobserved) ObserveNode(hooks.NodeStatus) {}
func (unobserved) ObservePeer(hooks.PeerStatus) {}
func (unobserved) ObserveGone(lease.Lease)      {}
func (unobserved) ObserveHook(hooks.HookRun)    {}
func (unobserved) ObserveListed()               {}
func (unobserved) ObserveTurn()                 {}
