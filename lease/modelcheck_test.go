package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/lease"
)

// A modelNode takes a lease, holds it, watches the others, and begins again when the lease is lost, as a daemon does.
type modelNode struct {
	store   lease.Store
	id      string
	host    byte // of its public addresses
	log     *slog.Logger
	network lease.Network
	manager *lease.Manager
	cancel  context.CancelFunc
	ended   chan error

	mu       sync.Mutex
	previous []netip.Prefix
	own      lease.Lease // zero while it has none
	last     lease.Lease
	told     []telling // since the model was last looked at
	knows    []lease.Lease
}

// A telling is a set of peers, and the lease that the node held then.
type telling struct {
	own   lease.Lease
	peers []lease.Lease
}

func (n *modelNode) start(network lease.Network) {
	n.network, n.told, n.knows = network, nil, nil
	n.manager = lease.NewManager(n.store, network, lease.ManagerOptions{
		NodeID: n.id, Previous: n.previous, Logger: n.log, Rand: rand.New(rand.NewPCG(1, 2)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.ended = cancel, make(chan error, 1)
	go func() { n.ended <- n.run(ctx) }()
	synctest.Wait()
}

func (n *modelNode) stop() {
	n.cancel()
	<-n.ended
	n.setOwn(lease.Lease{})
}

func (n *modelNode) run(ctx context.Context) error {
	for {
		own, err := n.manager.Acquire(ctx, node(n.host))
		if err != nil {
			return err
		}
		n.setOwn(own)
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return n.manager.Hold(ctx) })
		g.Go(func() error { return n.manager.Peers(ctx, n.tell) })
		if err := g.Wait(); !errors.Is(err, lease.ErrLost) {
			return err
		}
		n.setOwn(lease.Lease{})
	}
}

func (n *modelNode) setOwn(own lease.Lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own = own; own.String() == "" {
		return
	}
	n.last, n.previous = own, []netip.Prefix{own.V4.Subnet, own.V6.Subnet}
}

func (n *modelNode) tell(set lease.Peers) error {
	peers := lease.List(set)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told, n.knows = append(n.told, telling{n.own, peers}), peers
	return nil
}

func (n *modelNode) takeTold() []telling {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := n.told
	n.told = nil
	return told
}

// sees is the peers that the node with that lease must see in the records.
func (n *modelNode) sees(own lease.Lease, records []lease.Record) (peers []lease.Lease) {
	known := map[string]bool{}
	for _, r := range slices.SortedFunc(slices.Values(records), func(a, b lease.Record) int { return int(b.Revision - a.Revision) }) {
		l := r.Lease
		if n.network.V6.Size() == 0 && l.V6.Subnet.IsValid() {
			if l.V6.Subnet = (netip.Prefix{}); l.V4.PublicIP.IsValid() {
				l.V6 = lease.Path{}
			}
		}
		inside := !l.V4.Subnet.IsValid() || n.network.V4.Network.Overlaps(l.V4.Subnet)
		inside = inside && (!l.V6.Subnet.IsValid() || n.network.V6.Network.Overlaps(l.V6.Subnet))
		if l.String() != "" && r.Key() != own.Key() && r.NodeID != n.id && inside && !overlap(l, own) {
			if !known[l.String()] { // else another one with its subnets was written later
				known[l.String()] = true
				peers = append(peers, l)
			}
		}
	}
	slices.SortFunc(peers, func(a, b lease.Lease) int { return a.Compare(&b) })
	return peers
}

// mayClaim reports whether the record may be taken for this node's.
func (n *modelNode) mayClaim(r lease.Record) bool {
	at := node(n.host)
	return r.NodeID == n.id || r.NodeID == "" &&
		(r.V4.PublicIP == at.V4.PublicIP || !r.V4.PublicIP.IsValid() && r.V6.PublicIP == at.V6.PublicIP)
}

func overlap(a, b lease.Lease) bool {
	return a.V4.Subnet.Overlaps(b.V4.Subnet) || a.V6.Subnet.Overlaps(b.V6.Subnet)
}

// check looks at what must hold at any time. Of a store that is down it knows nothing.
func (m *model) check() {
	synctest.Wait()
	if m.down {
		return
	}
	now, err := m.store.Load(m.ctx)
	if err != nil {
		m.failf("%w", err)
	}
	m.noSubnetTwice(now)
	m.othersAreLeftAlone(now)
	m.nobodyIsForgotten(now)
	m.before, m.touched, m.waited = now, map[string]bool{}, false
}

// noSubnetTwice leaves reservations to whoever reserves a subnet that a node has: see settled.
func (m *model) noSubnetTwice(now lease.Snapshot) {
	for i, r := range now.List() {
		for _, o := range now.List()[:i] {
			ours := strings.HasPrefix(r.NodeID, "node") && strings.HasPrefix(o.NodeID, "node")
			if ours && !r.Reserved() && !o.Reserved() && r.NodeID != o.NodeID && overlap(r.Lease, o.Lease) {
				m.failf("%s and %s have one subnet: %s and %s", o.NodeID, r.NodeID, o.Lease, r.Lease)
			}
		}
	}
}

// othersAreLeftAlone asserts that nodes change only what is theirs, and that reservations stay.
func (m *model) othersAreLeftAlone(now lease.Snapshot) {
	for _, r := range m.before.List() {
		if m.touched[r.Key()] || m.waited && !r.Reserved() {
			continue
		}
		i := slices.IndexFunc(now.List(), func(o lease.Record) bool { return o.Key() == r.Key() })
		claimed := slices.ContainsFunc(m.nodes, func(n *modelNode) bool { return n.mayClaim(r) })
		switch {
		case r.Reserved() && (i < 0 || !now.List()[i].Reserved()):
			m.failf("the reservation of %s is gone: %+v", r.Lease, now.List())
		case !claimed && (i < 0 || now.List()[i].Revision != r.Revision):
			m.failf("somebody's lease was changed: %+v in %+v", r, now.List())
		}
	}
}

// nobodyIsForgotten asserts that whoever was in the store all the time was in each set of peers.
func (m *model) nobodyIsForgotten(now lease.Snapshot) {
	stayed := slices.DeleteFunc(m.before.List(), func(r lease.Record) bool {
		return !slices.ContainsFunc(now.List(), func(o lease.Record) bool { return o.Key() == r.Key() && o.Revision == r.Revision })
	})
	for _, n := range m.nodes {
		for _, told := range n.takeTold() {
			for _, peer := range n.sees(told.own, stayed) {
				seen := func(p lease.Lease) bool { // or one that is alike without its IPv6 half, and was written meanwhile
					return p.Equal(peer) || n.network.V6.Size() == 0 && p.String() == peer.String()
				}
				if !slices.ContainsFunc(told.peers, seen) {
					m.failf("%s lost sight of %s: %v", n.id, peer, told.peers)
				}
			}
		}
	}
}

// settled asserts, after time enough with a store, that each node has what is its and sees all others.
func (m *model) settled() {
	for _, n := range m.nodes {
		if n.own.String() == "" {
			if !m.mayLack(n) {
				m.failf("%s has no lease, though its network %v has free subnets: %+v", n.id, n.network, m.before)
			}
			continue
		}
		for _, o := range m.nodes {
			if o != n && overlap(o.own, n.own) {
				m.failf("%s holds %s, and %s %s", o.id, o.own, n.id, n.own)
			}
		}
		if !slices.ContainsFunc(m.before.List(), func(r lease.Record) bool { return r.Equal(n.own) }) {
			m.failf("%s holds %s, of which the store says %+v", n.id, n.own, m.before.List())
		}
		if d := cmp.Diff(n.knows, n.sees(n.own, m.before.List()), append(comparable, cmpopts.EquateEmpty())...); d != "" {
			m.failf("peers of %s (-got +want)\n%s", n.id, d)
		}
	}
}

// mayLack reports whether there is a reason why the node has no lease.
func (m *model) mayLack(n *modelNode) bool {
	unfit := slices.ContainsFunc(m.before.List(), func(r lease.Record) bool { return r.Reserved() && n.mayClaim(r) })
	return unfit || m.full(n.network.V4) || m.full(n.network.V6)
}

func (m *model) full(p lease.Pool) bool {
	taken := m.before.Taken()
	for i := range p.Size() {
		if !slices.ContainsFunc(taken, p.At(i).Overlaps) {
			return false
		}
	}
	return p.Size() > 0
}
