package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const releaseHelp = `Give SUBNET back, so that any node can have it at once: the lease of a node that is gone for good, or a reservation.

Without SUBNET, give back what this node left when its daemon stopped. A daemon that runs would take its lease again; to
give it back at every stop, use overlayd run --release-on-exit.`

func newLeaseReleaseCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "release [SUBNET]",
		Short: "Give a subnet back: this node's, or the one named",
		Long:  releaseHelp,
		Args:  cobra.MaximumNArgs(1),

		ValidArgsFunction: s.completeLeases(),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
					return s.releaseOwn(ctx, store, c.OutOrStdout())
				})
			}
			l, err := parseSubnets(args[0])
			if err != nil {
				return refuse(exitUsage, err)
			}
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				return releaseSubnet(ctx, store, l, c.OutOrStdout())
			})
		},
	}
	f := c.Flags()
	pathVar(f, &s.stateDir, "state-dir", defaultStateDir, "`DIR` in which this node's daemon keeps its identity")
	s.etcdFlags(f)
	return c
}

var errNoLease = errors.New("holds no lease")

// releaseOwn deletes the leases of this node, and no reservation.
func (s *settings) releaseOwn(ctx context.Context, store *etcd.Store, w io.Writer) error {
	if _, err := control.Fetch(ctx, control.SocketPath(s.runDir)); err == nil {
		return refuse(exitFailed, errors.New("this node's daemon runs and would take the lease again"), "stop it first")
	}
	id, err := node.KnownIdentity(s.stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(exitFailed, fmt.Errorf("no daemon has ever kept its identity in %s", s.stateDir), "name another --state-dir, or the subnet")
	}
	if err != nil {
		return err
	}
	snapshot, err := store.Load(ctx)
	if err != nil {
		return err
	}
	released := false
	for _, r := range snapshot.List() {
		switch {
		case r.NodeID != id:
			continue
		case r.Reserved():
			fmt.Fprintf(w, "%s is reserved for this node and stays so: name it to give it back\n", r.Lease)
		default:
			if err := store.Delete(ctx, r); err != nil {
				return err
			}
			fmt.Fprintf(w, "%s released\n", r.Lease)
		}
		released = true
	}
	if !released {
		return fmt.Errorf("this node (%s) %w", id, errNoLease)
	}
	return nil
}

// releaseSubnet deletes what stands under the key of just these subnets, be it readable or not.
func releaseSubnet(ctx context.Context, store *etcd.Store, l lease.Lease, w io.Writer) error {
	snapshot, err := store.Load(ctx)
	if err != nil {
		return err
	}
	records := snapshot.List()
	for u := range snapshot.Unreadable.All() {
		if u.Key == l.Key() {
			records = append(records, lease.Record{Lease: l, Revision: u.Revision})
		}
	}
	for _, r := range records {
		if r.Key() != l.Key() {
			continue
		}
		if err := store.Delete(ctx, r); err != nil {
			return err
		}
		text := "%s released\n"
		if !r.Reserved() {
			text = "%s released; a node that still runs takes it again\n"
		}
		_, err := fmt.Fprintf(w, text, l)
		return err
	}
	return refuse(exitFailed, fmt.Errorf("nobody holds %s", l), "see overlayd lease list")
}
