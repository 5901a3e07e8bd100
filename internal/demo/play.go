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

	"github.com/overlayd/overlayd/internal/control"
)

// Steps are told one by one for up to so many nodes, else only their sum.
const tellEach = 10

// play is the demo from its first line to its last.
func (s *stage) play(ctx context.Context) error {
	s.say.line("overlayd demo: an overlay network of %d nodes on this machine", s.Nodes)
	s.say.line("network %s, backend %s", s.networks(), s.network.Backend.Type)
	s.say.line("each node is a network namespace with a daemon in it:")
	s.say.line("  overlayd %s\n", strings.Join(s.arguments(), " "))
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
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.say.step("underlay %s is up, etcd answers at %s", underlay4, host(underlay4, routerHost).Addr())
	for range s.Nodes {
		if _, err := s.add(); err != nil {
			return err
		}
	}
	return s.bringUp(ctx, s.nodes, pairs)
}

// bringUp starts the nodes' daemons and waits until every pair between them and all nodes has answered.
func (s *stage) bringUp(ctx context.Context, nodes []*cluster.Node, between func(from, to []*cluster.Node) []pair) error {
	if err := s.connected(ctx, nodes); err != nil {
		return err
	}
	started := time.Now()
	for _, n := range nodes {
		if err := s.start(n); err != nil {
			return err
		}
	}
	s.say.step("%s started", count(len(nodes), "daemon"))
	if err := s.join(ctx, nodes); err != nil {
		return err
	}
	all := between(nodes, s.nodes)
	s.say.progress("waiting for %d pings to be answered", len(all))
	err := reach(ctx, meshWait, all, func(from *cluster.Node) {
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
			if err := n.join(ctx); err != nil {
				return err
			}
			s.tell("%s, at %s, has %s", n, host(underlay4, n.number).Addr(), n.subnets())
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
	for _, n := range s.nodes[:min(len(s.nodes), tellEach)] {
		errs = append(errs, fmt.Errorf("%s\n%s", n, n.lastWords()))
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
		status, err := control.Fetch(ctx, n.root(control.SocketPath("/run/overlayd")))
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
	n, err := s.add()
	if err != nil {
		return err
	}
	others := s.nodes[:len(s.nodes)-1]
	return s.bringUp(ctx, []*cluster.Node{n}, func(joined, _ []*cluster.Node) []pair {
		return append(pairs(joined, others), pairs(others, joined)...)
	})
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
