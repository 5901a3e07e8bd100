package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overlayd/overlayd/internal/sleep"
)

// Hold keeps the acquired lease from expiring until the context ends, whose error it returns, or until the lease is lost to
// another node: then the error is ErrLost, and the node needs another lease. A lease that expired or was deleted or
// overwritten is written again as long as no other node holds its subnets. Everything else is logged and tried again.
func (m *Manager) Hold(ctx context.Context) error {
	trouble := reporter{log: m.o.Logger, what: "hold lease"}
	retry := pause{first: time.Second, limit: min(30*time.Second, m.o.TTL/6)}
	check, next := m.renew, m.renewal()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.stirred:
			check = m.restore
		case <-time.After(next):
		}
		err := check(ctx)
		if errors.Is(err, ErrLost) {
			check = m.restore
			err = check(ctx)
		}
		switch {
		case err == nil:
			trouble.fine()
			retry.reset()
			check, next = m.renew, m.renewal()
		case errors.Is(err, ErrLost):
			m.lose()
			return fmt.Errorf("hold lease %s: %w", m.Own(), err)
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			trouble.trouble(err)
			next = retry.delay()
		}
	}
}

// renewal is when to renew next: early enough that two more attempts fit in before the lease expires.
func (m *Manager) renewal() time.Duration { return jitter(m.o.TTL / 3) }

// lose remembers that the lease is another node's, which may wait for this one to give it up.
func (m *Manager) lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = m.own
}

func (m *Manager) renew(ctx context.Context) error { return m.store.Renew(ctx, m.ownRecord()) }

// restore makes the store say of the own lease what it should. It answers ErrLost when another node holds the subnets.
func (m *Manager) restore(ctx context.Context) error {
	race := pause{first: 10 * time.Millisecond, limit: 500 * time.Millisecond}
	for {
		s, err := m.store.Load(ctx)
		if err != nil {
			return err
		}
		if err := m.foreign(s); err != nil {
			return err
		}
		own, err := m.rewrite(ctx, s)
		switch {
		case err == nil:
			m.setOwn(own)
		case errors.Is(err, ErrKept): // it was another's in between
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		if !errors.Is(err, ErrTaken) && !errors.Is(err, ErrLost) {
			return err
		}
		if err := sleep.For(ctx, race.delay()); err != nil { // the store changed meanwhile: look again
			return err
		}
	}
}

// foreign is ErrLost if another node holds the own lease's subnets. One whose lease merely overlaps, while the own is in
// its place, does not.
func (m *Manager) foreign(s Snapshot) error {
	own := m.ownRecord()
	if r := s.Records.Get(&own); r != nil {
		if m.owns(r.Lease) || r.NodeID == "" && m.sameAddress(r.Lease, own.Lease) {
			return nil
		}
		return fmt.Errorf("%w: the node at %s has overwritten it", ErrLost, r.publicIP())
	}
	s.Unreadable = s.Unreadable.Without(&Unreadable{Key: own.Key()})
	if len(s.Free([]Lease{own.Lease})) == 0 {
		return fmt.Errorf("%w: another node has taken the subnet", ErrLost)
	}
	return nil
}

// rewrite writes the own lease where it is not as it should be. It answers ErrTaken or ErrLost when the snapshot is out of
// date.
func (m *Manager) rewrite(ctx context.Context, s Snapshot) (Record, error) {
	own, want := m.ownRecord(), m.wanted()
	if r := s.Records.Get(&own); r != nil {
		switch {
		case r.Equal(want):
			return *r, m.store.Renew(ctx, *r)
		case r.Revision == own.Revision:
			m.o.Logger.Info("own lease says something new", "subnet", want.String(), "public", want.publicIP())
		default:
			m.o.Logger.Warn("own lease was overwritten in the store, writing it again", "subnet", want.String())
		}
		return m.store.Update(ctx, *r, m.o.TTL, want)
	}
	if u := s.Unreadable.Get(&Unreadable{Key: own.Key()}); u != nil {
		m.o.Logger.Warn("own lease was overwritten with what is none, deleting that", "subnet", own.Lease.String(), "err", u.Err)
		return Record{}, cmp.Or(m.store.Delete(ctx, Record{Lease: own.Lease, Revision: u.Revision}), ErrTaken)
	}
	m.o.Logger.Warn("own lease was gone from the store, taking it again", "subnet", own.Lease.String())
	return m.store.Create(ctx, s, m.o.TTL, want)
}
