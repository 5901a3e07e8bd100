package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/overlayd/overlayd/internal/journal"
	"github.com/overlayd/overlayd/internal/netns"
)

// benchKernel opens the real kernel in a new namespace, and package netlink's handle to it.
func benchKernel(b *testing.B) (Kernel, *netlink.Handle) {
	b.Helper()
	ns, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	var k Kernel
	var handle *netlink.Handle
	if err := ns.Do(func() (err error) { k, err = Open(quiet); return err }); err != nil {
		b.Fatal(err)
	}
	if err := ns.Do(func() (err error) { handle, err = netlink.NewHandle(); return err }); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { k.Close(); handle.Close(); ns.Close() })
	return k, handle
}

// peerOps makes what the vxlan example makes for a peer, with a metric of its own.
func peerOps(i int) []Op {
	at := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
	hardware := MAC(fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)))
	return []Op{
		{Add, Route{Dst: netip.PrefixFrom(at, 24), Metric: i + 1, Hops: []Hop{{Via: at, Dev: "vx", Onlink: true}}}},
		{Replace, Neigh{IP: at, Dev: "vx", Address: hardware}},
		{Add, FDB{Address: hardware, Dev: "vx", Dst: ip("192.0.2.7")}},
	}
}

// BenchmarkPeer is the vxlan example's three objects of one peer, bare and in a scope with a ledger.
func BenchmarkPeer(b *testing.B) {
	k, _ := benchKernel(b)
	link := []Op{{Del, vx}, {Add, vx}, {Set, vxUp}}
	for _, bb := range []struct {
		name string
		add  func(i int) error
	}{
		{"bare", func(i int) error { return k.Do(b.Context(), peerOps(i)...) }},
		{"scope", func() func(int) error {
			scopes, err := newScopes(k, filepath.Join(b.TempDir(), "ledger"), journal.Life{}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			return func(i int) error {
				run := scopes.Begin(fmt.Sprint(i))
				defer run.Keep()
				return run.Do(b.Context(), peerOps(i)...)
			}
		}()},
	} {
		b.Run(bb.name, func(b *testing.B) {
			k.Do(b.Context(), link[0]) // is not there at first
			if err := k.Do(b.Context(), link[1:]...); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				if err := bb.add(i % (1 << 16)); err != nil && i < 1<<16 {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLedger is what it costs to own one object and to free it again, in a ledger that has many.
func BenchmarkLedger(b *testing.B) {
	for _, size := range []int{1, 30_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, err := openLedger(filepath.Join(b.TempDir(), "ledger"), journal.Life{}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			defer l.close()
			object := func(i int) entry {
				n := Neigh{IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Dev: "vx", Address: station}
				return entry{scope: fmt.Sprint(i / 3), place: n.Key(), object: n}
			}
			for i := range size {
				if err := l.own(object(i)); err != nil {
					b.Fatal(err)
				}
			}
			one := object(size)
			b.ResetTimer()
			for range b.N {
				if err := l.own(one); err != nil {
					b.Fatal(err)
				}
				l.free(one.place)
			}
		})
	}
}

// BenchmarkRepair is how long it takes from the deletion of a route until it is back, of so many peers with three objects each.
func BenchmarkRepair(b *testing.B) {
	for _, peers := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(peers), func(b *testing.B) {
			ns, err := netns.New()
			if err != nil {
				b.Fatal(err)
			}
			defer ns.Close()
			var k, other Kernel
			err = ns.Do(func() (err error) {
				if k, err = Open(quiet); err == nil {
					other, err = Open(quiet)
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			defer k.Close()
			defer other.Close()
			scopes, err := newScopes(k, filepath.Join(b.TempDir(), "ledger"), journal.Life{}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			node := scopes.Begin("node")
			if err := node.Do(b.Context(), Op{Add, vx}, Op{Set, vxUp}); err != nil {
				b.Fatal(err)
			}
			node.Keep()
			var wants []Want
			for i := range peers {
				w := Want{Scope: fmt.Sprint(i)}
				for _, op := range peerOps(i) {
					w.Objects = append(w.Objects, op.Object)
				}
				wants = append(wants, w)
			}
			if errs := scopes.Apply(b.Context(), slices.Values(wants), func(string) bool { return false }); errs != nil {
				b.Fatal(errs)
			}
			ctx, cancel := context.WithCancel(b.Context())
			back, ended := make(chan string, 100), make(chan error, 2)
			go func() { ended <- scopes.Watch(ctx, time.Hour, func([]string) {}) }()
			go func() {
				ended <- other.Watch(ctx, func(n Notice) {
					if r, ok := n.Object.(Route); ok && !n.Gone {
						back <- r.Key()
					}
				})
			}()
			defer func() { cancel(); <-ended; <-ended }()
			if _, err := scopes.Audit(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				route := wants[i%peers].Objects[0]
				if err := k.Do(b.Context(), Op{Del, route}); err != nil {
					b.Fatal(err)
				}
				for <-back != route.Key() {
				}
				b.StopTimer() // the hook that runs again
				run := scopes.Begin(fmt.Sprint(i % peers))
				if err := run.Do(b.Context(), Op{Add, route}); err != nil {
					b.Fatal(err)
				}
				run.Keep()
				b.StartTimer()
			}
		})
	}
}
