package builtin

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/overlayd/overlayd/builtin/hostgw"
	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/builtin/vxlan"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A Backend is a hooks.Syncer that knows what packets fit through the overlay.
type Backend interface {
	hooks.Syncer
	hooks.Effects
	// Check refuses a config that cannot be on such a node. It touches nothing; of the node's Lease only the public addresses count.
	Check(hooks.Node) error
	// MTU is the overlay's in bytes, 0 for the external interface's. It is known once PostStartup has succeeded.
	MTU() int
	// Exclusive is what of this machine no other overlay may have beside this one, as a person would name it: "link flannel.1".
	Exclusive() []string
}

// BackendOptions are what native backends need to know of this node. All are required.
type BackendOptions struct {
	NodeID string // the node's identity, from which links get their addresses
	Dir    string // state directory, for keys
	Logger *slog.Logger
}

// NativeTypes are the types that Set.Backend knows.
var NativeTypes = []string{"vxlan", "host-gw", "wireguard"}

// Backend reads the Backend object of the network config, of one of NativeTypes, and returns what implements it on the Set's
// network namespace. It touches nothing, so that a nil Set can be asked whether the object is valid.
//
// The kernel objects that the backend makes belong to the scopes of hooks.NodeScope and of the peers' subnets. A link
// that is there already and fits is taken over, whoever made it, without a packet lost. A failed hook leaves its scope as
// it was. Shutdown leaves what an earlier life of the node made as long as PostStartup has not succeeded: that may be
// what packets go through right now.
func (s *Set) Backend(b lease.Backend, o BackendOptions) (Backend, error) {
	p, err := parsePlan(b, o)
	if err != nil {
		return nil, err
	}
	all := &planned{set: s, kind: b.Type, plan: p, log: o.Logger, live: map[string]livePeer{}, nexts: map[string]heardNext{}}
	if p, ok := p.(wireguard.Plan); ok {
		all.detour = &detour{planned: all, plan: p, path: keyPath(o)}
	}
	return all, nil
}

func parsePlan(b lease.Backend, o BackendOptions) (plan, error) {
	switch b.Type {
	case "vxlan":
		c, err := vxlan.Parse(b.Raw)
		return vxlan.Plan{Config: c, NodeID: o.NodeID}, err
	case "host-gw":
		return hostgw.Parse(b.Raw)
	case "wireguard":
		c, err := wireguard.Parse(b.Raw)
		return wireguard.Plan{Config: c, Key: wireguard.KeyFile(keyPath(o))}, err
	}
	return nil, fmt.Errorf("type %q is not one of %s", b.Type, strings.Join(NativeTypes, ", "))
}

func keyPath(o BackendOptions) string { return filepath.Join(o.Dir, wireguard.KeyName) }

// A plan says what the kernel is to have, and what the other nodes are to know of it.
type plan interface {
	// Check refuses what Node would refuse for any lease.
	Check(*native.Node) error
	// Data is known before the node has its lease.
	Data(*native.Node) (hooks.Data, error)
	// Links is what of Node can be made without a lease.
	Links(*native.Node) ([]kernel.Object, error)
	// Node is what the node itself needs, each object after those it rests on.
	Node(*native.Node) ([]kernel.Object, error)
	// Peer is what it takes to reach the peer, likewise. The peer is of the same type, and shares a family with the node.
	Peer(*native.Node, *lease.Lease) ([]kernel.Object, error)
	// Exclusive is that of the Backend.
	Exclusive() []string
}

// planned is the Backend that has the kernel be as a plan says.
type planned struct {
	set  *Set
	kind string // of the config
	plan plan
	log  *slog.Logger
	mtu  atomic.Int64

	detour *detour // of WireGuard, nil for other types

	mu      sync.Mutex
	found   native.Node          // what PreStartup found
	call    hooks.Call           // of the last PostStartup
	public  kernel.PublicKey     // of this node, where its peers have one too, as they are told
	rekeyed time.Time            // when this node got another key
	up      bool                 // PostStartup has succeeded
	live    map[string]livePeer  // peers that were added and not removed, by scope
	nexts   map[string]heardNext // what those tell of
}

// Check is part of Backend.
func (b *planned) Check(n hooks.Node) error { return b.plan.Check(&native.Node{Node: n}) }

// sinceOf is since when the peer has been added as this lease says.
func (l livePeer) sinceOf(peer *lease.Lease, now time.Time) time.Time {
	if l.lease != nil && l.lease.Equal(*peer) {
		return l.since
	}
	return now
}

// PreStartup is part of hooks.Backend.
func (b *planned) PreStartup(ctx context.Context, call hooks.Call) (hooks.Data, error) {
	found, err := b.look(ctx)
	if err != nil {
		return hooks.Data{}, err
	}
	b.mu.Lock()
	b.found = found
	up := b.up
	b.mu.Unlock()
	node := b.node(ctx, call)
	if !up {
		err = b.takeUp(node)
	}
	b.noteKey(node)
	switch {
	case err != nil:
	case up:
		err = b.rekey(ctx)
	case len(b.set.asideNames()) > 0:
		err = b.meetPeers(ctx, node)
	}
	if err != nil {
		return hooks.Data{}, err
	}
	return b.data(node)
}

// look finds what the machine has before the backend changes it.
func (b *planned) look(ctx context.Context) (native.Node, error) {
	n := native.Node{Links: map[string]kernel.Link{}, Own: map[netip.Addr]bool{}}
	links, err := b.set.kernel.List(ctx, kernel.Link{})
	if err != nil {
		return n, err
	}
	addrs, err := b.set.kernel.List(ctx, kernel.Addr{})
	if err != nil {
		return n, err
	}
	for _, o := range links {
		l := o.(kernel.Link)
		n.Links[l.Name] = l
	}
	for _, o := range addrs {
		n.Own[o.(kernel.Addr).Prefix.Addr()] = true
	}
	return n, nil
}

// PostStartup is part of hooks.Backend.
func (b *planned) PostStartup(ctx context.Context, call hooks.Call) error {
	node := b.node(ctx, call)
	objects, err := b.plan.Node(node)
	if err != nil {
		return err
	}
	if err := b.makeWay(ctx, objects); err != nil {
		return err
	}
	err = b.inScope(ctx, hooks.NodeScope, func(a *application) error {
		if err := a.clearLinks(ctx, objects); err != nil {
			return err
		}
		if err := a.apply(ctx, objects); err != nil {
			return err
		}
		return a.clearAddresses(ctx, objects, node.Networks)
	})
	if err != nil {
		return b.giveWay(ctx, err)
	}
	if b.detour == nil { // one that an earlier config has left
		if err := b.set.clearDetour(ctx); err != nil {
			return err
		}
	}
	b.mtu.Store(int64(smallestMTU(objects)))
	b.mu.Lock()
	b.call, b.up = call, true
	b.found.Links = maps.Clone(b.found.Links) // which somebody may be reading
	for _, o := range objects {
		if l, ok := o.(kernel.Link); ok {
			b.found.Links[l.Name] = l
		}
	}
	b.mu.Unlock()
	return nil
}

// SubnetRemove is part of hooks.Backend.
func (b *planned) SubnetRemove(ctx context.Context, _ hooks.Call, peer lease.Lease) error {
	scope := peer.String()
	if err := b.set.Clear(ctx, scope); err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.live, scope)
	delete(b.nexts, scope)
	b.mu.Unlock()
	return nil
}

// Shutdown is part of hooks.Backend.
func (b *planned) Shutdown(ctx context.Context, _ hooks.Call) error {
	b.mu.Lock()
	up := b.up
	b.up = false
	b.mu.Unlock()
	if !up {
		return nil
	}
	return b.set.Clear(ctx, hooks.NodeScope)
}

// Exclusive is part of Backend.
func (b *planned) Exclusive() []string { return b.plan.Exclusive() }

// MTU is part of Backend.
func (b *planned) MTU() int { return int(b.mtu.Load()) }

// node is what a plan may know during one hook.
func (b *planned) node(ctx context.Context, call hooks.Call) *native.Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.found
	n.Node, n.Reason, n.Key = call.Node, call.Reason, b.public
	n.Lookup = func(to netip.Addr) (kernel.Route, error) { return b.set.kernel.Lookup(ctx, kernel.Query{To: to}) }
	return &n
}

func smallestMTU(objects []kernel.Object) (mtu int) {
	for _, o := range objects {
		if l, ok := o.(kernel.Link); ok && (mtu == 0 || l.MTU < mtu) {
			mtu = l.MTU
		}
	}
	return mtu
}
