package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/netns"
	nodepkg "github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/internal/ping"
	"github.com/overlayd/overlayd/internal/sleep"
)

// Where a daemon without other flags has its run directory and subnet file. Each node has a /run of its own.
const (
	runDir     = "/run/overlayd"
	subnetFile = "/run/flannel/subnet.env"
)

// podBridge is what a container engine would make for a node's containers; its addresses answer the pings.
const podBridge = "pods0"

// A Node is a network namespace on the underlay, and the daemon in it.
type Node struct {
	Args    []string // of the daemon from its next start on; at first those of the Options
	Program string   // that is the daemon from its next start on; the Options' Binary when ""

	number  int
	cluster *Cluster
	ns      *netns.Namespace
	log     *os.File
	daemon  *daemon // the last one that was started; nil before
	file    nodepkg.SubnetFile
	pingers []*ping.Pinger // one per family of the overlay, in the order of file.Subnets
	pods    []netip.Prefix // subnets in which the node has an address
}

// Add makes a node that is connected to the underlay. Its daemon is not started.
func (c *Cluster) Add() (*Node, error) {
	if len(c.nodes) == MaxNodes {
		return nil, fmt.Errorf("add node: there are %d, and no room for more", MaxNodes)
	}
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	n := &Node{Args: c.Args(), number: len(c.nodes) + 1, cluster: c, ns: ns}
	c.nodes = append(c.nodes, n)
	port := fmt.Sprint("node", n.number)
	if err := netns.Connect(c.underlay, port, ns, "eth0", underlayMTU); err != nil {
		return nil, err
	}
	if err := c.underlay.Attach(port, bridge); err != nil {
		return nil, err
	}
	for _, u := range c.Underlays {
		if err := ns.Addr("eth0", host(u, n.number)); err != nil {
			return nil, err
		}
		everywhere := netip.PrefixFrom(u.Addr(), 0).Masked()
		if err := ns.Route(everywhere, host(u, ownHost).Addr()); err != nil {
			return nil, err
		}
	}
	n.log, err = os.OpenFile(filepath.Join(c.Dir, port+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return n, err
}

// String names the node for people.
func (n *Node) String() string { return fmt.Sprintf("node %d", n.number) }

// Number is 1 for the node that was added first, 2 for the next, and the host number of its underlay addresses.
func (n *Node) Number() int { return n.number }

// Address is the node's address on the first underlay.
func (n *Node) Address() netip.Addr { return host(n.cluster.Underlays[0], n.number).Addr() }

// Addresses are the node's on each underlay.
func (n *Node) Addresses() (all []netip.Addr) {
	for _, u := range n.cluster.Underlays {
		all = append(all, host(u, n.number).Addr())
	}
	return all
}

// SubnetFile is what the daemon said in its subnet file when the node joined.
func (n *Node) SubnetFile() nodepkg.SubnetFile { return n.file }

// Subnets is the node's part of the overlay as text.
func (n *Node) Subnets() string {
	var texts []string
	for _, s := range n.file.Subnets {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, ", ")
}

// RoutesTo returns the node's routes to any part of another node's subnets.
func (n *Node) RoutesTo(to *Node) (all []netip.Prefix, err error) {
	for _, s := range to.file.Subnets {
		found, err := n.ns.RoutesTo(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// Links returns the names of the node's links.
func (n *Node) Links() ([]string, error) { return n.ns.Links() }

// Connected waits until each of the nodes reaches the underlay. A new link takes up to a second or two to carry IPv6.
func Connected(ctx context.Context, nodes []*Node) error {
	var group errgroup.Group
	for _, n := range nodes {
		for _, u := range n.cluster.Underlays {
			group.Go(func() error {
				p, err := listen(ctx, n.ns, host(u, n.number).Addr())
				if err != nil {
					return err
				}
				defer p.Close()
				if _, err := p.Ping(ctx, host(u, ownHost).Addr(), ping.Small, firstWait); err != nil {
					return fmt.Errorf("%s: reach the underlay: %w", n, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// Status asks the daemon how it stands. It is an fs.ErrNotExist while the daemon does not listen yet.
func (n *Node) Status(ctx context.Context) (control.Status, error) {
	return control.Fetch(ctx, n.daemon.sees(control.SocketPath(runDir)))
}

// Join waits until the daemon says that the node is up, and gives the node an address of its subnet to be pinged at, as a
// container engine would.
func (n *Node) Join(ctx context.Context) error {
	err := n.Await(ctx, func(s control.Status) error {
		if s.Node.State != hooks.NodeUp {
			return fmt.Errorf("it is %q %s", s.Node.State, s.Node.Error)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: wait for its subnet: %w\n%s", n, err, n.LastWords())
	}
	if n.file, err = nodepkg.ReadSubnetFile(n.daemon.sees(subnetFile)); err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	return n.open(ctx)
}

// JoinAsFlannel is Join for a daemon that is flannel's: it has joined when it has written its subnet file, of which there was
// none before.
func (n *Node) JoinAsFlannel(ctx context.Context) (err error) {
	for {
		if n.file, err = nodepkg.ReadSubnetFile(n.daemon.sees(subnetFile)); err == nil {
			return n.open(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: wait for its subnet: %w: %w\n%s", n, context.Cause(ctx), err, n.LastWords())
		case <-n.daemon.ended:
			return fmt.Errorf("%s: wait for its subnet: it has ended\n%s", n, n.LastWords())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// firstWait is time enough to find the neighbour.
const firstWait = 5 * time.Second

// listen opens a pinger for an address that a link in the namespace has.
func listen(ctx context.Context, ns *netns.Namespace, from netip.Addr) (p *ping.Pinger, err error) {
	err = ns.Do(func() (err error) {
		p, err = ping.Listen(ctx, from)
		return err
	})
	return p, err
}

// open gives the node an address in each of its subnets, and a pinger there.
func (n *Node) open(ctx context.Context) error {
	if len(n.pods) == 0 {
		if err := n.ns.Bridge(podBridge); err != nil {
			return err
		}
	}
	if err := n.closePingers(); err != nil {
		return err
	}
	for _, s := range n.file.Subnets {
		addr := s.Addr().Next()
		if !slices.Contains(n.pods, s) {
			if err := n.ns.Addr(podBridge, netip.PrefixFrom(addr, s.Bits())); err != nil {
				return err
			}
			n.pods = append(n.pods, s)
		}
		p, err := listen(ctx, n.ns, addr)
		if err != nil {
			return err
		}
		n.pingers = append(n.pingers, p)
	}
	return nil
}

// Await asks the daemon how it stands until the answer is as wanted, which is when wanted returns nil. When the context
// ends first, the error holds its cause and what was amiss last.
func (n *Node) Await(ctx context.Context, wanted func(control.Status) error) error {
	for pause := 10 * time.Millisecond; ; pause = min(pause+pause/4, 200*time.Millisecond) {
		status, err := n.Status(ctx)
		if err == nil {
			err = wanted(status)
		}
		if err == nil {
			return nil
		}
		if sleep.For(ctx, pause) != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// close lets go of the namespace.
func (n *Node) close() error {
	errs := []error{n.closePingers(), n.ns.Close()}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(errs...)
}

func (n *Node) closePingers() error {
	var errs []error
	for _, p := range n.pingers {
		errs = append(errs, p.Close())
	}
	n.pingers = nil
	return errors.Join(errs...)
}
