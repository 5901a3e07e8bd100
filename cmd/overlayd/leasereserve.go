package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const reserveHelp = `Set SUBNET (10.50.7.0/24, or 10.50.7.0/24,fd00:7::/64 in a network of both families) aside for one node: it takes this
subnet when it starts, keeps it for good, and nobody else ever gets it. The node is named by its public address, as flannel
knows nodes, or by its identity, the one that overlayd lease list shows and that the node keeps in node-id in its state
directory. A lease that the same node holds becomes a reservation.`

func newLeaseReserveCommand() *cobra.Command {
	var s settings
	var nodeID string
	c := &cobra.Command{
		Use:   "reserve SUBNET",
		Short: "Set a subnet aside for one node",
		Long:  reserveHelp,
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			// The environment must not name the node: it has this machine's addresses.
			l, err := s.reservation(args[0], nodeID)
			if err != nil {
				return refuse(exitUsage, err)
			}
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				network, err := storedNetwork(ctx, store)
				if err != nil {
					return err
				}
				if err := network.Admits(l); err != nil {
					return refuse(exitUsage, fmt.Errorf("reserve %w", err))
				}
				r, err := lease.Reserve(ctx, store, network, l)
				if errors.Is(err, lease.ErrTaken) {
					return refuse(exitFailed, err, "see overlayd lease list")
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s reserved\n", r.Lease)
				return err
			})
		},
	}
	f := c.Flags()
	f.TextVar(&s.publicIP, "public-ip", netip.Addr{}, "the node's public IPv4 `ADDRESS`")
	f.TextVar(&s.publicIPv6, "public-ipv6", netip.Addr{}, "the node's public IPv6 `ADDRESS`")
	f.StringVar(&nodeID, "node", "", "the node's identity `ID`")
	s.etcdFlags(f)
	return c
}

// reservation is the lease that the arguments describe.
func (s *settings) reservation(subnets, nodeID string) (lease.Lease, error) {
	l, err := parseSubnets(subnets)
	if err != nil {
		return l, err
	}
	if !s.publicIP.IsValid() && !s.publicIPv6.IsValid() && nodeID == "" {
		return l, errors.New("for which node? give --public-ip, --public-ipv6 or --node")
	}
	if s.publicIP.IsValid() && !s.publicIP.Is4() {
		return l, fmt.Errorf("public-ip %s: it is no IPv4 address", s.publicIP)
	}
	if s.publicIPv6.IsValid() && (!s.publicIPv6.Is6() || s.publicIPv6.Is4In6() || s.publicIPv6.Zone() != "") {
		return l, fmt.Errorf("public-ipv6 %s: it is no IPv6 address without a zone", s.publicIPv6)
	}
	l.V4.PublicIP, l.V6.PublicIP, l.NodeID = s.publicIP, s.publicIPv6, nodeID
	return l, nil
}
