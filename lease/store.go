package lease

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Errors by which callers decide what to do next.
var (
	// ErrTaken answers an attempt to create a lease whose subnets somebody else holds.
	ErrTaken = errors.New("subnet is taken")
	// ErrLost answers a write to a lease that is no longer as the writer knew it: gone, expired or overwritten.
	ErrLost = errors.New("lease is lost")
	// ErrKept answers an attempt to take a reservation over whose subnets another node still holds.
	ErrKept = errors.New("the node that had the subnet before has not given it up")
	// ErrExhausted says that the network has no free subnet.
	ErrExhausted = errors.New("no free subnet")
)

// A TakenError is the ErrTaken with which a Store also says what it holds instead, so that the next try needs no Load.
type TakenError struct {
	Now Snapshot // of each record the subnets and the revision alone
}

// Error is that of ErrTaken.
func (e *TakenError) Error() string { return ErrTaken.Error() }

// Is makes the error one of ErrTaken.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }

// A Record is a lease as a Store keeps it.
type Record struct {
	Lease
	Revision int64 // of the last write to this record
	ID       int64 // names what keeps the record from expiring; 0 for a reservation
}

// Compare orders records by their subnets.
func (r *Record) Compare(o *Record) int { return r.Lease.Compare(&o.Lease) }

// Reserved reports whether the record never expires: somebody set the subnet aside for the node at its public IP.
func (r Record) Reserved() bool { return r.ID == 0 }

// An Expiry says when a record expires. It is zero for one that is gone, and for a reservation, which lasts.
type Expiry struct {
	Age  time.Duration // since it was written or renewed
	Left time.Duration // until it expires unless renewed
}

// An Unreadable is something below the leases' prefix that is not a lease. It is set aside: it harms no other lease.
type Unreadable struct {
	Key      string // as found below the prefix, whatever its bytes: quote it
	Err      error  // why it could not be read
	Revision int64  // of the last write to it
}

// Compare orders what is unreadable by its keys.
func (u *Unreadable) Compare(o *Unreadable) int { return strings.Compare(u.Key, o.Key) }

// same reports whether both say the same of one key.
func (u *Unreadable) same(o *Unreadable) bool {
	return u.Key == o.Key && u.Err.Error() == o.Err.Error()
}

// A Snapshot is all that a Store holds at one revision.
type Snapshot struct {
	Revision   int64
	Records    Set[*Record]
	Unreadable Set[*Unreadable]
}

// List returns the records, sorted by their subnets.
func (s Snapshot) List() []Record { return List(s.Records) }

// Taken returns all subnets that somebody holds, also those of records whose key alone could be read.
func (s Snapshot) Taken() []netip.Prefix {
	var taken []netip.Prefix
	for r := range s.Records.All() {
		for p := range r.Paths() {
			taken = append(taken, p.Subnet)
		}
	}
	for u := range s.Unreadable.All() {
		if v4, v6, err := ParseKey(u.Key); err == nil {
			taken = append(taken, v4, v6) // a family that is not there overlaps nothing
		}
	}
	return taken
}

// Free returns those leases whose subnets overlap none that somebody holds.
func (s Snapshot) Free(leases []Lease) []Lease {
	taken := s.Taken()
	return slices.DeleteFunc(slices.Clone(leases), func(l Lease) bool {
		for p := range l.Paths() {
			if overlaps(p.Subnet, taken) {
				return true
			}
		}
		return false
	})
}

// A Store keeps the leases of all nodes. Its methods may be called concurrently.
//
// All writes compare before they swap: none overwrites what the caller has not seen.
type Store interface {
	// Load returns all leases.
	Load(context.Context) (Snapshot, error)

	// Create writes the first of the candidates whose subnets nobody holds, IPv4 and IPv6 each looked at on its own, to
	// expire after ttl unless renewed; 0 makes a reservation. It answers a *TakenError when none is free, and may do so when
	// others were written since seen: choose again from what it says.
	Create(ctx context.Context, seen Snapshot, ttl time.Duration, candidates ...Lease) (Record, error)

	// Update overwrites a record with a lease, to expire after ttl unless renewed; with 0 it becomes a reservation, and a
	// reservation stays one. At no time are the subnets free that both have. It answers ErrLost when the record is no longer as
	// given, ErrTaken when the lease has other subnets and somebody else holds them, and ErrKept when the record is a reservation
	// which somebody wrote over the lease of another node than new's, and that node has not given it up.
	Update(ctx context.Context, old Record, ttl time.Duration, new Lease) (Record, error)

	// Renew keeps a record from expiring for the time it was written with, without writing it: no watcher sees anything. A
	// reservation needs none and stays as it is. It answers ErrLost when the record has expired, is gone, or hangs on another
	// expiry by now.
	Renew(context.Context, Record) error

	// Delete removes a record. It answers ErrLost when the record is no longer as given. In either case its holder has given
	// it up, which ends what ErrKept waits for.
	Delete(context.Context, Record) error

	// Expiries returns when each of the records expires, at the cost of a request for each.
	Expiries(context.Context, ...Record) ([]Expiry, error)

	// Watch calls set with everything the store holds, at once and after each change, until the context ends or set
	// returns an error, which it returns. It begins with what is known from a Load, unless that is the zero Snapshot. What has
	// not changed since the last call is shared with it.
	//
	// Broken connections, compacted revisions and missed changes are its own business: it lists again, and set never sees
	// less than the store held. What happened between two calls of set is not told, so that a slow set holds nobody
	// up. Trouble that it is getting over goes to trouble, which may be nil.
	Watch(ctx context.Context, known Snapshot, set func(Snapshot) error, trouble func(error)) error
}
