package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/overlayd/overlayd/internal/sleep"
)

// candidates is how many subnets one attempt tries. With 8, two thousand nodes that start at once hardly ever try twice.
const candidates = 8

// soon is the time within which a lease that nobody renews counts as about to free its subnet.
const soon = time.Hour

// Acquire takes a lease with the public addresses, the data and the backend type that are wanted, and returns it with its
// subnets. It takes, in this order: the record that this node wrote earlier; one without a node's identity for its public
// address, which is a reservation or left by flannel; one of the subnets it had earlier; any free one. A record of this
// node that does not fit the network, and is no reservation, is moved to where it does, with the subnets that can stay.
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
	last := m.Own() // of an earlier call
	a := acquisition{Manager: m, says: want, earlier: append([]netip.Prefix{last.V4.Subnet, last.V6.Subnet}, m.o.Previous...)}
	for {
		own, err := a.try(ctx)
		wait := &patience
		switch {
		case err == nil:
			trouble.fine()
			a.won(own)
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
		if err := sleep.For(ctx, wait.delay()); err != nil {
			return Lease{}, fmt.Errorf("acquire lease: %w", err)
		}
	}
}

// An acquisition is one call of Acquire.
type acquisition struct {
	*Manager
	says    Lease          // what the lease shall say beside its subnets
	earlier []netip.Prefix // what the node had, best first
	listed  Snapshot       // the last Load's; zero once a faster node was met since
	left    Snapshot       // what the faster node left, to choose from; zero if none was met
	soon    string         // how many leases are about to expire, for the log; looked up once
}

// try tries once.
func (a *acquisition) try(ctx context.Context) (own Record, err error) {
	if left := a.left; left.Revision != 0 {
		a.left = Snapshot{}
		return a.create(ctx, left)
	}
	if err := a.giveUp(ctx); err != nil {
		return Record{}, err
	}
	s, err := a.store.Load(ctx)
	if err != nil {
		return Record{}, err
	}
	a.listed = s
	if old, found := a.mine(s, a.says); found {
		why := a.unfit(old)
		switch {
		case why == "":
			return a.store.Update(ctx, old, a.o.TTL, old.on(a.says))
		case old.Reserved():
			return Record{}, fmt.Errorf("reservation %q %s: change or delete it in the store", old.Key(), why)
		}
		l, err := a.moved(ctx, old)
		if err != nil {
			return Record{}, err
		}
		a.o.Logger.Warn("own lease "+why, "subnet", old.Lease.String(), "now", l.String())
		return a.store.Update(ctx, old, a.o.TTL, l.on(a.says))
	}
	return a.create(ctx, s)
}

// giveUp gives up the lease that was lost to another node, which may wait for that.
func (m *Manager) giveUp(ctx context.Context) error {
	m.mu.Lock()
	lost := m.lost
	m.mu.Unlock()
	if lost.Revision == 0 {
		return nil
	}
	if err := m.store.Delete(ctx, lost); err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = Record{}
	return nil
}

// unfit says why the node's record cannot stay, or nothing.
func (a *acquisition) unfit(r Record) string {
	var older []*Record
	for o := range a.listed.Records.All() {
		if o.Revision != r.Revision && (o.Revision < r.Revision || r.Reserved()) && !a.owns(o.Lease) {
			older = append(older, o)
		}
	}
	others := Snapshot{Records: NewSet(older...)}
	switch {
	case !a.fits(r.Lease):
		return "does not fit the network"
	case len(others.Free([]Lease{r.Lease})) > 0:
		return ""
	case r.Reserved(): // without a look at who has the subnets
		return "overlaps another node's lease"
	}
	return "overlaps an older one" // an earlier run was ended while it was about to take it back
}

// moved is subnets for a node whose record cannot stay: those that can, and new ones in place of the others.
func (a *acquisition) moved(ctx context.Context, old Record) (l Lease, err error) {
	others := a.listed
	others.Records = others.Records.Without(&old)
	taken := others.Taken()
	for _, half := range []struct {
		pool Pool
		had  netip.Prefix
		path *Path
	}{{a.network.V4, old.V4.Subnet, &l.V4}, {a.network.V6, old.V6.Subnet, &l.V6}} {
		switch {
		case half.pool.Size() == 0:
			continue
		case half.had.IsValid() && half.pool.keeps(half.had) && !overlaps(half.had, taken):
			half.path.Subnet = half.had
			continue
		}
		picked := half.pool.Pick(1, append(slices.Clone(a.earlier), half.pool.Slot(a.o.NodeID)), taken, a.o.Rand)
		if len(picked) == 0 {
			return l, a.exhausted(ctx, half.pool, others)
		}
		half.path.Subnet = picked[0]
	}
	return l, nil
}

// create takes free subnets.
func (a *acquisition) create(ctx context.Context, seen Snapshot) (Record, error) {
	taken := seen.Taken()
	for _, p := range []Pool{a.network.V4, a.network.V6} {
		if p.Size() > 0 && count(gaps(p.spans(taken), p.Size())) == 0 {
			return Record{}, a.exhausted(ctx, p, seen)
		}
	}
	leases := chooser{a.network, a.o.NodeID, a.earlier, taken, a.o.Rand}.choose(candidates)
	for i, l := range leases {
		leases[i] = l.on(a.says)
	}
	own, err := a.store.Create(ctx, seen, a.o.TTL, leases...)
	if taken, ok := errors.AsType[*TakenError](err); ok {
		a.left, a.listed = taken.Now, Snapshot{}
	}
	return own, err
}

// exhausted says in numbers why the pool has nothing left. Where that comes from a faster node, its ErrTaken lets look first
// at who has what.
func (a *acquisition) exhausted(ctx context.Context, p Pool, s Snapshot) error {
	if a.listed.Revision == 0 {
		return ErrTaken
	}
	var leases []Record
	reserved := 0
	for _, r := range s.List() {
		switch {
		case len(p.spans([]netip.Prefix{r.V4.Subnet, r.V6.Subnet})) == 0:
		case r.Reserved():
			reserved++
		default:
			leases = append(leases, r)
		}
	}
	if a.soon == "" {
		a.soon = a.expiring(ctx, leases)
	}
	return fmt.Errorf("%w: all %d from %s/%d to %s are taken by %d leases, %d of them reservations, %s",
		ErrExhausted, p.Size(), p.Min, p.SubnetLen, p.Max, len(p.spans(s.Taken())), reserved, a.soon)
}

// expiring counts the leases that are about to expire.
func (a *acquisition) expiring(ctx context.Context, leases []Record) string {
	expiries, err := a.store.Expiries(ctx, leases...)
	if err != nil {
		return "and how many soon expire is not known: " + err.Error()
	}
	n := 0
	for _, e := range expiries {
		if e.Left <= soon {
			n++
		}
	}
	return fmt.Sprintf("and %d expire within %s unless renewed", n, soon)
}

// won keeps what was acquired, and what is known of the others.
func (a *acquisition) won(own Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own, a.want, a.known = own, own.Lease, a.listed
}
