package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// ManagerOptions are what a Manager needs to know beside the network. Only NodeID must be given.
type ManagerOptions struct {
	NodeID     string             // identity of this node, kept over restarts
	Previous   []netip.Prefix     // subnets that this node held earlier, asked for first
	TTL        time.Duration      // how long a lease outlives its node; 24 h if 0
	Logger     *slog.Logger       // silent if nil
	Rand       *rand.Rand         // chooses among free subnets; seeded by chance if nil
	Unreadable func([]Unreadable) // told, if not nil, what Peers set aside, whenever that changed
}

// A Manager takes one lease for this node, holds it, and reports the leases of the others. Acquire comes first; then Hold
// and Peers may run at once, and rely on each other: what Peers sees happen to the own record, Hold sets right.
type Manager struct {
	store   Store
	network Network
	o       ManagerOptions
	stirred chan struct{} // the own record is not as it should be

	mu    sync.Mutex
	own   Record   // as last written; zero until acquired
	want  Lease    // what it should say
	lost  Record   // to another node, and not yet given up; zero if none is
	known Snapshot // from before own was written, for Peers to begin with; zero if there is none so fresh
}

// NewManager returns a manager for one node's lease of the network.
func NewManager(store Store, network Network, o ManagerOptions) *Manager {
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Manager{store: store, network: network, o: o, stirred: make(chan struct{}, 1)}
}

// Own is the lease that the node holds, as the store last took it; the zero Lease until one is acquired.
func (m *Manager) Own() Lease { return m.ownRecord().Lease }

// Republish changes what the lease that is held says to the public addresses, data and backend type of want, and returns what
// it is to say. The subnets stay. Hold writes it, and tries until the store has it. The error is that of data that is not JSON.
func (m *Manager) Republish(want Lease) (Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	want, err := m.normal(want)
	if err != nil {
		return Lease{}, fmt.Errorf("republish lease %s: %w", m.own.Lease, err)
	}
	if want = m.want.on(want); !want.Equal(m.want) {
		m.want = want
		m.stir()
	}
	return want, nil
}

// Release gives the lease back, so that another node can have its subnets at once. A reservation stays, and so does what
// is not this node's any more.
func (m *Manager) Release(ctx context.Context) error {
	if err := m.giveUp(ctx); err != nil {
		return fmt.Errorf("release lost lease: %w", err)
	}
	own := m.ownRecord()
	if own.Reserved() { // or none is held
		return nil
	}
	if err := m.store.Delete(ctx, own); err != nil && !errors.Is(err, ErrLost) {
		return fmt.Errorf("release lease %s: %w", own.Lease, err)
	}
	m.setOwn(Record{})
	return nil
}

func (m *Manager) ownRecord() Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.own
}

func (m *Manager) setOwn(r Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own = r
}

// wanted is the own lease as it should be.
func (m *Manager) wanted() Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.want
}

// stir lets Hold look at the own record.
func (m *Manager) stir() {
	select {
	case m.stirred <- struct{}{}:
	default: // it has been told
	}
}
