package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

const runHelp = `Run the daemon of this node: take a subnet of the network, say which in the subnet file, and keep every other
node reachable until told to stop.

FILE is a network config in JSON or YAML, or a daemon config in YAML: flags by name, and the network under network:.
The network in etcd counts. While etcd has none, the file's is published there.

Each flag can also come from the environment: --etcd-prefix as OVERLAYD_ETCD_PREFIX. The command line wins over the
environment, which wins over the file.

The first interrupt stops in order, as --on-exit says: auto runs a ShutdownCommand if there is one and touches nothing
else, keep touches nothing, teardown removes all. The lease stays the node's. A second interrupt ends the program at once.`

func newRunCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon of this node",
		Long:  runHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.fill(c); err != nil {
				return err
			}
			return runDaemon(c.Context(), s, c.ErrOrStderr())
		},
	}
	s.flags(c.Flags())
	return c
}

// A daemon is what all networks that the daemon serves one after the other share.
type daemon struct {
	settings
	log      *slog.Logger
	state    *control.State
	store    *etcd.Store
	commands *builtin.Set
	nodeID   string
	member   *embedded.Member // nil with an etcd outside
	begun    bool             // something outside of the daemon's own directories was touched
}

// runDaemon runs the daemon until it is told to stop, which is no error. Nothing is touched before all that can be
// known to be wrong has been looked at.
func runDaemon(ctx context.Context, s settings, stderr io.Writer) error {
	log, err := newLogger(stderr, s.logLevel, s.logFormat)
	if err != nil {
		return refuse(exitUsage, err)
	}
	unix.Umask(0o077) // for what hooks write; what others are to read is given its mode
	ctx, stop := stopOnSignal(ctx, log)
	defer stop()
	d := &daemon{settings: s, log: log}
	err = d.run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

func (d *daemon) run(ctx context.Context) (err error) {
	if err := d.preflight(); err != nil {
		return err
	}
	takeBack, err := d.directories()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil && !d.begun {
			takeBack()
		}
	}()
	unlock, err := control.Lock(d.runDir)
	if err != nil {
		return err
	}
	defer unlock()
	if d.nodeID, err = node.Identity(d.stateDir); err != nil {
		return err
	}
	store, closeStore, err := d.openStore(ctx)
	if err != nil {
		return err
	}
	defer closeStore()
	d.store = store
	d.commands, err = builtin.Open(builtin.Options{Ledger: filepath.Join(d.runDir, "ledger"), Logger: d.log})
	if err != nil {
		return err
	}
	defer d.commands.Close()
	return d.serve(ctx)
}

// serve runs the control socket beside the networks.
func (d *daemon) serve(ctx context.Context) error {
	d.state = control.NewState(control.Facts{Version: version(), NodeID: d.nodeID, Endpoints: d.etcd.Endpoints})
	ctx, done := context.WithCancel(ctx)
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return control.Serve(ctx, control.SocketPath(d.runDir), d.state) })
	g.Go(func() error {
		defer done()
		return d.follow(ctx)
	})
	if d.member != nil {
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case err := <-d.member.Err():
				return fmt.Errorf("etcd member: %w", err)
			}
		})
	}
	return g.Wait()
}

// preflight looks at what is known without etcd, and touches nothing.
func (d *daemon) preflight() error {
	if d.network != nil {
		if _, err := d.plan(d.network); err != nil {
			return err
		}
	}
	if err := node.CheckNetAdmin(); err != nil {
		return refuse(exitFailed, err, "run as root, or grant CAP_NET_ADMIN")
	}
	return node.CheckWritable(d.subnetFile)
}

// openStore reaches the etcd cluster that the flags name, or starts one member in this process.
func (d *daemon) openStore(ctx context.Context) (*etcd.Store, func(), error) {
	if len(d.etcd.Endpoints) == 0 {
		started, err := embedded.Start(ctx, embedded.Options{
			Dir: filepath.Join(d.stateDir, "etcd"), ListenClient: d.etcdListen, Logger: d.log,
		})
		if err != nil {
			return nil, nil, err
		}
		d.member = started
		d.etcd.Endpoints = started.Endpoints()
		d.log.Info("etcd member started", "endpoints", d.etcd.Endpoints)
	}
	store, closeClient, err := dial(ctx, d.etcd, d.etcdPrefix, d.etcdWait, d.log)
	closeAll := func() {
		if closeClient != nil {
			closeClient()
		}
		if d.member != nil {
			if err := d.member.Close(); err != nil {
				d.log.Warn("close etcd member", "err", err)
			}
		}
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return store, closeAll, nil
}

// dial reaches the cluster and makes sure of it with one request, repeated for as long as wait while nobody answers.
func dial(ctx context.Context, o etcd.DialOptions, prefix string, wait time.Duration, log *slog.Logger) (*etcd.Store, func(), error) {
	client, err := etcd.Dial(o)
	if err != nil {
		return nil, nil, refuse(exitConfig, err)
	}
	closeClient := func() { client.Close() }
	store := etcd.New(client, prefix, log)
	deadline := time.Now().Add(wait)
	for said := false; ; {
		err = store.Check(ctx)
		if err == nil {
			return store, closeClient, nil
		}
		if !errors.Is(err, etcd.ErrUnreachable) || time.Now().After(deadline) || ctx.Err() != nil {
			closeClient()
			return nil, nil, err
		}
		if !said {
			log.Warn("waiting for etcd", "endpoints", o.Endpoints, "for", wait, "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}
