package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/cluster"
)

const (
	tellEach = 10          // nodes whose steps are told one by one; of more only the sum
	meshWait = time.Minute // until every pair must have answered
)

// play is the demo from its first line to its last.
func (s *stage) play(ctx context.Context) error {
	s.say.line("overlayd demo: an overlay network of %d nodes on this machine", s.Nodes)
	s.say.line("network %s, backend %s", s.networks(), s.network.Backend.Type)
	s.say.line("each node is a network namespace with a daemon in it:")
	s.say.line("  overlayd %s\n", strings.Join(s.options().Args(), " "))
	for _, act := range []func(context.Context) error{s.begin, s.measure, s.grow, s.shrink} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) networks() string {
	var texts []string
	for _, p := range []netip.Prefix{s.network.V4.Network, s.network.V6.Network} {
		if p.IsValid() {
			texts = append(texts, p.String())
		}
	}
	return strings.Join(texts, " and ")
}

// begin brings the first nodes up and waits until each reaches each.
func (s *stage) begin(ctx context.Context) error {
	s.say.progress("starting etcd")
	c, err := cluster.New(ctx, s.options())
	if err != nil {
		return err
	}
	s.cluster = c
	s.say.step("underlay %s is up, etcd answers at %s", underlay4, c.Address())
	for range s.Nodes {
		if _, err := c.Add(); err != nil {
			return err
		}
	}
	return s.bringUp(ctx, c.Nodes(), cluster.Pairs)
}

// bringUp starts the nodes' daemons and waits until every pair between them and all nodes has answered.
func (s *stage) bringUp(ctx context.Context, nodes []*cluster.Node, between func(from, to []*cluster.Node) []cluster.Pair) error {
	if err := cluster.Connected(ctx, nodes); err != nil {
		return err
	}
	started := time.Now()
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	s.say.step("%s started", count(len(nodes), "daemon"))
	if err := s.join(ctx, nodes); err != nil {
		return err
	}
	all := between(nodes, s.cluster.Nodes())
	s.say.progress("waiting for %d pings to be answered", len(all))
	err := cluster.Reach(ctx, meshWait, all, func(from *cluster.Node) {
		whom := "all others"
		if !slices.Contains(nodes, from) {
			whom = nodes[0].String()
		}
		s.tell("%s reaches %s", from, whom)
	})
	if err != nil {
		return errors.Join(err, s.words())
	}
	took := time.Since(started)
	s.say.step("full reach: %d of %d pings answered, %.2f s after the start", len(all), len(all), took.Seconds())
	return s.hooks(ctx, nodes)
}

// join waits until all of the nodes have a subnet.
func (s *stage) join(ctx context.Context, nodes []*cluster.Node) error {
	s.say.progress("waiting for subnets")
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithTimeout(ctx, meshWait)
	defer cancel()
	for _, n := range nodes {
		group.Go(func() error {
			if err := n.Join(ctx); err != nil {
				return err
			}
			s.tell("%s, at %s, has %s", n, n.Address(), n.Subnets())
			return nil
		})
	}
	return group.Wait()
}

// tell says a step of one node, as long as there are not too many.
func (s *stage) tell(format string, args ...any) {
	if s.Nodes <= tellEach {
		s.say.step(format, args...)
	}
}

// words is the end of each node's log, for a failure that may be any node's.
func (s *stage) words() error {
	var errs []error
	nodes := s.cluster.Nodes()
	for _, n := range nodes[:min(len(nodes), tellEach)] {
		errs = append(errs, fmt.Errorf("%s\n%s", n, n.LastWords()))
	}
	return errors.Join(errs...)
}

// hooks shows which hooks the nodes' daemons say they ran.
func (s *stage) hooks(ctx context.Context, nodes []*cluster.Node) error {
	if len(nodes) > tellEach {
		return nil
	}
	s.say.line("\nhooks run, and their times")
	for _, n := range nodes {
		status, err := n.Status(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		s.say.line("  %s  %s", n, hookLine(status.Hooks))
	}
	s.say.line("")
	return nil
}

// grow lets one more node join.
func (s *stage) grow(ctx context.Context) error {
	s.say.line("one more node joins")
	others := s.cluster.Nodes()
	n, err := s.cluster.Add()
	if err != nil {
		return err
	}
	return s.bringUp(ctx, []*cluster.Node{n}, func(joined, _ []*cluster.Node) []cluster.Pair {
		return append(cluster.Pairs(joined, others), cluster.Pairs(others, joined)...)
	})
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
