// Package cluster is overlayd nodes on one machine, each in a network namespace as if on a machine of its own, for the demo
// and for end-to-end tests.
//
// The process that uses it must be in network and mount namespaces of its own, see netns.Relaunch and netns.MainInside: one
// end of the cable to the nodes is in it. What happens to the nodes is told by one goroutine.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// MaxNodes is how many nodes a cluster has room for.
const MaxNodes = 250

const (
	underlayMTU = 1500
	ownHost     = 254 // this process's host number in the underlay, where etcd is
	etcdPrefix  = "/coreos.com/network"
)

// Options say what the nodes run, and where. All but Ended are required.
type Options struct {
	Config    []byte         // the network config that etcd holds at first, JSON
	Binary    string         // the overlayd program
	Dir       string         // for etcd's data and the nodes' logs; made with mode 0700 if need be
	Cable     string         // name of this process's link to the nodes
	Underlays []netip.Prefix // what a data centre's network is to real nodes: an IPv4 network of 24 bits, an IPv6 one, or both; etcd is on the first
	Logger    *slog.Logger   // of the etcd member
	Ended     func(error)    // called, maybe from several goroutines, when a daemon ends that nobody has stopped
}

// A Cluster is nodes, the underlay that connects them, and an etcd member on it.
type Cluster struct {
	Options
	underlay *netns.Namespace // its bridge
	store    *etcd.Store
	nodes    []*Node
	undo     []func() error // of everything but the nodes, to be called from the last to the first
}

// New makes a cluster without nodes, with the network config in its etcd. Whoever gets it closes it.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Ended == nil {
		o.Ended = func(error) {}
	}
	c := &Cluster{Options: o}
	err := c.connect()
	if err == nil {
		err = c.startEtcd(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// The names of links in the underlay's own namespace, but for the nodes' cables.
const (
	bridge = "underlay"
	uplink = "uplink"
)

// connect makes the underlay, and this process a host on it.
func (c *Cluster) connect() error {
	here, err := netns.Current()
	if err != nil {
		return err
	}
	defer here.Close()
	if c.underlay, err = netns.New(); err != nil {
		return err
	}
	c.undo = append(c.undo, c.underlay.Close)
	if err := netns.Connect(here, c.Cable, c.underlay, uplink, underlayMTU); err != nil {
		return err
	}
	if err := c.underlay.Bridge(bridge, uplink); err != nil {
		return err
	}
	for _, u := range c.Underlays {
		if err := here.Addr(c.Cable, host(u, ownHost)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	member, err := embedded.Start(ctx, embedded.Options{
		Dir: filepath.Join(c.Dir, "etcd"), ListenClient: c.Endpoint(), Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	c.undo = append(c.undo, member.Close)
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{c.Endpoint()}})
	if err != nil {
		return err
	}
	c.undo = append(c.undo, client.Close)
	c.store = etcd.New(client, etcdPrefix, c.Logger)
	return c.store.PublishConfig(ctx, c.Config)
}

// host returns the address of the host number in an underlay's network.
func host(underlay netip.Prefix, number int) netip.Prefix {
	a := underlay.Addr().AsSlice()
	a[len(a)-1] = byte(number)
	addr, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(addr, underlay.Bits())
}

// Address is where on the underlay this process is, and the cluster's etcd member.
func (o Options) Address() netip.Addr { return host(o.Underlays[0], ownHost).Addr() }

// Addresses are this process's on each underlay.
func (o Options) Addresses() (all []netip.Addr) {
	for _, u := range o.Underlays {
		all = append(all, host(u, ownHost).Addr())
	}
	return all
}

// Endpoint is the client URL of the cluster's etcd member.
func (o Options) Endpoint() string { return "http://" + netip.AddrPortFrom(o.Address(), 2379).String() }

// Args are a daemon's arguments: the cluster's etcd, and a state directory that only the node sees and that stays while the
// node does.
func (o Options) Args() []string {
	return []string{"run", "--etcd-endpoints", o.Endpoint(), "--state-dir", "/run/state"}
}

// Nodes returns the nodes in the order in which they were added.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Release deletes the lease of a node that has stopped, so that the others forget it.
func (c *Cluster) Release(ctx context.Context, n *Node) error {
	snapshot, err := c.store.Load(ctx)
	if err != nil {
		return err
	}
	for _, r := range snapshot.List() {
		for p := range r.Paths() {
			if slices.Contains(n.file.Subnets, p.Subnet) {
				return c.store.Delete(ctx, r)
			}
		}
	}
	return fmt.Errorf("release lease: etcd has none for %s", n)
}

// Close stops all daemons at once and removes everything but what is in Dir.
func (c *Cluster) Close() error {
	var group errgroup.Group
	errs := make([]error, len(c.nodes))
	for i, n := range c.nodes {
		group.Go(func() error {
			errs[i] = errors.Join(n.Stop(context.Background()), n.close())
			return nil
		})
	}
	group.Wait()
	for _, undo := range slices.Backward(c.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}
