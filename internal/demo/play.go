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
func (c *cluster) play(ctx context.Context) error {
	c.say.line("overlayd demo: an overlay network of %d nodes on this machine", c.Nodes)
	c.say.line("network %s, backend %s", c.networks(), c.network.Backend.Type)
	c.say.line("each node is a network namespace with a daemon in it:")
	c.say.line("  overlayd %s\n", strings.Join(c.arguments(), " "))
	for _, act := range []func(context.Context) error{c.begin, c.measure, c.grow, c.shrink} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) networks() string {
	var texts []string
	for _, p := range []netip.Prefix{c.network.V4.Network, c.network.V6.Network} {
		if p.IsValid() {
			texts = append(texts, p.String())
		}
	}
	return strings.Join(texts, " and ")
}

// begin brings the first nodes up and waits until each reaches each.
func (c *cluster) begin(ctx context.Context) error {
	c.say.progress("starting etcd")
	if err := c.prepare(ctx); err != nil {
		return err
	}
	c.say.step("underlay %s is up, etcd answers at %s", underlay4, host(underlay4, routerHost).Addr())
	for range c.Nodes {
		if _, err := c.add(); err != nil {
			return err
		}
	}
	return c.bringUp(ctx, c.nodes, pairs)
}

// bringUp starts the nodes' daemons and waits until every pair between them and all nodes has answered.
func (c *cluster) bringUp(ctx context.Context, nodes []*node, between func(from, to []*node) []pair) error {
	if err := c.connected(ctx, nodes); err != nil {
		return err
	}
	started := time.Now()
	for _, n := range nodes {
		if err := c.start(n); err != nil {
			return err
		}
	}
	c.say.step("%s started", count(len(nodes), "daemon"))
	if err := c.join(ctx, nodes); err != nil {
		return err
	}
	all := between(nodes, c.nodes)
	c.say.progress("waiting for %d pings to be answered", len(all))
	err := reach(ctx, meshWait, all, func(from *node) {
		whom := "all others"
		if !slices.Contains(nodes, from) {
			whom = nodes[0].String()
		}
		c.tell("%s reaches %s", from, whom)
	})
	if err != nil {
		return errors.Join(err, c.words())
	}
	took := time.Since(started)
	c.say.step("full reach: %d of %d pings answered, %.2f s after the start", len(all), len(all), took.Seconds())
	return c.hooks(ctx, nodes)
}

// join waits until all of the nodes have a subnet.
func (c *cluster) join(ctx context.Context, nodes []*node) error {
	c.say.progress("waiting for subnets")
	group, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithTimeout(ctx, meshWait)
	defer cancel()
	for _, n := range nodes {
		group.Go(func() error {
			if err := n.join(ctx); err != nil {
				return err
			}
			c.tell("%s, at %s, has %s", n, host(underlay4, n.number).Addr(), n.subnets())
			return nil
		})
	}
	return group.Wait()
}

// tell says a step of one node, as long as there are not too many.
func (c *cluster) tell(format string, args ...any) {
	if c.Nodes <= tellEach {
		c.say.step(format, args...)
	}
}

// words is the end of each node's log, for a failure that may be any node's.
func (c *cluster) words() error {
	var errs []error
	for _, n := range c.nodes[:min(len(c.nodes), tellEach)] {
		errs = append(errs, fmt.Errorf("%s\n%s", n, n.lastWords()))
	}
	return errors.Join(errs...)
}

// hooks shows which hooks the nodes' daemons say they ran.
func (c *cluster) hooks(ctx context.Context, nodes []*node) error {
	if len(nodes) > tellEach {
		return nil
	}
	c.say.line("\nhooks run, and their times")
	for _, n := range nodes {
		status, err := control.Fetch(ctx, n.root(control.SocketPath("/run/overlayd")))
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		c.say.line("  %s  %s", n, hookLine(status.Hooks))
	}
	c.say.line("")
	return nil
}

// grow lets one more node join.
func (c *cluster) grow(ctx context.Context) error {
	c.say.line("one more node joins")
	n, err := c.add()
	if err != nil {
		return err
	}
	others := c.nodes[:len(c.nodes)-1]
	return c.bringUp(ctx, []*node{n}, func(joined, _ []*node) []pair {
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
