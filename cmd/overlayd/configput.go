package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/signature"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const configPutHelp = `Check a network config as the daemon would, show what it changes, and write it to etcd, where running daemons take it
up. FILE is JSON or YAML, or a daemon config with the network under network:, or - for standard input. Nothing is written when
somebody else has written a network config meanwhile, or with --dry-run.

What was there before is remembered: see overlayd config history and overlayd config rollback.

With --canary the config is staged: only the nodes that are named take it up. A node whose hooks fail under it goes back to
the one of before, and says so: see overlayd config canary. --continue makes the staged config that of all nodes, and a node whose
hooks fail then goes back too; --abandon has those that have it go back. NODE is a subnet, an address or an identity, as in
overlayd lease list. What nodes must have alike to reach each other cannot be staged.`

func newConfigPutCommand() *cobra.Command {
	var s settings
	var o putOptions
	c := &cobra.Command{
		Use: "put [FILE]", Short: "Check a network config and write it for running daemons", Long: configPutHelp, Args: o.args,
		RunE: func(c *cobra.Command, args []string) error {
			if o.goOn || o.abandon {
				return s.withStore(c, func(ctx context.Context, store *etcd.Store) error { return o.end(ctx, c, store) })
			}
			return s.withProposal(c, args[0], func(ctx context.Context, p proposal) error {
				p.dryRun = o.dryRun
				if p.canary = len(o.canaries) > 0; p.canary {
					return p.stage(ctx, c, o.canaries)
				}
				return p.put(ctx, c)
			})
		},
	}
	s.etcdFlags(c.Flags())
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would change")
	f.StringSliceVar(&o.canaries, "canary", nil, "`NODE` that is to try the config before all others; may be given more than once")
	_ = c.RegisterFlagCompletionFunc("canary", completeNodes(true)) // the flag is there
	f.BoolVar(&o.goOn, "continue", false, "make the staged config that of all nodes, if it does where it was tried")
	f.BoolVar(&o.force, "force", false, "continue whatever the nodes that tried it say")
	f.BoolVar(&o.abandon, "abandon", false, "take the staged config back")
	return c
}

// putOptions are the flags of config put.
type putOptions struct {
	dryRun, goOn, force, abandon bool
	canaries                     []string
}

// args refuses what does not go together.
func (o *putOptions) args(c *cobra.Command, args []string) error {
	ends := 0
	for _, is := range []bool{len(o.canaries) > 0, o.goOn, o.abandon} {
		if is {
			ends++
		}
	}
	switch {
	case ends > 1:
		return errors.New("canary, continue and abandon exclude each other")
	case c.Flags().Changed("canary") && len(o.canaries) == 0:
		return errors.New("canary wants a NODE")
	case o.force && !o.goOn:
		return errors.New("force goes with continue alone")
	case o.goOn || o.abandon:
		if len(args) > 0 {
			return errors.New("the staged config is meant: no FILE")
		}
		return nil
	}
	return oneFile(c, args)
}

// A proposal is a valid network config that may replace the one in etcd.
type proposal struct {
	store  *etcd.Store
	old    etcd.Configs
	value  []byte
	dryRun bool // nothing is written
	canary bool // some nodes are to try it first
}

// who follows the proposal.
func (p proposal) who() string {
	if p.canary {
		return "nodes that try it"
	}
	return "running nodes"
}

// withProposal calls f with the network config of the file, to replace the one in etcd.
func (s *settings) withProposal(c *cobra.Command, file string, f func(context.Context, proposal) error) error {
	value, err := readNetworkFile(c.InOrStdin(), file)
	if err != nil {
		return refuse(exitConfig, err)
	}
	return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
		old, err := store.Configs(ctx)
		if err != nil {
			return err
		}
		return f(ctx, proposal{store: store, old: old, value: value})
	})
}

// show says what is likely to be a mistake in the proposal, and what it changes.
func (p proposal) show(c *cobra.Command) error {
	if err := showFindings(c.ErrOrStderr(), p.value); err != nil {
		return err
	}
	if signature.Same(p.old.Value, p.value) {
		fmt.Fprintln(c.ErrOrStderr(), "overlayd: warning: its Signature is of the config before: sign it with overlayd config sign")
	}
	return p.showChanges(c)
}

// same says that there is nothing to change.
func (p proposal) same(c *cobra.Command) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d says the same already\n", p.store.ConfigKey(), p.old.Revision)
	return err
}

// put shows the proposal and writes it, unless etcd says the same already, or some nodes are trying another.
func (p proposal) put(ctx context.Context, c *cobra.Command) error {
	if lease.SameJSON(p.old.Value, p.value) {
		return p.same(c)
	}
	if err := p.show(c); err != nil || p.dryRun {
		return err
	}
	if staged := p.old.InForce(); staged != nil {
		return refuse(exitFailed, fmt.Errorf("etcd %s@%d: some nodes are trying another config", p.store.StagedKey(), staged.Revision),
			"end that first with overlayd config put --continue or --abandon")
	}
	revision, err := p.store.ReplaceConfig(ctx, p.value, p.old.Revision, author())
	return p.written(c, p.store.ConfigKey(), revision, err)
}

// written says what has become of writing the key.
func (p proposal) written(c *cobra.Command, key string, revision int64, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return refuse(exitFailed, err, "look at what is there now with overlayd config get, and try again")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d written\n", key, revision)
	return err
}

// showFindings prints what the linter says of the config's hooks. They may be as their author wants them.
func showFindings(w io.Writer, value []byte) error {
	findings, err := lintNetwork(value)
	for _, f := range findings {
		fmt.Fprintf(w, "overlayd: warning: %s\n", f)
	}
	return err
}

// author is who runs this program, for the history of network configs.
func author() etcd.Author {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); err == nil {
		name = cmp.Or(name, u.Username, u.Uid)
	}
	host, err := os.Hostname()
	if err == nil {
		name += "@" + host
	}
	return etcd.Author{By: name, At: time.Now().UTC().Truncate(time.Second)}
}
