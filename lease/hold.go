package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Hold keeps the acquired lease from expiring until the context ends, whose error it returns, or until the lease is lost to
// another node: then the error is ErrLost, and the node needs another lease. A lease that expired or was deleted or
// overwritten is written again as long as no other node holds its subnets. Everything else is logged and tried again.
func (m *Manager) Hold(ctx context.Context) error {
	trouble := reporter{log: m.o.Logger, what: "hold lease"}
	retry := pause{first: time.Second, limit: min(30*time.Second, m.o.TTL/6)}
	next := m.renewal()
	for {
		check := m.renew
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.stirred:
			check = m.restore
		case <-time.After(next):
		}
		err := check(ctx)
		if errors.Is(err, ErrLost) {
			err = m.restore(ctx)
		}
		switch {
		case err == nil:
			trouble.fine()
			retry.reset()
			next = m.renewal()
		case errors.Is(err, ErrLost):
			return fmt.Errorf("hold lease %s: %w", m.ownRecord().Lease, err)
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

func (m *Manager) renew(ctx context.Context) error { return m.store.Renew(ctx, m.ownRecord()) }

// restore makes the store say of the own lease what it should. It answers ErrLost when another node holds the subnets.
func (m *Manager) restore(ctx context.Context) error {
	own := m.ownRecord()
	s, err := m.store.Load(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Records, func(r Record) bool { return r.Key() == own.Key() })
	switch {
	case i < 0 && len(s.Free([]Lease{own.Lease})) == 0:
		return ErrLost
	case i < 0:
		m.o.Logger.Warn("own lease was gone from the store, taking it again", "subnet", own.Lease)
		own, err = m.store.Create(ctx, s, m.o.TTL, own.Lease)
	case !m.owns(s.Records[i].Lease) && !(s.Records[i].NodeID == "" && m.sameAddress(s.Records[i].Lease, own.Lease)):
		return fmt.Errorf("%w: the node at %s has overwritten it", ErrLost, s.Records[i].publicIP())
	case s.Records[i].Equal(own.Lease):
		own = s.Records[i]
		err = m.store.Renew(ctx, own)
	default:
		m.o.Logger.Warn("own lease was overwritten in the store, writing it again", "subnet", own.Lease)
		own, err = m.store.Update(ctx, s.Records[i], m.o.TTL, own.Lease)
	}
	if errors.Is(err, ErrTaken) || errors.Is(err, ErrLost) {
		return errors.New("the store changes while the lease is restored") // look again
	}
	if err == nil {
		m.setOwn(own)
	}
	return err
}
