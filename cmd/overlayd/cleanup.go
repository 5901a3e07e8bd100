package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease/etcd"
)

const cleanupHelp = `Remove what this machine's daemon has left, and nothing else: links, addresses, routes, rules and whatever else its hooks or
its backend made, its firewall table, the subnet file and the run directory. What hooks did by programs of their own is not
known. The daemon must be stopped.

The state directory stays, since by what is in it the node has its subnet again, and the lease stays in etcd until it expires.
--release gives the lease back, as overlayd lease release does, and --state removes the state directory too: the node's
identity, its keys and what hooks put there. A state directory with an etcd member in it stays all the same, since that may be
all that a cluster has.

--dry-run prints the same lines, which are commands that would do the same, and changes nothing.`

// A cleanup is the command cleanup.
type cleanup struct {
	settings
	dryRun, release, state, flannel bool

	out, stderr io.Writer
}

func newCleanupCommand() *cobra.Command {
	var o cleanup
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove what the daemon has left on this machine",
		Long:  cleanupHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			o.out, o.stderr = c.OutOrStdout(), c.ErrOrStderr()
			return o.run(c)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be removed")
	f.BoolVar(&o.release, "release", false, "give this node's lease back")
	f.BoolVar(&o.state, "state", false, "remove the state directory too, and with it the node's identity")
	f.BoolVar(&o.flannel, "flannel", false, "remove what flannel left in the firewall too")
	pathVar(f, &o.subnetFile, "subnet-file", defaultSubnetFile, "`FILE` that the daemon wrote for container engines")
	pathVar(f, &o.cniConf, "cni-conf", "", "`FILE` with the CNI network config that the daemon wrote")
	pathVar(f, &o.stateDir, "state-dir", defaultStateDir, "`DIR` in which the daemon keeps what survives a reboot")
	tableVar(f, &o.table)
	o.etcdFlags(f)
	return c
}

// run goes from what needs the memory of what was made to that memory itself, and stops where something stays: another
// cleanup must be able to go on from there.
func (o *cleanup) run(c *cobra.Command) error {
	if err := node.CheckNetAdmin(); err != nil {
		return refuse(exitFailed, err, "run it as root, or grant it CAP_NET_ADMIN")
	}
	unlock, err := o.stopped(c.Context())
	if err != nil {
		return refuse(exitFailed, err)
	}
	defer unlock()
	for _, step := range []func(context.Context) error{o.kernel, o.firewall, o.subnets} {
		if err := step(c.Context()); err != nil {
			return err
		}
	}
	if o.release {
		if err := o.giveBack(c); err != nil {
			return err
		}
	}
	return o.directories()
}

// stopped makes sure that no daemon runs, and that none starts. A dry run writes nothing, not even a lock, nor does a cleanup
// where no daemon has been.
func (o *cleanup) stopped(ctx context.Context) (unlock func(), err error) {
	nothing := func() {}
	if !slices.ContainsFunc(runFiles, func(name string) bool { return !missing(filepath.Join(o.runDir, name)) }) {
		return nothing, nil
	}
	if !o.dryRun {
		return control.Lock(o.runDir)
	}
	if _, err := control.Fetch(ctx, control.SocketPath(o.runDir)); err == nil {
		return nil, fmt.Errorf("an overlayd runs with run directory %s: stop it, or choose another --run-dir", o.runDir)
	}
	return nothing, nil
}

// remove says what is removed, and does so unless this is a dry run.
func (o *cleanup) remove(what string, do func() error) error {
	if !o.dryRun {
		if err := do(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(o.out, what)
	return err
}

// kernel removes what belongs to a scope, the node's own last: the peers' hangs on it.
func (o *cleanup) kernel(ctx context.Context) error {
	options := builtin.Options{Ledger: filepath.Join(o.runDir, "ledger"), Logger: newLogger(o.stderr, slog.LevelWarn, "text")}
	if missing(options.Ledger) {
		return nil
	}
	rehearsal, err := builtin.Rehearse(ctx, options)
	if err != nil {
		return err
	}
	if err := clearAll(ctx, rehearsal.Set); err != nil {
		return err
	}
	if !o.dryRun {
		set, err := builtin.Open(options)
		if err != nil {
			return err
		}
		if err := errors.Join(clearAll(ctx, set), set.Close()); err != nil {
			return fmt.Errorf("remove what was made in the kernel: %w", err)
		}
	}
	for _, line := range rehearsal.Changes() {
		fmt.Fprintln(o.out, line)
	}
	return nil
}

func clearAll(ctx context.Context, set *builtin.Set) error {
	var errs []error
	for _, scope := range append(set.Scopes(), hooks.NodeScope) {
		errs = append(errs, set.Clear(ctx, scope))
	}
	return errors.Join(errs...)
}

// unclaimed reports whether no daemon has what the claim is of, and otherwise says so.
func (o *cleanup) unclaimed(c control.Claim) bool {
	release, err := control.Hold(c)
	if err != nil {
		fmt.Fprintf(o.stderr, "overlayd: %s stays: %v\n", c.What, err)
		return false
	}
	release()
	return true
}

// firewall removes the table. A kernel without nftables has none.
func (o *cleanup) firewall(ctx context.Context) error {
	if !o.unclaimed(o.tableClaim()) {
		return nil
	}
	table := firewall.New(firewall.Options{Name: o.table, Logger: slog.New(slog.DiscardHandler)})
	if there, err := table.Exists(); err == nil && there {
		if err := o.remove("nft delete table "+table.String(), table.Remove); err != nil {
			return err
		}
	}
	if !o.flannel {
		return nil
	}
	left, err := findLeftovers(table)
	if err != nil {
		return err
	}
	if !o.dryRun {
		if err := left.remove(ctx); err != nil {
			return err
		}
	}
	for _, command := range left.commands() {
		fmt.Fprintln(o.out, command)
	}
	return nil
}

// subnets removes the subnet file, and the CNI config that goes with it, unless somebody else wrote it.
func (o *cleanup) subnets(context.Context) error {
	claim, err := o.fileClaim()
	if err != nil {
		return err
	}
	file, err := node.ReadSubnetFile(o.subnetFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) || !o.unclaimed(claim):
		return nil
	case err == nil && file.At(o.subnetFile).IsThere():
		if o.cniConf != "" && file.CNI(o.cniConf).IsThere() {
			if err := o.remove("rm "+quote(o.cniConf), func() error { return os.Remove(o.cniConf) }); err != nil {
				return err
			}
		}
		return o.remove("rm "+quote(o.subnetFile), func() error { return os.Remove(o.subnetFile) })
	}
	_, err = fmt.Fprintf(o.stderr, "overlayd: %s stays, since overlayd did not write what is in it\n", o.subnetFile)
	return err
}

// giveBack releases the lease. A dry run does not ask etcd.
func (o *cleanup) giveBack(c *cobra.Command) error {
	if o.dryRun {
		_, err := fmt.Fprintln(o.out, "overlayd lease release")
		return err
	}
	if _, err := node.KnownIdentity(o.stateDir); errors.Is(err, fs.ErrNotExist) {
		return nil // who never had an identity never had a lease
	}
	return o.withStore(c, func(ctx context.Context, store *etcd.Store) error {
		err := o.releaseOwn(ctx, store, o.out)
		if errors.Is(err, errNoLease) {
			return nil
		}
		return err
	})
}
