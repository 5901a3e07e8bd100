package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/internal/node"
)

const hookRunHelp = `Run one hook of a network config and print what it owns afterwards as ip, bridge and wg command lines.

It runs in a scratch network namespace with an interface eth0, after the hooks that come before it in a node's life, and with an
empty working directory. With --here it runs alone, on this machine as it is: what it does stays, and is known to the daemon
when that starts. While the daemon runs, --here is refused.

The exit status is 1 when the hook fails.`

func newHookRunCommand() *cobra.Command {
	var o occasion
	var here bool
	c := o.command("run", "Run a hook in a scratch network namespace, or here", hookRunHelp, func(c *cobra.Command) error {
		unix.Umask(0o077)
		if here {
			return o.runHere(c)
		}
		return o.runInScratch(c)
	})
	c.Flags().BoolVar(&here, "here", false, "run it on this machine, and keep what it does")
	return c
}

func (o *occasion) runHere(c *cobra.Command) error {
	if err := errors.Join(node.StateDir(o.stateDir), node.RunDir(o.runDir)); err != nil {
		return err
	}
	unlock, err := control.Lock(o.runDir)
	if err != nil {
		return err
	}
	defer unlock()
	return o.runOn(c, filepath.Join(o.runDir, "ledger"), o.event)
}

func (o *occasion) runInScratch(c *cobra.Command) error {
	const purpose = "hook-run" // one word
	inside, err := netns.Inside(purpose)
	if err != nil {
		return err
	}
	if !inside {
		status, err := netns.Relaunch(purpose, 0)
		if err == nil && status != 0 {
			err = &refusal{err: errors.New("the hook failed"), status: status, said: true}
		}
		return err
	}
	if o.stateDir, err = os.MkdirTemp("", "overlayd-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.stateDir)
	removeUnderlay, err := underlay()
	if err != nil {
		return err
	}
	defer removeUnderlay()
	return o.runOn(c, "", o.life()...)
}

// life are the hooks of a node's life up to the event.
func (o *occasion) life() (all []hooks.Hook) {
	switch o.event {
	case hooks.PostStartup:
		return []hooks.Hook{hooks.PreStartup, o.event}
	case hooks.SubnetAdd, hooks.Shutdown:
		return []hooks.Hook{hooks.PreStartup, hooks.PostStartup, o.event}
	case hooks.SubnetRemove:
		return []hooks.Hook{hooks.PreStartup, hooks.PostStartup, hooks.SubnetAdd, o.event}
	}
	return []hooks.Hook{o.event}
}

// underlay gives this namespace an interface as a machine has one.
func underlay() (remove func(), err error) {
	here, err := netns.Current()
	if err != nil {
		return nil, err
	}
	other, err := netns.New()
	if err != nil {
		return nil, errors.Join(err, here.Close())
	}
	err = errors.Join(
		netns.Connect(here, "eth0", other, "eth0", 1500),
		here.Addr("eth0", netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")),
		here.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.254")),
		here.Route(netip.MustParsePrefix("::/0"), netip.MustParseAddr("2001:db8::fe")),
	)
	return func() { errors.Join(here.Close(), other.Close()) }, err
}

// runOn calls the hooks one after the other on the network namespace of this process.
func (o *occasion) runOn(c *cobra.Command, ledger string, all ...hooks.Hook) error {
	log := newLogger(c.ErrOrStderr(), o.logLevel, o.logFormat)
	ctx, stop := stopOnSignal(c.Context(), log)
	defer stop()
	set, err := builtin.Open(builtin.Options{Ledger: ledger, Logger: log})
	if err != nil {
		return err
	}
	defer set.Close()
	d := &daemon{settings: o.settings, log: log, commands: set, helpers: newHelpers()}
	defer d.helpers.Close()
	if d.nodeID, err = node.Identity(o.stateDir); err != nil {
		return err
	}
	p, err := d.plan(o.config, o.network)
	if err != nil {
		return err
	}
	if err := o.performAll(ctx, c, p, all); err != nil {
		return refuse(exitFailed, err)
	}
	for _, line := range set.Owned() {
		fmt.Fprintln(c.OutOrStdout(), line)
	}
	return nil
}

func (o *occasion) performAll(ctx context.Context, c *cobra.Command, p *plan, all []hooks.Hook) error {
	for _, hook := range all {
		o.event = hook
		data, err := o.perform(ctx, p)
		if err != nil {
			return err
		}
		if text := string(data.V4) + string(data.V6); text != "" {
			fmt.Fprintln(c.OutOrStdout(), "# tells the other nodes:", text)
		}
	}
	return nil
}
