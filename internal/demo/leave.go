package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/sleep"
)

// shrink lets the first node leave, and looks whether the others forget it and still reach each other.
func (s *stage) shrink(ctx context.Context) error {
	nodes := s.cluster.Nodes()
	leaver, others := nodes[0], nodes[1:]
	s.say.line("one node leaves")
	before, err := routes(others, leaver)
	if err != nil {
		return err
	}
	if err := leaver.Stop(ctx); err != nil {
		return err
	}
	if err := s.cluster.Release(ctx, leaver); err != nil {
		return err
	}
	s.say.step("%s stopped, and its lease is deleted", leaver)
	released := time.Now()
	if err := s.forgotten(ctx, leaver, others); err != nil {
		return err
	}
	if before == 0 {
		s.say.step("no node has a route to its subnet; none had needed one of its own")
	} else {
		s.say.step("%s to it gone, %.2f s later", count(before, "route"), time.Since(released).Seconds())
	}
	left := cluster.Pairs(others, others)
	if err := cluster.Reach(ctx, meshWait, left, func(*cluster.Node) {}); err != nil {
		return err
	}
	s.say.step("the others still reach each other: %d of %d pings answered", len(left), len(left))
	return nil
}

// forgotten waits until none of the nodes has a route to the one that left.
func (s *stage) forgotten(ctx context.Context, leaver *cluster.Node, nodes []*cluster.Node) error {
	s.say.progress("waiting for its routes to go")
	const wait = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		left, err := routes(nodes, leaver)
		if err != nil || left == 0 {
			return err
		}
		if sleep.For(ctx, 10*time.Millisecond) != nil {
			return errors.Join(fmt.Errorf("%s to %s, which left, still there after %s", count(left, "route"), leaver, wait), s.words())
		}
	}
}

// routes counts the nodes' routes to another node's subnets.
func routes(nodes []*cluster.Node, to *cluster.Node) (total int, err error) {
	for _, n := range nodes {
		found, err := n.RoutesTo(to)
		if err != nil {
			return 0, err
		}
		total += len(found)
	}
	return total, nil
}
