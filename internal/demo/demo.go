// Package demo shows a working overlay network on one machine: real daemons, each in a network namespace as if on a
// machine of its own, that ping each other.
//
// All of it happens in namespaces that the demo makes for itself: the machine's links, routes, files and processes are
// never touched, and nothing is left behind, however the demo ends. Its first process in there is the underlay, a
// bridge with an etcd member; the files are in a memory file system; when that process ends, the kernel ends all others.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/cluster"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
)

// The underlay: what a data centre's network is to real nodes. The addresses are those that RFC 5737 and RFC 3849 set
// aside for documentation.
var (
	underlay4 = netip.MustParsePrefix("192.0.2.0/24")
	underlay6 = netip.MustParsePrefix("2001:db8::/64")
)

// files is where the cluster's files are, in the memory file system that only the demo sees.
const files = "/run/overlayd-demo"

// Options say what to show, and how.
type Options struct {
	Config   []byte // the network config, JSON
	Nodes    int    // at start; one more joins later
	Keep     bool   // stay until the context ends or an interrupt comes
	Out      io.Writer
	Terminal bool   // whether Out may show progress in place
	Binary   string // the overlayd program that nodes run
	Logger   *slog.Logger
}

// An ExitStatus is the status of a demo that has said itself why it failed.
type ExitStatus int

// Error is part of error.
func (s ExitStatus) Error() string { return fmt.Sprintf("demo ended with status %d", int(s)) }

// The most nodes to start with: one more has to fit into a cluster.
const maxNodes = 200

// Run shows the demo. It runs the program again, with the same arguments, in namespaces of its own: there Run comes to
// be called once more, and does the work. The answer outside is nil when every ping came back, an ExitStatus when the
// program inside has told what went wrong, or why it could not be run.
func Run(ctx context.Context, o Options) error {
	network, err := o.Check()
	if err != nil {
		return err
	}
	inside, err := netns.Inside("demo")
	if err != nil {
		return err
	}
	if inside {
		// The first process of a namespace gets no signal that it does not ask for.
		ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
		defer stop()
		return show(ctx, o, network)
	}
	status, err := netns.Relaunch("demo", unix.CLONE_NEWPID)
	if err == nil && status != 0 {
		return ExitStatus(status)
	}
	return err
}

// Check refuses what cannot be shown, and returns the network of what can.
func (o Options) Check() (lease.Network, error) {
	network, err := lease.ParseNetwork(o.Config)
	if err != nil {
		return network, err
	}
	if o.Nodes < 2 || o.Nodes > maxNodes {
		return network, fmt.Errorf("nodes %d: not within 2 and %d", o.Nodes, maxNodes)
	}
	for _, p := range [...]struct {
		pool     lease.Pool
		underlay netip.Prefix
		key      string
	}{{network.V4, underlay4, "Network"}, {network.V6, underlay6, "IPv6Network"}} {
		if !p.pool.Network.IsValid() {
			continue
		}
		if p.pool.Network.Overlaps(p.underlay) {
			return network, fmt.Errorf("%s %s overlaps %s, where the demo's nodes are: try another network",
				p.key, p.pool.Network, p.underlay)
		}
		if p.pool.Size() <= uint64(o.Nodes) {
			return network, fmt.Errorf("%s %s has %d subnets, the demo needs %d: try fewer nodes or a larger network",
				p.key, p.pool.Network, p.pool.Size(), o.Nodes+1)
		}
	}
	return network, nil
}

// A stage is one demo, as it goes on.
type stage struct {
	Options
	network lease.Network
	say     *printer
	fail    context.CancelCauseFunc // called when a node ends by itself
	cluster *cluster.Cluster        // nil before it is built
}

// options are those of the cluster that is shown. It has IPv6 below when it has it above.
func (s *stage) options() cluster.Options {
	o := cluster.Options{
		Config: s.Config, Binary: s.Binary, Dir: files, Cable: "underlay", Underlays: []netip.Prefix{underlay4},
		Logger: s.Logger, Ended: s.fail,
	}
	if s.network.V6.Network.IsValid() {
		o.Underlays = append(o.Underlays, underlay6)
	}
	return o
}

// close stops all nodes, and removes the rest.
func (s *stage) close() error {
	if s.cluster == nil {
		return nil
	}
	s.say.progress("stopping")
	err := s.cluster.Close()
	s.say.step("all nodes stopped, nothing remains")
	return err
}

// show builds the cluster, plays the demo, and takes everything down again.
func show(asked context.Context, o Options, network lease.Network) (err error) {
	ctx, fail := context.WithCancelCause(asked)
	defer fail(nil)
	s := &stage{Options: o, network: network, say: newPrinter(o.Out, o.Terminal), fail: fail}
	defer func() { err = errors.Join(err, s.close()) }()
	if err = s.play(ctx); err == nil && o.Keep {
		if err = s.stay(ctx); err != nil || asked.Err() != nil {
			return err
		}
		return context.Cause(ctx)
	}
	switch {
	case err != nil && asked.Err() != nil:
		return fmt.Errorf("stopped before the end: %w", context.Cause(asked))
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx) // rather than what broke because of it
	}
	return err
}
