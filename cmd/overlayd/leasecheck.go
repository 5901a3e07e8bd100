package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const checkHelp = `Look for what cannot be right among the leases, a line each: keys and values that are no leases (unreadable), subnets that
are none of the network's (misplaced), leases that no node renews any more and reservations for nobody (orphan), subnets that
overlap, and nodes or public addresses with more than one lease. The exit status is 0 if there is nothing to say and 1
otherwise. Nothing is changed.`

func newLeaseCheckCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "check",
		Short: "Look for what cannot be right among the leases",
		Long:  checkHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				network, err := storedNetwork(ctx, store)
				if err != nil {
					return err
				}
				snapshot, err := store.Load(ctx)
				if err != nil {
					return err
				}
				expiries, err := store.Expiries(ctx, snapshot.List()...)
				if err != nil {
					return err
				}
				findings := lease.Audit(network, snapshot, expiries)
				for _, f := range findings {
					fmt.Fprintf(c.OutOrStdout(), "%s: %s: %s\n", f.Kind, quoteKeys(f.Keys), printable(f.Text))
				}
				if len(findings) > 0 {
					return fmt.Errorf("%d findings in %d leases", len(findings), snapshot.Records.Len())
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%d leases, nothing found\n", snapshot.Records.Len())
				return err
			})
		},
	}
	s.etcdFlags(c.Flags())
	return c
}

// quoteKeys joins keys, those quoted that are none of a lease.
func quoteKeys(keys []string) string {
	var quoted []string
	for _, key := range keys {
		if _, _, err := lease.ParseKey(key); err != nil {
			key = strconv.Quote(key)
		}
		quoted = append(quoted, key)
	}
	return strings.Join(quoted, " ")
}
