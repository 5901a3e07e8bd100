package kernel

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

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

// BenchmarkPeer is the vxlan example's three objects of one peer, bare and in a scope with a ledger.
func BenchmarkPeer(b *testing.B) {
	k, _ := benchKernel(b)
	peer := func(i int) []Op {
		at := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		hardware := MAC(fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)))
		return []Op{
			{Add, Route{Dst: netip.PrefixFrom(at, 24), Metric: i + 1, Hops: []Hop{{Via: at, Dev: "vx", Onlink: true}}}},
			{Replace, Neigh{IP: at, Dev: "vx", Address: hardware}},
			{Add, FDB{Address: hardware, Dev: "vx", Dst: ip("192.0.2.7")}},
		}
	}
	link := []Op{{Del, vx}, {Add, vx}, {Set, vxUp}}
	for _, bb := range []struct {
		name string
		add  func(i int) error
	}{
		{"bare", func(i int) error { return k.Do(b.Context(), peer(i)...) }},
		{"scope", func() func(int) error {
			scopes, err := newScopes(k, filepath.Join(b.TempDir(), "ledger"), journal.Life{}, quiet)
			if err != nil {
				b.Fatal(err)
			}
			return func(i int) error {
				run := scopes.Begin(fmt.Sprint(i))
				defer run.Keep()
				return run.Do(b.Context(), peer(i)...)
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
