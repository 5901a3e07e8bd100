package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A Pair is one direction between two nodes' overlay addresses of the same family.
type Pair struct {
	From, To *Node
	ping     *pinger
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
				all = append(all, Pair{f, t, p, t.pingers[i].from})
			}
		}
	}
	return all
}

func (p Pair) String() string { return fmt.Sprintf("%s to %s (%s)", p.From, p.To, p.addr) }

// Family is "IPv4" or "IPv6".
func (p Pair) Family() string { return p.ping.family }

// RoundTrips measures each pair's round-trip time, the best of three, one pair after the other. A pair that does not
// answer every ping is missing in the result.
func RoundTrips(ctx context.Context, all []Pair) map[Pair]time.Duration {
	times := make(map[Pair]time.Duration, len(all))
	for _, p := range all {
		best, err := time.Duration(0), error(nil)
		for range 3 {
			var rtt time.Duration
			if rtt, err = p.ping.ping(ctx, p.addr, smallPacket, time.Second); err != nil {
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

const (
	probeWait = 200 * time.Millisecond
	probes    = 3 // of one size before it counts as too large
)

// PathMTU returns the size in bytes of the largest IP packet that comes back unfragmented.
func (p Pair) PathMTU(ctx context.Context) (int, error) {
	low, high := smallPacket, maxPacket+1
	if _, err := p.ping.ping(ctx, p.addr, low, firstWait); err != nil {
		return 0, fmt.Errorf("measure MTU: ping %s: %w", p.addr, err)
	}
	for high-low > 1 && ctx.Err() == nil {
		if middle := (low + high) / 2; p.passes(ctx, middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, ctx.Err()
}

func (p Pair) passes(ctx context.Context, size int) bool {
	for range probes {
		_, err := p.ping.ping(ctx, p.addr, size, probeWait)
		if err == nil {
			return true
		}
		if errors.Is(err, unix.EMSGSIZE) || ctx.Err() != nil {
			return false
		}
	}
	return false
}
