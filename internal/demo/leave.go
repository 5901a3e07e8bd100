package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// shrink lets the first node leave, and looks whether the others forget it and still reach each other.
func (s *stage) shrink(ctx context.Context) error {
	leaver, others := s.nodes[0], s.nodes[1:]
	s.say.line("one node leaves")
	before, err := routes(others, leaver)
	if err != nil {
		return err
	}
	stopping, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	if err := leaver.stop(stopping); err != nil {
		return err
	}
	if err := s.release(ctx, leaver); err != nil {
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
	left := pairs(others, others)
	if err := reach(ctx, meshWait, left, func(*cluster.Node) {}); err != nil {
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
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s to %s, which left, still there after %s", count(left, "route"), leaver, wait), s.words())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// routes counts the nodes' routes to another node's subnets.
func routes(nodes []*cluster.Node, to *cluster.Node) (total int, err error) {
	for _, n := range nodes {
		for _, s := range to.file.Subnets {
			found, err := n.ns.RoutesTo(s)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", n, err)
			}
			total += len(found)
		}
	}
	return total, nil
}

// release deletes the lease of a node that has stopped, as "overlayd lease release" on it would.
func (s *stage) release(ctx context.Context, n *cluster.Node) error {
	snapshot, err := s.store.Load(ctx)
	if err != nil {
		return err
	}
	for _, r := range snapshot.Records {
		for p := range r.Paths() {
			if slices.Contains(n.file.Subnets, p.Subnet) {
				return s.store.Delete(ctx, r)
			}
		}
	}
	return fmt.Errorf("release lease: etcd has none for %s", n)
}
