// Command flannelnode is a node of a flannel network with its leases in etcd: flannel's own packages, put together as flanneld puts
// them, for tests of what overlayd does beside flannel and in its place. flanneld itself takes more to build.
//
// A signal ends it at once. flanneld's way to its end, in which this version closes a channel twice, leaves the same behind, but for the
// firewall's rules.
//
// It is a module of its own, so that nothing of flannel comes near overlayd's.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/extension" // each makes itself known to package backend
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet/etcd"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
)

// options are the flags of flanneld that tests need.
type options struct {
	endpoints, prefix, subnetFile string
	ipMasq, forwardRules          bool
}

func main() {
	var o options
	flag.StringVar(&o.endpoints, "etcd-endpoints", "http://127.0.0.1:2379", "etcd's client URLs")
	flag.StringVar(&o.prefix, "etcd-prefix", "/coreos.com/network", "key below which config and leases are kept")
	flag.StringVar(&o.subnetFile, "subnet-file", "/run/flannel/subnet.env", "file that tells of the node's subnet")
	flag.BoolVar(&o.ipMasq, "ip-masq", false, "masquerade what leaves the network")
	flag.BoolVar(&o.forwardRules, "iptables-forward-rules", true, "accept what is forwarded from and to the network")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "flannelnode:", err)
		os.Exit(1)
	}
}

// run takes the steps that flanneld takes, in its order.
func run(ctx context.Context, o options) error {
	manager, err := etcd.NewLocalManager(ctx, &etcd.EtcdConfig{Endpoints: strings.Split(o.endpoints, ","), Prefix: o.prefix}, ip.IP4Net{}, ip.IP6Net{}, 60)
	if err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return err
	}
	families, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	external, err := ipmatch.LookupExtIface("", "", "", families, ipmatch.PublicIPOpts{})
	if err != nil {
		return err
	}
	chosen, err := backend.NewManager(ctx, manager, external).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	network, err := chosen.RegisterNetwork(ctx, &running, config)
	if err != nil {
		return err
	}
	lease := network.Lease()
	const resync = 5
	rules := &iptables.IPTablesManager{}
	if err := rules.Init(ctx, &running); err != nil {
		return err
	}
	if o.ipMasq {
		none := ip.IP6Net{IP: (*ip.IP6)(new(big.Int))}
		err := rules.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{}, config.IPv6Network, none, none, lease, resync)
		if err != nil {
			return err
		}
	}
	if o.forwardRules {
		rules.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resync)
	}
	if err := manager.HandleSubnetFile(o.subnetFile, config, o.ipMasq, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return err
	}
	running.Go(func() { network.Run(ctx) })
	return manager.CompleteLease(ctx, lease, &running)
}
