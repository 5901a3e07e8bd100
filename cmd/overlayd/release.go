package main

import (
	"context"
	"errors"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// releasePatience is how long a stop waits for etcd. A lease that stays then expires by itself.
const releasePatience = 5 * time.Second

// release gives the lease back if the context ended because the daemon was told to stop, and the flags say so.
func (d *daemon) release(ctx context.Context, manager *lease.Manager) {
	if !d.releaseOnExit || ctx.Err() == nil || errors.Is(context.Cause(ctx), hooks.ErrConfigChanged) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	if err := manager.Release(ctx); err != nil {
		d.log.Warn("the lease was not released and expires by itself", "err", err)
		return
	}
	d.log.Info("lease released")
}
