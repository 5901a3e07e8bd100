package demo

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// The underlay: what a data centre's network is to real nodes. The addresses are those that RFC 5737 and RFC 3849 set
// aside for documentation.
var (
	underlay4 = netip.MustParsePrefix("192.0.2.0/24")
	underlay6 = netip.MustParsePrefix("2001:db8::/64")
)

const (
	bridge      = "underlay"
	underlayMTU = 1500
	routerHost  = 254 // the bridge's own host number, where etcd is
	etcdPrefix  = "/coreos.com/network"
	files       = "/run/overlayd-demo" // in the memory file system that only the demo sees
	stopWait    = 15 * time.Second     // for a node's orderly end
)

var etcdURL = "http://" + host(underlay4, routerHost).Addr().String() + ":2379"

// host returns the address of the host number in the underlay's network.
func host(underlay netip.Prefix, number int) netip.Prefix {
	a := underlay.Addr().AsSlice()
	a[len(a)-1] = byte(number)
	addr, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(addr, underlay.Bits())
}

// A cluster is the underlay, the etcd member and the nodes.
type cluster struct {
	Options
	network lease.Network
	say     *printer
	fail    context.CancelCauseFunc // called when a node ends by itself

	ground *netns.Namespace
	store  *etcd.Store
	nodes  []*node
	undo   []func() error // of everything but the nodes, to be called from the last to the first
}

// underlays returns the underlay's networks: IPv4 always, since etcd is there, and IPv6 when the overlay has it.
func (c *cluster) underlays() []netip.Prefix {
	if c.network.V6.Network.IsValid() {
		return []netip.Prefix{underlay4, underlay6}
	}
	return []netip.Prefix{underlay4}
}

// prepare makes the bridge, starts etcd and publishes the network config.
func (c *cluster) prepare(ctx context.Context) (err error) {
	if err := os.MkdirAll(files, 0o700); err != nil {
		return err
	}
	if c.ground, err = netns.Current(); err != nil {
		return err
	}
	c.undo = append(c.undo, c.ground.Close)
	if err := c.ground.Bridge(bridge); err != nil {
		return err
	}
	for _, u := range c.underlays() {
		if err := c.ground.Addr(bridge, host(u, routerHost)); err != nil {
			return err
		}
	}
	member, err := embedded.Start(ctx, embedded.Options{
		Dir: filepath.Join(files, "etcd"), ListenClient: etcdURL, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	c.undo = append(c.undo, member.Close)
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{etcdURL}})
	if err != nil {
		return err
	}
	c.undo = append(c.undo, client.Close)
	c.store = etcd.New(client, etcdPrefix, c.Logger)
	return c.store.PublishConfig(ctx, c.Config)
}

// close stops all nodes at once, then takes down the rest.
func (c *cluster) close() error {
	if len(c.nodes) > 0 {
		c.say.progress("stopping")
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	var group errgroup.Group
	errs := make([]error, len(c.nodes))
	for i, n := range c.nodes {
		group.Go(func() error {
			errs[i] = errors.Join(n.stop(ctx), n.close())
			return nil
		})
	}
	group.Wait()
	for _, undo := range slices.Backward(c.undo) {
		errs = append(errs, undo())
	}
	c.say.step("all nodes stopped, nothing remains")
	return errors.Join(errs...)
}
