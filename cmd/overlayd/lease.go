package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

func newLeaseCommand() *cobra.Command {
	return newGroup("lease", "Look at the nodes' leases, reserve subnets and give them back",
		newLeaseListCommand(), newLeaseReserveCommand(), newLeaseReleaseCommand(), newLeaseCheckCommand())
}

// parseSubnets reads the subnets of a lease as lists show them: one, or one of each family with a comma between.
func parseSubnets(text string) (l lease.Lease, err error) {
	for part := range strings.SplitSeq(text, ",") {
		subnet, err := netip.ParsePrefix(part)
		if err != nil {
			return l, fmt.Errorf("subnet %q: not of the form 10.50.7.0/24", part)
		}
		if subnet != subnet.Masked() {
			return l, fmt.Errorf("subnet %s: host bits are set, did you mean %s?", subnet, subnet.Masked())
		}
		half := &l.V4
		if subnet.Addr().Is6() {
			half = &l.V6
		}
		if half.Subnet.IsValid() {
			return l, fmt.Errorf("subnets %s and %s are of one family", half.Subnet, subnet)
		}
		half.Subnet = subnet
	}
	if _, _, err = lease.ParseKey(l.Key()); err != nil {
		return l, fmt.Errorf("subnet %s: %w", text, err)
	}
	return l, nil
}

// storedNetwork is the network whose leases the store keeps.
func storedNetwork(ctx context.Context, store *etcd.Store) (lease.Network, error) {
	value, revision, err := store.Config(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return lease.Network{}, refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config", store.ConfigKey()), "write one with overlayd config put FILE")
	}
	if err != nil {
		return lease.Network{}, err
	}
	network, err := lease.ParseNetwork(value)
	if err != nil {
		return network, refuse(exitConfig, fmt.Errorf("etcd %s@%d: %w", store.ConfigKey(), revision, err), "correct it with overlayd config put FILE")
	}
	return network, nil
}

// printable is what others wrote as it may be shown: quoted unless a terminal would print it as it stands.
func printable(text string) string {
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// record is what etcd holds of the lease with that subnet, in the words of package control.
func (d *daemon) record(ctx context.Context, subnet netip.Prefix) (control.Record, error) {
	all, err := d.cluster.Load(ctx)
	if err != nil {
		return control.Record{}, err
	}
	for u := range all.Unreadable.All() {
		if v4, v6, err := lease.ParseKey(u.Key); err == nil && (v4 == subnet || v6 == subnet) {
			return control.Record{}, fmt.Errorf("key %s: %w", u.Key, u.Err)
		}
	}
	for r := range all.Records.All() {
		if r.V4.Subnet != subnet && r.V6.Subnet != subnet {
			continue
		}
		known, err := d.cluster.Expiries(ctx, *r)
		if err != nil {
			return control.Record{}, err
		}
		return control.Record{
			Key: path.Join(d.etcdPrefix, "subnets", r.Key()), Revision: r.Revision, Reserved: r.Reserved(),
			Age: int64(known[0].Age.Seconds()), Left: int64(known[0].Left.Seconds()),
		}, nil
	}
	return control.Record{}, nil
}
