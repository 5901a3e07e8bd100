package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// candidates is how many subnets one attempt tries. With 8, two thousand nodes that start at once hardly ever try twice.
const candidates = 8

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
	stirred chan struct{} // Peers saw the own record not as it was written

	mu  sync.Mutex
	own Record // zero until acquired
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

// Acquire takes a lease with the public addresses, the data and the backend type that are wanted, and returns it with its
// subnets. It takes, in this order: the record that this node wrote earlier; one without a node's identity for its public
// address, which is a reservation or left by flannel; one of the subnets it had earlier; any free one. A record of this
// node that does not fit the network is given back, unless it is a reservation.
//
// What stands in the way, be it the store or a network without free subnets, is logged and waited out: the only errors are
// that of the context, and data that is not JSON.
func (m *Manager) Acquire(ctx context.Context, want Lease) (Lease, error) {
	want, err := m.normal(want)
	if err != nil {
		return Lease{}, fmt.Errorf("acquire lease: %w", err)
	}
	trouble := reporter{log: m.o.Logger, what: "acquire lease"}
	race := pause{first: 10 * time.Millisecond, limit: 500 * time.Millisecond}
	patience := pause{first: 500 * time.Millisecond, limit: 15 * time.Second}
	for {
		own, err := m.acquire(ctx, want)
		wait := &patience
		switch {
		case err == nil:
			trouble.fine()
			m.setOwn(own)
			m.o.Logger.Info("lease acquired", "subnet", own.Lease.String(), "reserved", own.Reserved(), "ttl", m.o.TTL)
			return own.Lease, nil
		case ctx.Err() != nil:
			return Lease{}, fmt.Errorf("acquire lease: %w", ctx.Err())
		case errors.Is(err, ErrTaken), errors.Is(err, ErrLost): // another node was faster: look again
			wait = &race
			patience.reset()
		default:
			trouble.trouble(err)
		}
		if err := sleep(ctx, wait.delay()); err != nil {
			return Lease{}, fmt.Errorf("acquire lease: %w", err)
		}
	}
}

// acquire tries once.
func (m *Manager) acquire(ctx context.Context, want Lease) (Record, error) {
	s, err := m.store.Load(ctx)
	if err != nil {
		return Record{}, err
	}
	wishes := m.o.Previous
	if old, ok := m.mine(s, want); ok {
		if m.fits(old.Lease) {
			return m.store.Update(ctx, old, m.o.TTL, old.on(want))
		}
		if old.Reserved() {
			return Record{}, fmt.Errorf("reservation %q does not fit the network: change or delete it in the store", old.Key())
		}
		m.o.Logger.Warn("own lease does not fit the network, giving it back", "subnet", old.Lease.String())
		if err := m.store.Delete(ctx, old); err != nil {
			return Record{}, err
		}
		if s, err = m.store.Load(ctx); err != nil {
			return Record{}, err
		}
		wishes = append([]netip.Prefix{old.V4.Subnet, old.V6.Subnet}, wishes...)
	}
	leases, err := m.pick(s, want, wishes)
	if err != nil {
		return Record{}, err
	}
	return m.store.Create(ctx, s, m.o.TTL, leases...)
}

// pick pairs the free subnets of the families in use.
func (m *Manager) pick(s Snapshot, want Lease, wishes []netip.Prefix) ([]Lease, error) {
	leases := slices.Repeat([]Lease{want}, candidates)
	taken := s.Taken()
	for _, f := range []struct {
		pool Pool
		path func(*Lease) *Path
	}{
		{m.network.V4, func(l *Lease) *Path { return &l.V4 }},
		{m.network.V6, func(l *Lease) *Path { return &l.V6 }},
	} {
		if f.pool.Size() == 0 {
			continue
		}
		subnets := f.pool.Pick(len(leases), append(slices.Clone(wishes), f.pool.Slot(m.o.NodeID)), taken, m.o.Rand)
		if len(subnets) == 0 {
			return nil, f.pool.exhausted(s)
		}
		leases = leases[:len(subnets)]
		for i, subnet := range subnets {
			f.path(&leases[i]).Subnet = subnet
		}
	}
	return leases, nil
}

func (p Pool) exhausted(s Snapshot) error {
	holders, reserved := 0, 0
	for _, t := range s.Taken() {
		if _, ok := p.span(t); ok {
			holders++
		}
	}
	for _, r := range s.Records {
		if r.Reserved() {
			reserved++
		}
	}
	return fmt.Errorf("%w: all %d from %s/%d to %s are taken by %d leases, %d of them reservations",
		ErrExhausted, p.Size(), p.Min, p.SubnetLen, p.Max, holders, reserved)
}

// Release gives the lease back, so that another node can have its subnets at once. A reservation stays, and so does what
// is not this node's any more.
func (m *Manager) Release(ctx context.Context) error {
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
