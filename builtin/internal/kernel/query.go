package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"syscall"
)

// A Query is a packet whose route is looked up. What is not said is as for a packet of this machine's own.
type Query struct {
	To, From netip.Addr
	In, Out  string // the links that it comes by, and has to leave by
	Mark     int
	TOS      int
	UID      *int
	Match    bool // answer the route as it is in the table, and not what it means for this packet
}

// A LookupError is what the kernel answers when it has no route. It is fs.ErrNotExist when there is no way.
type LookupError struct {
	To     netip.Addr
	Errno  syscall.Errno
	Detail string // the kernel's own sentence, often empty
}

func (q Query) refused(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("look up route to %s: %w", q.To, err)
	}
	_, detail, _ := strings.Cut(err.Error(), errno.Error()+": ")
	return &LookupError{q.To, errno, detail}
}

// Error is "look up route to ADDRESS: cause".
func (e *LookupError) Error() string { return fmt.Sprintf("look up route to %s: %v", e.To, e.Errno) }

// Is tells of a lack of a way, which the kernel has two numbers for.
func (e *LookupError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.Errno == syscall.ENETUNREACH || e.Errno == syscall.EHOSTUNREACH) || target == e.Errno
}
