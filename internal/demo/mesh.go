package demo

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A pair is one direction between two nodes' overlay addresses of the same family.
type pair struct {
	from, to *node
	ping     *pinger
	addr     netip.Addr
}

func (p pair) String() string {
	return fmt.Sprintf("node %d to node %d (%s)", p.from.number, p.to.number, p.addr)
}

// pairs returns all pairs from one of the first nodes to one of the second, none to itself.
func pairs(from, to []*node) (all []pair) {
	for _, f := range from {
		for _, t := range to {
			if f == t {
				continue
			}
			for i, p := range f.pingers {
				all = append(all, pair{f, t, p, t.pingers[i].from})
			}
		}
	}
	return all
}

const (
	meshWait  = time.Minute           // until every pair must have answered
	pingWait  = 50 * time.Millisecond // for the first answer, doubled for each one after it
	pingMost  = time.Second
	pingPause = 10 * time.Millisecond // before a node asks again those that did not answer
)

// reach pings until every pair has answered once. After each node's last answer it calls reached; the error names the
// pairs that had not answered after wait.
func reach(ctx context.Context, wait time.Duration, all []pair, reached func(from *node)) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	missing := map[*node][]pair{}
	for _, p := range all {
		missing[p.from] = append(missing[p.from], p)
	}
	silent := make(chan []pair, len(missing))
	var group errgroup.Group
	for from, its := range missing {
		group.Go(func() error {
			left := reachFrom(ctx, its)
			if len(left) == 0 {
				reached(from)
			}
			silent <- left
			return nil
		})
	}
	group.Wait()
	close(silent)
	var names []string
	for left := range silent {
		for _, p := range left {
			names = append(names, p.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
		return cause
	}
	return fmt.Errorf("no answer to ping within %s from %s", wait, strings.Join(names, ", "))
}

// reachFrom pings each of one node's pairs until it has answered, and returns those that had not when the context ended.
func reachFrom(ctx context.Context, its []pair) []pair {
	for wait := pingWait; ; wait = min(2*wait, pingMost) {
		var left []pair
		for _, p := range its {
			if _, err := p.ping.ping(ctx, p.addr, smallPacket, wait); err != nil {
				left = append(left, p)
			}
		}
		if its = left; len(its) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return its
		case <-time.After(pingPause):
		}
	}
}

// roundTrips measures each pair's round-trip time, the best of three, one pair after the other. A pair that does not
// answer every ping is missing in the result.
func roundTrips(ctx context.Context, all []pair) map[pair]time.Duration {
	times := make(map[pair]time.Duration, len(all))
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
