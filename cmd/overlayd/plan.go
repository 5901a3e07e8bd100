package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/memory"
	"github.com/overlayd/overlayd/internal/nearest"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// A plan is a network config that has been read to the end and found fit for this machine. Making one touches nothing.
type plan struct {
	revision
	network  lease.Network
	external node.External
	both     bool // addresses of both families are told, whoever the peers are
	backend  backend
	inherits bool            // what the plan before has made is in place
	failing  map[string]bool // peers for which the hooks of the plan before failed, by subnets; for a trial
}

// A backend is what connects the subnets, and what its stop does.
type backend struct {
	hooks.Backend
	concurrency int
	mtu         func() int // bytes, 0 for the external interface's
	shutdown    bool       // whether its author asked for something to be done at a stop
	exclusive   []string   // what no other daemon of the machine may have, see builtin.Backend
}

// effects is who knows what of the backend's is in place: the backend, or whose hooks' commands they are.
func (b backend) effects(commands *builtin.Set) hooks.Effects {
	if own, ok := b.Backend.(hooks.Effects); ok {
		return own
	}
	return commands
}

// plan reads the network config that stands at the place and looks at this machine with it.
func (d *daemon) plan(place string, value []byte) (*plan, error) {
	network, b, err := d.readNetwork(value)
	if err != nil {
		return nil, refuse(exitConfig, fmt.Errorf("%s: %w", place, err))
	}
	facts, err := node.Read()
	if err != nil {
		return nil, err
	}
	external, err := facts.External(d.request(network))
	if err != nil && d.external.given() {
		return nil, refuse(exitUsage, err)
	}
	if err != nil {
		return nil, err
	}
	if err := facts.CheckOverlap(networks(network), external); err != nil {
		return nil, refuse(exitConfig, fmt.Errorf("%s: %w", place, err))
	}
	p := &plan{revision: revision{value: value}, network: network, external: external, both: d.isAsked(network), backend: b}
	if err := p.check(); err != nil {
		return nil, refuse(exitConfig, fmt.Errorf("%s: %s backend: %w", place, network.Backend.Type, err))
	}
	return p, nil
}

// check asks a native backend whether it can be on this machine, if need be with the address that the network does not need.
func (p *plan) check() error {
	b, ok := p.backend.Backend.(builtin.Backend)
	if !ok {
		return nil
	}
	err := b.Check(selfOf(p.network, p.external, p.both))
	if err != nil && !p.both && b.Check(selfOf(p.network, p.external, true)) == nil {
		p.both, err = true, nil
	}
	return err
}

// readNetwork refuses what no daemon can use. A daemon that is not set up can use it to check a config.
func (d *daemon) readNetwork(value []byte) (lease.Network, backend, error) {
	network, err := lease.ParseNetwork(value)
	if err != nil {
		return network, backend{}, err
	}
	if err := d.authorize(network.Backend, value); err != nil {
		return network, backend{}, err
	}
	b, err := d.newBackend(network.Backend)
	return network, b, err
}

// newBackend is the one place that chooses an implementation. It touches nothing.
func (d *daemon) newBackend(b lease.Backend) (backend, error) {
	switch b.Type {
	case "extension":
		config, err := hookrunner.Parse(b.Raw)
		if err != nil {
			return backend{}, fmt.Errorf("parse extension backend: %w", err)
		}
		if d.rehearsal && config.Shell != "" {
			return backend{}, fmt.Errorf("what %s does with hooks cannot be foreseen: only commands that run in-process can", config.Shell)
		}
		runner := hookrunner.New(config, hookrunner.Options{
			Dir: d.stateDir, Helpers: d.helpers, Rehearsal: d.rehearsal, Logger: d.log,
			Begin: func(scope string) hookrunner.Run { return d.commands.Begin(scope) }, Report: d.report,
		})
		return backend{runner, config.Concurrency, runner.MTU, runner.HasShutdown(), nil}, nil
	case "alloc":
		return backend{Backend: hooks.Nop{}, concurrency: 1, mtu: func() int { return 0 }}, nil
	case "vxlan", "host-gw", "wireguard":
		native, err := d.commands.Backend(b, builtin.BackendOptions{NodeID: d.nodeID, Dir: d.stateDir, Logger: d.log})
		if err != nil {
			return backend{}, fmt.Errorf("parse %s backend: %w", b.Type, err)
		}
		return backend{Backend: native, concurrency: 1, mtu: native.MTU, exclusive: native.Exclusive()}, nil
	case "udp", "ipip", "ipsec", "tencent-vpc":
		return backend{}, fmt.Errorf("Backend.Type %q is flannel's and not built in: type extension can do the same by hooks, as examples/vxlan.json does", b.Type)
	}
	types := append([]string{"extension", "alloc"}, builtin.NativeTypes...)
	if like := nearest.Of(b.Type, types); like != "" {
		return backend{}, fmt.Errorf("unknown Backend.Type %.60q: did you mean %q?", b.Type, like)
	}
	return backend{}, fmt.Errorf("unknown Backend.Type %.60q: known are %s", b.Type, strings.Join(types, ", "))
}

// report has the daemon remember what a hook printed and did.
func (d *daemon) report(h hooks.Hook, scope string, r hookrunner.Report) {
	if d.state != nil { // as in every daemon that answers
		d.state.ReportHook(h, scope, r.Stdout, r.Stderr, r.Effects)
	}
}

// networks is the network's prefix of each family in use.
func networks(n lease.Network) []netip.Prefix {
	return slices.DeleteFunc([]netip.Prefix{n.V4.Network, n.V6.Network}, func(p netip.Prefix) bool { return !p.IsValid() })
}

// runPlan runs the network of the plan, on trial unless that is nil, until the context ends.
func (d *daemon) runPlan(ctx context.Context, p *plan, t *trial, reason hooks.Reason) error {
	began := time.Now()
	for _, key := range p.network.Ignored {
		d.log.Warn("key of the network config has no meaning here", "key", key)
	}
	previous, err := node.Previous(d.stateDir, d.subnetFile)
	if err != nil {
		d.log.Warn("earlier subnets are not known", "err", err)
	}
	manager := lease.NewManager(d.cluster.Store, p.network, lease.ManagerOptions{
		NodeID: d.nodeID, Previous: previous, TTL: d.leaseTTL, Logger: d.log, Unreadable: d.state.SetUnreadable,
	})
	remembered, err := d.remember(ctx, p)
	if err != nil {
		return err
	}
	defer remembered.Close()
	d.state.Configure(p.network.Backend.Type, p.number)
	d.sayExternal(p.external)
	observer := hooks.Observer(d.state)
	if t != nil {
		observer = t
	}
	leases := hooks.Leases(manager)
	if _, native := p.backend.Backend.(builtin.Backend); native { // hooks are written for one family or both
		d.breadth.begin(remembered.Peers())
		leases = company{leases, d.breadth}
		defer d.breadth.end()
	}
	err = hooks.Run(ctx, hooks.Options{
		Node: d.self(p, p.external), Watch: d.watchSelf(p),
		BackendType: p.network.Backend.Type, Leases: leases, Backend: p.backend.Backend, Reason: reason,
		Concurrency: p.backend.concurrency, OnStop: d.ending(p.backend), Observer: observer, Logger: d.log,
		Memory: remembered, Effects: p.backend.effects(d.commands),
		Ready: func(n hooks.Node) error {
			err := d.ready(n, p.backend, began)
			began = time.Time{} // later times follow a repair or a change
			return err
		},
	})
	if d.ending(p.backend) == hooks.Teardown {
		d.closeToWorld(ctx)
	}
	d.release(ctx, manager)
	return err
}

// remember opens the memory of the peers that the backend's hooks have added. What the hooks of another backend made of the
// node, before a stop or crash of the daemon, nobody would take back: it is deleted.
func (d *daemon) remember(ctx context.Context, p *plan) (*memory.Memory, error) {
	config, err := json.Marshal(p.network.Backend.Raw) // in its compact form
	if err != nil {
		return nil, err
	}
	m, err := memory.Open(filepath.Join(d.runDir, "peers"), fmt.Sprintf("%x", sha256.Sum256(config)), d.log)
	if err != nil || !m.Void() {
		return m, err
	}
	if p.inherits {
		if err := d.commands.SetAside(); err != nil {
			d.log.Warn("what the backend before made is not known to be its own", "err", err)
		}
		return m, nil
	}
	if err := d.commands.Clear(ctx, hooks.NodeScope); err != nil {
		d.log.Warn("what another backend made could not be removed", "err", err)
	}
	return m, nil
}

// ready opens the node's subnet to the world, says in the subnet file which it is, and remembers it. began is
// when the start began, and zero where the node was up before.
func (d *daemon) ready(n hooks.Node, b backend, began time.Time) error {
	mtu := b.mtu()
	if mtu == 0 {
		mtu = n.MTU
	}
	var subnets []netip.Prefix
	for path := range n.Lease.Paths() {
		subnets = append(subnets, path.Subnet)
	}
	if err := d.openToWorld(n); err != nil {
		return err
	}
	file := node.SubnetFile{Networks: n.Networks, Subnets: subnets, MTU: mtu, IPMasq: d.ipMasq}
	files := []node.File{file.At(d.subnetFile)}
	if d.cniConf != "" {
		files = append(files, file.CNI(d.cniConf))
	}
	err := errors.Join(node.Remember(d.stateDir, subnets), d.promise.give(files...))
	if err != nil {
		return err
	}
	if n.Lease.LacksFamily() {
		d.log.Info("this node has addresses of one family alone, over which subnets of the other go: nodes of flannel pass it over")
	}
	d.state.SetMTU(mtu)
	d.state.SetWireGuard(d.commands.WireGuard())
	facts := []any{"subnet", n.Lease.String(), "node", d.nodeID, "mtu", mtu}
	if !began.IsZero() {
		facts = append(facts, "took", time.Since(began))
	}
	d.log.Info("up", facts...)
	return nil
}

// ending is what --on-exit means for the backend.
func (d *daemon) ending(b backend) hooks.Ending {
	switch {
	case d.onExit == "teardown", d.releaseOnExit:
		return hooks.Teardown
	case d.onExit == "auto" && b.shutdown:
		return hooks.ShutdownOnly
	}
	return hooks.Keep
}
