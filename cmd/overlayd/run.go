package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

const runHelp = `Run the daemon of this node: take a subnet of the network, say which in the subnet file, and keep every other
node reachable until told to stop.

FILE is a network config in JSON or YAML, or a daemon config in YAML: flags by name, and the network under network:.
The network in etcd counts. While etcd has none, the file's is published there.

An etcd that does not answer is waited for without end, and the overlay that an earlier run left in place goes on working.
What waiting cannot mend, such as a wrong certificate or password, is refused at once, and an etcd to which there is no
route after --etcd-wait.

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
	nodeID   string
	member   *embedded.Member // nil with an etcd cluster of its own
	cluster  *etcdCluster
	commands *builtin.Set
	helpers  *helper.Pool // in which hooks run
	firewall *firewall.Table
	promise  *promise
	breadth  *breadth
	held     holding
	listener net.Listener // of --listen, nil without
	state    *control.State
	rollout  rollout
	begun    bool // whether this start has come to something, so that what it made stays

	rehearsal bool // hooks are only to show what they would do
}

// runDaemon runs the daemon until it is told to stop, which is no error.
func runDaemon(ctx context.Context, s settings, stderr io.Writer) error {
	unix.Umask(0o077) // what hooks write are keys as often as not
	outliveReaders()
	log := newLogger(stderr, s.logLevel, s.logFormat)
	ctx, stop := stopOnSignal(ctx, log)
	d := &daemon{settings: s, log: log, helpers: newHelpers(), firewall: firewall.New(firewall.Options{Name: s.table, Logger: log})}
	d.promise, d.held, d.breadth = &promise{log: log}, holding{}, newBreadth()
	d.sayIneffective()
	err := errors.Join(d.run(ctx), d.helpers.Close())
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	stop()
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// run touches nothing before it has looked at all that can be known to be wrong by then, and leaves nothing behind when
// something turns out to be wrong later.
func (d *daemon) run(ctx context.Context) (err error) {
	file, err := d.preflight()
	if err != nil {
		return err
	}
	made := newTraces(d.runDir, d.stateDir, d.memberDir())
	if err := node.RunDir(d.runDir); err != nil {
		return refuse(exitConfig, err)
	}
	unlock, err := control.Lock(d.runDir)
	if err != nil {
		return refuse(exitConfig, err)
	}
	defer unlock()
	defer d.giveBack()
	if err := d.claim(ctx, file); err != nil {
		return refuse(exitConfig, errors.Join(err, made.erase()))
	}
	defer func() {
		if err != nil && ctx.Err() == nil && !d.begun {
			err = errors.Join(err, made.erase())
		}
	}()
	if err := node.StateDir(d.stateDir); err != nil {
		return refuse(exitConfig, err)
	}
	if d.nodeID, err = node.Identity(d.stateDir); err != nil {
		return err
	}
	defer d.closeEtcd()
	if err := d.openEtcd(ctx); err != nil {
		return err
	}
	d.commands, err = builtin.Open(builtin.Options{Ledger: filepath.Join(d.runDir, "ledger"), Logger: d.log})
	if err != nil {
		return err
	}
	defer d.commands.Close()
	return d.serve(ctx)
}

// claim makes sure that no other daemon has what this one is about to use, with the plan of the config file if there is one.
func (d *daemon) claim(ctx context.Context, file *plan) error {
	claims, err := d.claims()
	if err != nil {
		return err
	}
	if err := d.held.hold(claims...); err != nil {
		return err
	}
	if file != nil {
		if err := d.held.holdNetwork(d.config, file); err != nil {
			return err
		}
	}
	if d.listen != "" {
		d.listener, err = control.ListenTCP(ctx, d.listen)
	}
	return err
}

// giveBack ends what claim began.
func (d *daemon) giveBack() {
	d.held.release()
	if d.listener != nil {
		d.listener.Close()
	}
}

// preflight looks at what is known without etcd, and returns the plan of the config file if there is one.
func (d *daemon) preflight() (file *plan, err error) {
	if d.network != nil {
		if file, err = d.plan(d.config, d.network); err != nil {
			return nil, err
		}
	}
	return file, d.checkMachine()
}

// checkMachine refuses a machine on which the flags cannot be done.
func (d *daemon) checkMachine() error {
	if err := node.CheckNetAdmin(); err != nil {
		return refuse(exitFailed, err, "run it as root, or grant it CAP_NET_ADMIN")
	}
	if err := node.CheckWritable("subnet file", "--subnet-file", d.subnetFile); err != nil {
		return refuse(exitConfig, err)
	}
	if d.cniConf != "" {
		if err := node.CheckWritable("CNI config", "--cni-conf", d.cniConf); err != nil {
			return refuse(exitConfig, err)
		}
	}
	if err := d.checkFirewall(); err != nil {
		return err
	}
	if len(d.etcd.Endpoints) == 0 {
		return d.checkOwnEtcd()
	}
	d.warnOfPlainEtcd(d.etcd.Endpoints...)
	return d.connect()
}

// checkOwnEtcd refuses what cannot be meant for the etcd member of this process.
func (d *daemon) checkOwnEtcd() error {
	for _, o := range d.etcdOptions() {
		if o.value != "" && o.name != "etcd-prefix" {
			return refuse(exitConfig, fmt.Errorf("--%s means nothing to the etcd member in this process", o.name),
				"name the cluster that it is for with --etcd-endpoints")
		}
	}
	return nil
}

func (d *daemon) memberDir() string { return filepath.Join(d.stateDir, "etcd") }

// openEtcd starts an etcd member in this process, unless the flags name a cluster.
func (d *daemon) openEtcd(ctx context.Context) (err error) {
	if d.cluster != nil {
		return nil
	}
	d.member, err = embedded.Start(ctx, embedded.Options{Dir: d.memberDir(), ListenClient: d.etcdListen, Logger: d.log})
	if err != nil {
		return err
	}
	d.etcd.Endpoints = d.member.Endpoints()
	d.log.Info("etcd member started", "endpoint", strings.Join(d.etcd.Endpoints, ","), "data", d.memberDir())
	d.warnOfPlainEtcd(d.etcdListen)
	return d.connect()
}

func (d *daemon) connect() (err error) {
	d.cluster, err = newEtcdCluster(d.etcd, d.etcdPrefix, d.log)
	return err
}

func (d *daemon) closeEtcd() {
	if d.cluster != nil {
		d.cluster.close()
	}
	if d.member != nil {
		d.member.Close()
	}
}

// effects is what was made for a scope, in the words of package control.
func (d *daemon) effects(ctx context.Context, scope string) (list []control.Effect, err error) {
	effects, err := d.commands.Effects(ctx, scope)
	for _, e := range effects {
		list = append(list, control.Effect{Command: e.Command, Missing: e.Missing})
	}
	return list, err
}

// serve runs the networks until the context ends or something fails, and answers for them until the last one has stopped.
func (d *daemon) serve(ctx context.Context) error {
	d.state = control.NewState(control.Facts{
		Version: version(), NodeID: d.nodeID, Etcd: d.etcdAccess(),
		Effects: d.effects, Record: d.record,
	})
	answering, done := context.WithCancel(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return control.Serve(answering, control.SocketPath(d.runDir), d.state) })
	if d.listener != nil {
		g.Go(func() error { return control.ServeTCP(answering, d.listener, d.state) })
	}
	g.Go(func() error { control.Notify(answering, d.state, d.log); return nil })
	if d.member == nil { // which has other needs
		g.Go(func() error { return sparing(answering) })
	}
	g.Go(func() error {
		defer done()
		read, err := d.awaitEtcd(ctx)
		if err != nil {
			return err
		}
		return d.follow(ctx, read)
	})
	g.Go(func() error { return d.promise.keep(ctx) })
	g.Go(func() error { return d.probe(ctx) })
	if d.firewalled() {
		d.state.SetFirewall(d.countFirewall)
		g.Go(func() error { return d.firewall.Keep(ctx) })
	}
	if d.member != nil {
		g.Go(func() error {
			select {
			case err := <-d.member.Err():
				return fmt.Errorf("etcd member has stopped: %w", err)
			case <-answering.Done():
				return nil
			}
		})
	}
	return g.Wait()
}

// reminder is how often a daemon that waits for etcd says so again.
const reminder = 5 * time.Minute

// awaitEtcd waits for etcd, and says so. Nothing is touched meanwhile: what an earlier run left in place goes on working.
func (d *daemon) awaitEtcd(ctx context.Context) (etcd.ConfigRead, error) {
	began := time.Now()
	var last time.Time
	said := map[string]bool{}
	read, err := d.cluster.await(ctx, waiting{noRoute: d.etcdWait}, func(err error) {
		d.state.SetEtcd(err)
		if !said[err.Error()] || time.Since(last) > reminder {
			d.log.Warn("waiting for etcd", "for", time.Since(began).Round(time.Second), "err", err)
			said[err.Error()], last = true, time.Now()
		}
	})
	if err == nil {
		d.state.SetEtcd(nil)
	}
	return read, err
}
