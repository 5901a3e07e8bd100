package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/overlayd/overlayd/internal/ping"
)

// A Pair is one direction between two nodes' addresses of the same family, in the overlay if not said otherwise.
type Pair struct {
	From, To *Node
	ping     *ping.Pinger // nil on the underlay
	source   netip.Addr
	addr     netip.Addr
}

// Pairs returns all pairs from one of the first nodes to one of the second, none to itself. The nodes have joined.
func Pairs(from, to []*Node) (all []Pair) {
	for _, f := range from {
		for _, t := range to {
			if f == t {
				continue
			}
			for i, p := range f.pingers {
				all = append(all, Pair{f, t, p, p.From(), t.pingers[i].From()})
			}
		}
	}
	return all
}

// Underlays returns all pairs of the nodes' addresses on the underlay, for a Stream beside that of the overlay: what it loses, the
// machine has lost.
func Underlays(nodes []*Node) (all []Pair) {
	for _, f := range nodes {
		for _, t := range nodes {
			if f == t {
				continue
			}
			for i, source := range f.Addresses() {
				all = append(all, Pair{From: f, To: t, source: source, addr: t.Addresses()[i]})
			}
		}
	}
	return all
}

// String says who pings whom, and at which address.
func (p Pair) String() string { return fmt.Sprintf("%s to %s (%s)", p.From, p.To, p.addr) }

// Family is "IPv4" or "IPv6".
func (p Pair) Family() string { return p.ping.Family() }

// RoundTrips measures each pair's round-trip time, the best of three, one pair after the other. A pair that does not
// answer every ping is missing in the result.
func RoundTrips(ctx context.Context, all []Pair) map[Pair]time.Duration {
	times := make(map[Pair]time.Duration, len(all))
	for _, p := range all {
		best, err := time.Duration(0), error(nil)
		for range 3 {
			var rtt time.Duration
			if rtt, err = p.ping.Ping(ctx, p.addr, ping.Small, time.Second); err != nil {
				break
			}
			if best == 0 || rtt < best {
				best = rtt
			}
		}
		if err == nil {
			times[p] = best
		}
	}
	return times
}

// PathMTU returns the size in bytes of the largest IP packet that comes back unfragmented.
func (p Pair) PathMTU(ctx context.Context) (int, error) { return p.ping.PathMTU(ctx, p.addr) }

// Takes looks whether packets of so many bytes come back unfragmented, and larger ones do not. It waits until the context ends
// for one to come back.
func (p Pair) Takes(ctx context.Context, size int) error {
	if err := p.ping.Takes(ctx, p.addr, size); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}
