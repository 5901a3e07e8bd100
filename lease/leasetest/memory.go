// Package leasetest has a lease.Store in memory, and the tests that every lease.Store must pass.
package leasetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// Memory is a lease.Store in memory. Time passes for it as for the program, so in a synctest bubble it is virtual. Beside
// the Store's methods it has those of an operator: Put, Remove, Expire and Break.
type Memory struct {
	mu       sync.Mutex
	revision int64
	lastID   int64
	entries  map[string]entry
	changed  chan struct{} // closed and replaced at each change
	broken   error
	last     lease.Snapshot
}

var _ lease.Store = (*Memory)(nil)

// An entry is a key's value as text, so that garbage can be kept and every lease passes through its encoding.
type entry struct {
	value    string
	revision int64
	id       int64
	ttl      time.Duration
	deadline time.Time // zero for a reservation
	over     *entry    // what a reservation was written over; nil for nothing
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{revision: 1, entries: map[string]entry{}, changed: make(chan struct{})}
}

// Put writes any value under any key, without an expiry.
func (m *Memory) Put(key, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.write(key, entry{value: value})
}

// Remove deletes a key.
func (m *Memory) Remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
}

// Expire deletes the keys that the record's expiry keeps, as if its time had come.
func (m *Memory) Expire(r lease.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, e := range m.entries {
		switch {
		case r.ID == 0:
		case e.id == r.ID:
			m.remove(key)
		case e.over != nil && e.over.id == r.ID:
			e.over = nil
			m.entries[key] = e
		}
	}
}

// Break makes every method fail with err, until Break(nil). Watchers tell their trouble and see nothing meanwhile.
func (m *Memory) Break(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
	m.wake()
}

// Load implements lease.Store.
func (m *Memory) Load(ctx context.Context) (lease.Snapshot, error) {
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return lease.Snapshot{}, fmt.Errorf("load leases: %w", err)
	}
	return m.snapshot(), nil
}

// Create implements lease.Store.
func (m *Memory) Create(ctx context.Context, seen lease.Snapshot, ttl time.Duration, candidates ...lease.Lease) (lease.Record, error) {
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return lease.Record{}, fmt.Errorf("create lease: %w", err)
	}
	now := m.snapshot()
	for _, l := range now.Free(seen.Free(candidates)) {
		return m.writeLease(l, m.expiry(ttl), ttl)
	}
	for r := range now.Records.All() {
		now.Records = now.Records.With(&lease.Record{Lease: onlySubnets(r.Lease), Revision: r.Revision})
	}
	return lease.Record{}, fmt.Errorf("create lease: %w", &lease.TakenError{Now: now})
}

func onlySubnets(l lease.Lease) lease.Lease {
	return lease.Lease{V4: lease.Path{Subnet: l.V4.Subnet}, V6: lease.Path{Subnet: l.V6.Subnet}}
}

// Expiries implements lease.Store.
func (m *Memory) Expiries(ctx context.Context, records ...lease.Record) ([]lease.Expiry, error) {
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return nil, fmt.Errorf("ask how long leases last: %w", err)
	}
	expiries := make([]lease.Expiry, len(records))
	for i, r := range records {
		if e := m.entries[r.Key()]; e.id != 0 && e.id == r.ID {
			left := time.Until(e.deadline)
			expiries[i] = lease.Expiry{Age: e.ttl - left, Left: left}
		}
	}
	return expiries, nil
}

// expiry names what keeps a record for so long.
func (m *Memory) expiry(ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	m.lastID++
	return m.lastID
}

// Update implements lease.Store.
func (m *Memory) Update(ctx context.Context, old lease.Record, ttl time.Duration, new lease.Lease) (lease.Record, error) {
	defer m.mu.Unlock()
	if err := m.same(ctx, old); err != nil {
		return lease.Record{}, fmt.Errorf("update lease %s: %w", old.Lease, err)
	}
	if e := m.entries[old.Key()].over; e != nil && ttl > 0 && time.Now().Before(e.deadline) {
		if l, err := lease.DecodeValue(old.Key(), []byte(e.value)); err != nil || !l.SameNode(new) {
			return lease.Record{}, fmt.Errorf("update lease %s: %w", old.Lease, lease.ErrKept)
		}
	}
	if ttl == 0 {
		old.ID = 0
	}
	if new.Key() != old.Key() {
		others := m.snapshot()
		others.Records = others.Records.Without(&old)
		if len(others.Free([]lease.Lease{new})) == 0 {
			return lease.Record{}, fmt.Errorf("update lease %s: %w", old.Lease, lease.ErrTaken)
		}
		m.remove(old.Key())
	}
	return m.writeLease(new, old.ID, ttl)
}

// Renew implements lease.Store.
func (m *Memory) Renew(ctx context.Context, r lease.Record) error {
	defer m.mu.Unlock()
	err := m.begin(ctx)
	e, ok := m.entries[r.Key()]
	if err == nil && (!ok || e.id != r.ID) {
		err = lease.ErrLost
	}
	if err != nil {
		return fmt.Errorf("renew lease %s: %w", r.Lease, err)
	}
	if e.id != 0 {
		e.deadline = time.Now().Add(e.ttl)
		m.entries[r.Key()] = e
	}
	return nil
}

// Delete implements lease.Store.
func (m *Memory) Delete(ctx context.Context, r lease.Record) error {
	defer m.mu.Unlock()
	err := m.same(ctx, r)
	if e := m.entries[r.Key()]; errors.Is(err, lease.ErrLost) && e.over != nil && e.over.id == r.ID {
		e.over = nil
		m.entries[r.Key()] = e
	}
	if err != nil {
		return fmt.Errorf("delete lease %s: %w", r.Lease, err)
	}
	m.remove(r.Key())
	return nil
}

// Watch implements lease.Store.
func (m *Memory) Watch(ctx context.Context, known lease.Snapshot, set func(lease.Snapshot) error, trouble func(error)) error {
	told := known.Revision
	if told != 0 {
		if err := set(known); err != nil {
			return err
		}
	}
	for {
		m.mu.Lock()
		m.expire()
		s, broken, changed, next := m.snapshot(), m.broken, m.changed, m.nextExpiry()
		m.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case broken != nil:
			told = 0 // say all again once that is over
			if trouble != nil {
				trouble(fmt.Errorf("watch leases: %w", broken))
			}
		case s.Revision != told:
			told = s.Revision
			if err := set(s); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-next:
		}
	}
}

// begin locks, and returns why nothing can be done, if so.
func (m *Memory) begin(ctx context.Context) error {
	m.mu.Lock()
	m.expire()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.broken
}

// same is begin for a write to a record that must be as given.
func (m *Memory) same(ctx context.Context, r lease.Record) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	if e, ok := m.entries[r.Key()]; !ok || e.revision != r.Revision {
		return lease.ErrLost
	}
	return nil
}

func (m *Memory) writeLease(l lease.Lease, id int64, ttl time.Duration) (lease.Record, error) {
	value, err := lease.EncodeValue(l)
	if err != nil {
		return lease.Record{}, err
	}
	e := entry{value: string(value), id: id, ttl: ttl}
	if id != 0 {
		e.deadline = time.Now().Add(ttl)
	}
	if old, ok := m.entries[l.Key()]; ok && old.value == e.value && old.id == id {
		e.revision = old.revision // nothing for watchers to see
		m.entries[l.Key()] = e
	} else {
		m.write(l.Key(), e)
	}
	return lease.Record{Lease: l, Revision: m.entries[l.Key()].revision, ID: id}, nil
}

func (m *Memory) write(key string, e entry) {
	m.revision++
	e.revision = m.revision
	if old, ok := m.entries[key]; ok && e.id == 0 {
		if e.over = old.over; old.id != 0 {
			e.over = &old
		}
	}
	m.entries[key] = e
	m.wake()
}

func (m *Memory) remove(key string) {
	if _, ok := m.entries[key]; ok {
		m.revision++
		delete(m.entries, key)
		m.wake()
	}
}

func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Memory) expire() {
	for key, e := range m.entries {
		if !e.deadline.IsZero() && !time.Now().Before(e.deadline) {
			m.remove(key)
		}
	}
}

// nextExpiry fires when the first entry expires.
func (m *Memory) nextExpiry() <-chan time.Time {
	var first time.Time
	for _, e := range m.entries {
		if !e.deadline.IsZero() && (first.IsZero() || e.deadline.Before(first)) {
			first = e.deadline
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(time.Until(first))
}

// snapshot shares with the last one what has not changed.
func (m *Memory) snapshot() lease.Snapshot {
	var records []*lease.Record
	var unreadable []*lease.Unreadable
	for _, key := range slices.Sorted(maps.Keys(m.entries)) {
		e := m.entries[key]
		l, err := lease.DecodeValue(key, []byte(e.value))
		if err != nil {
			unreadable = append(unreadable, &lease.Unreadable{Key: key, Err: err, Revision: e.revision})
			continue
		}
		records = append(records, &lease.Record{Lease: l, Revision: e.revision, ID: e.id})
	}
	m.last = lease.Snapshot{
		Revision: m.revision,
		Records: following(m.last.Records, records, func(a, b *lease.Record) bool {
			return a.Equal(b.Lease) && a.Revision == b.Revision && a.ID == b.ID
		}),
		Unreadable: following(m.last.Unreadable, unreadable, func(a, b *lease.Unreadable) bool { return a.Revision == b.Revision }),
	}
	return m.last
}

// following is the set of the items, made from the one before by what is not the same.
func following[T lease.Item[T]](before lease.Set[T], items []T, same func(a, b T) bool) lease.Set[T] {
	next := before
	var none T
	for was, is := range lease.NewSet(items...).Since(before) {
		switch {
		case is == none:
			next = next.Without(was)
		case was == none || !same(was, is):
			next = next.With(is)
		}
	}
	return next
}
