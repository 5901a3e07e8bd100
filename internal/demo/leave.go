package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// shrink lets the first node leave, and looks whether the others forget it and still reach each other.
func (c *cluster) shrink(ctx context.Context) error {
	leaver, others := c.nodes[0], c.nodes[1:]
	c.say.line("one node leaves")
	before, err := routes(others, leaver)
	if err != nil {
		return err
	}
	stopping, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	if err := leaver.stop(stopping); err != nil {
		return err
	}
	if err := c.release(ctx, leaver); err != nil {
		return err
	}
	c.say.step("%s stopped, and its lease is deleted", leaver)
	released := time.Now()
	if err := c.forgotten(ctx, leaver, others); err != nil {
		return err
	}
	if before == 0 {
		c.say.step("no node has a route to its subnet; none had needed one of its own")
	} else {
		c.say.step("%s to it gone, %.2f s later", count(before, "route"), time.Since(released).Seconds())
	}
	left := pairs(others, others)
	if err := reach(ctx, meshWait, left, func(*node) {}); err != nil {
		return err
	}
	c.say.step("the others still reach each other: %d of %d pings answered", len(left), len(left))
	return nil
}

// forgotten waits until none of the nodes has a route to the one that left.
func (c *cluster) forgotten(ctx context.Context, leaver *node, nodes []*node) error {
	c.say.progress("waiting for its routes to go")
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
			return errors.Join(fmt.Errorf("%s to %s, which left, still there after %s", count(left, "route"), leaver, wait), c.words())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// routes counts the nodes' routes to another node's subnets.
func routes(nodes []*node, to *node) (total int, err error) {
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
func (c *cluster) release(ctx context.Context, n *node) error {
	snapshot, err := c.store.Load(ctx)
	if err != nil {
		return err
	}
	for _, r := range snapshot.Records {
		for p := range r.Paths() {
			if slices.Contains(n.file.Subnets, p.Subnet) {
				return c.store.Delete(ctx, r)
			}
		}
	}
	return fmt.Errorf("release lease: etcd has none for %s", n)
}
