package etcd

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/lease"
)

// pipelined is how many requests are on their way at once where there is one for each lease.
const pipelined = 32

// Expiries implements lease.Store.
func (s *Store) Expiries(ctx context.Context, records ...lease.Record) ([]lease.Expiry, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	expiries := make([]lease.Expiry, len(records))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pipelined)
	for i, r := range records {
		if r.Reserved() {
			continue
		}
		g.Go(func() error {
			resp, err := s.client.TimeToLive(ctx, clientv3.LeaseID(r.ID))
			if err == nil && resp.TTL >= 0 { // -1 says that it is gone
				expiries[i] = lease.Expiry{
					Age:  time.Duration(resp.GrantedTTL-resp.TTL) * time.Second,
					Left: time.Duration(resp.TTL) * time.Second,
				}
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("ask how long leases last: %w", s.explain(ctx, err))
	}
	return expiries, nil
}
