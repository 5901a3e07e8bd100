package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/ping"
	"github.com/overlayd/overlayd/internal/sleep"
)

const (
	pingWait  = 50 * time.Millisecond // for the first answer, doubled for each one after it
	pingMost  = time.Second
	pingPause = 10 * time.Millisecond // before a node asks again those that did not answer
)

// Reach waits until the daemons say that the nodes of all pairs know each other, and then pings until every pair has
// answered once. After each node's last answer it calls reached, maybe from several goroutines. The error names what was
// missing after wait.
//
// No node pings before both ends know each other, and of two nodes one pings first: a WireGuard handshake that comes
// before its sender is known, or meets the other end's, is tried again only after 5 s.
func Reach(ctx context.Context, wait time.Duration, all []Pair, reached func(from *Node)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("waited %s", wait))
	defer cancel()
	if err := acquainted(ctx, all); err != nil {
		return err
	}
	return answered(ctx, all, reached)
}

// Answered pings until every pair has answered once, whatever runs on the nodes. The error names what was missing after wait.
func Answered(ctx context.Context, wait time.Duration, all []Pair) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("waited %s", wait))
	defer cancel()
	return answered(ctx, all, func(*Node) {})
}

// acquainted waits until each pair's nodes know each other.
func acquainted(ctx context.Context, all []Pair) error {
	peers := map[*Node][]*Node{}
	for _, p := range all {
		peers[p.From] = append(peers[p.From], p.To)
		peers[p.To] = append(peers[p.To], p.From)
	}
	group, ctx := errgroup.WithContext(ctx)
	for n, its := range peers {
		group.Go(func() error {
			err := n.Await(ctx, func(s control.Status) error { return hasUp(s, its) })
			if err != nil {
				return fmt.Errorf("%s: wait for its peers: %w", n, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// hasUp names a node that is no peer of the daemon's, or is one that is not up.
func hasUp(s control.Status, nodes []*Node) error {
	for _, n := range nodes {
		i := slices.IndexFunc(s.Peers, func(p control.Peer) bool { return p.Paths[0].Subnet == n.file.Subnets[0] })
		if i < 0 {
			return fmt.Errorf("it has not heard of %s", n)
		}
		if p := s.Peers[i]; p.State != hooks.PeerUp {
			return fmt.Errorf("%s is %s: %s", n, p.State, p.Error)
		}
	}
	return nil
}

// answered pings until each pair has answered once.
func answered(ctx context.Context, all []Pair, reached func(from *Node)) error {
	var rounds [2]map[*Node][]Pair // those to a node with a higher number, and those to one with a lower
	for i := range rounds {
		rounds[i] = map[*Node][]Pair{}
	}
	for _, p := range all {
		i := 0
		if p.To.number < p.From.number {
			i = 1
		}
		rounds[i][p.From] = append(rounds[i][p.From], p)
	}
	for i, round := range rounds {
		var group errgroup.Group
		for from, its := range round {
			group.Go(func() error {
				if err := answeredFrom(ctx, its); err != nil {
					return err
				}
				if i == 1 || len(rounds[1][from]) == 0 {
					reached(from)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// answeredFrom pings until each of one node's pairs has answered. The error names those that had not when the context ended.
func answeredFrom(ctx context.Context, its []Pair) error {
	for wait := pingWait; ; wait = min(2*wait, pingMost) {
		its = slices.DeleteFunc(slices.Clone(its), func(p Pair) bool {
			_, err := p.ping.Ping(ctx, p.addr, ping.Small, wait)
			return err == nil
		})
		if len(its) == 0 {
			return nil
		}
		if sleep.For(ctx, pingPause) != nil {
			return fmt.Errorf("%w: no answer to ping from %s", context.Cause(ctx), list(its))
		}
	}
}

func list(pairs []Pair) string {
	var texts []string
	for _, p := range pairs {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
