package firewall

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/sleep"
)

const (
	// settle is how long a look at the table waits for more changes of the ruleset: others change it rule by rule.
	settle = 50 * time.Millisecond
	// shortTruce and longTruce bound how long a table stays as somebody else made it who changes it again and again.
	shortTruce = time.Second
	longTruce  = time.Minute
	// restraint is how much longer than a look took the next one waits: others may change the ruleset all the time.
	restraint = 4
	// audit is how often the table is looked at without a reason.
	audit = 5 * time.Minute
)

// Keep keeps the table as it was last applied, until the context ends, whose error it returns. It looks at the table soon
// after each change of the kernel's ruleset. With somebody who changes the table again and again it does not race: the
// second repair within a minute waits a second, the next two, and so on up to a minute.
func (t *Table) Keep(ctx context.Context) error {
	due := make(chan struct{}, 1)
	look := func() {
		select {
		case due <- struct{}{}:
		default: // it is already
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.watch(ctx, look) })
	g.Go(func() error { return t.mendAgain(ctx, due) })
	return g.Wait()
}

// mendAgain mends the table whenever that is due.
func (t *Table) mendAgain(ctx context.Context, due <-chan struct{}) error {
	var truce time.Duration
	var mended time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		case <-time.After(audit):
		}
		if err := sleep.For(ctx, settle); err != nil {
			return err
		}
		began := time.Now()
		damage, err := t.mend()
		switch {
		case err != nil:
			t.log.Warn("firewall table could not be looked after", "table", t.String(), "err", err)
		case damage == "":
			if err := sleep.For(ctx, restraint*time.Since(began)); err != nil {
				return err
			}
			continue
		default:
			t.log.Warn("firewall table was changed and is as before again", "table", t.String(), "what", damage)
		}
		if time.Since(mended) > longTruce {
			truce = shortTruce / 2
		}
		truce, mended = min(2*truce, longTruce), time.Now()
		if err := sleep.For(ctx, truce); err != nil {
			return err
		}
	}
}

// watch calls changed at once and whenever the kernel's ruleset has, until the context ends. What keeps it from doing so is
// logged and tried again.
func (t *Table) watch(ctx context.Context, changed func()) error {
	for {
		err := t.listen(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.log.Warn("changes of the firewall are not noticed at once", "err", err, "retry", longTruce)
		if err := sleep.For(ctx, longTruce); err != nil {
			return err
		}
	}
}

// groupNFTables is the kernel's multicast group NFNLGRP_NFTABLES.
const groupNFTables = 7

// listen tells of changes as long as the kernel tells of them.
func (t *Table) listen(ctx context.Context, changed func()) error {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: t.ns, Groups: 1 << (groupNFTables - 1)})
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	changed() // nobody told of what came before
	for {
		messages, err := conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // more came than there was room for
			changed()
			continue
		case err != nil:
			return fmt.Errorf("read netlink: %w", err)
		}
		for _, m := range messages {
			if m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN { // the end of a transaction
				changed()
			}
		}
	}
}
