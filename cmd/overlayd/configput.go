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

What was there before is remembered: see overlayd config history and overlayd config rollback.`

func newConfigPutCommand() *cobra.Command {
	var s settings
	var dryRun bool
	c := &cobra.Command{
		Use: "put FILE", Short: "Check a network config and write it for running daemons", Long: configPutHelp, Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withProposal(c, args[0], func(ctx context.Context, p proposal) error {
				if dryRun {
					return p.show(c)
				}
				return p.put(ctx, c)
			})
		},
	}
	s.etcdFlags(c.Flags())
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would change")
	return c
}

// A proposal is a valid network config that may replace the one of the revision in etcd.
type proposal struct {
	store    *etcd.Store
	old      []byte // nil when there is none
	revision int64
	value    []byte
}

// withProposal calls f with the network config of the file, to replace the one in etcd.
func (s *settings) withProposal(c *cobra.Command, file string, f func(context.Context, proposal) error) error {
	value, err := readNetworkFile(c.InOrStdin(), file)
	if err != nil {
		return refuse(exitConfig, err)
	}
	return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
		old, revision, err := store.Config(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return f(ctx, proposal{store, old, revision, value})
	})
}

// show says what is likely to be a mistake in the proposal, and what it changes.
func (p proposal) show(c *cobra.Command) error {
	if err := showFindings(c.ErrOrStderr(), p.value); err != nil {
		return err
	}
	if signature.Same(p.old, p.value) {
		fmt.Fprintln(c.ErrOrStderr(), "overlayd: warning: its Signature is of the config before: sign it with overlayd config sign")
	}
	return p.showChanges(c)
}

// same says that there is nothing to change.
func (p proposal) same(c *cobra.Command) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d says the same already\n", p.store.ConfigKey(), p.revision)
	return err
}

// put shows the proposal and writes it, unless etcd says the same already.
func (p proposal) put(ctx context.Context, c *cobra.Command) error {
	if lease.SameJSON(p.old, p.value) {
		return p.same(c)
	}
	if err := p.show(c); err != nil {
		return err
	}
	revision, err := p.store.ReplaceConfig(ctx, p.value, p.revision, author())
	if errors.Is(err, fs.ErrExist) {
		return refuse(exitFailed, err, "look at what is there now with overlayd config get, and try again")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d written\n", p.store.ConfigKey(), revision)
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
