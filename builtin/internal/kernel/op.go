package kernel

import (
	"fmt"
	"io/fs"
	"syscall"
)

// A Verb says what an Op does with its object.
type Verb int

// The verbs, named as the ip command names them.
const (
	Add     Verb = iota // make the object: fs.ErrExist when it is there already
	Append              // make one more beside those that are there
	Replace             // make the object, or change the one that is there into it
	Change              // change the one that is there into it: fs.ErrNotExist without one
	Set                 // change only what the object says, of the one that is there
	Del                 // take the object away: fs.ErrNotExist when it is not there
)

// String is the verb as commands spell it.
func (v Verb) String() string {
	return [...]string{"add", "append", "replace", "change", "set", "del"}[v]
}

// An Op is one change of the kernel's state. It prints as the command that makes the same change.
type Op struct {
	Verb   Verb
	Object Object
}

// String is the operation as a command line that a person could type, secrets replaced by "(hidden)".
func (o Op) String() string { return o.Object.command(o.Verb) }

// An Object is one thing in the kernel's network state: a Link, Addr, Route, Rule, Neigh, FDB, VLAN, Device,
// Peer or Sysctl.
type Object interface {
	// Key names the place that the object takes: two objects with one key cannot exist side by side.
	Key() string
	// command is the command line that applies the verb to the object.
	command(Verb) string
}

// An OpError says which operation the kernel refused, and what it answered.
type OpError struct {
	Op     Op
	Errno  syscall.Errno // 0 when the refusal is not the kernel's
	Detail string        // the kernel's own sentence (extended acknowledgement), often empty
	Err    error         // the cause when there is no Errno, such as an unknown device
}

// Error is "command: cause".
func (e *OpError) Error() string {
	switch {
	case e.Errno == 0:
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	case e.Detail != "":
		return fmt.Sprintf("%s: %v: %s", e.Op, e.Errno, e.Detail)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Errno)
}

// Unwrap returns the cause other than the kernel's number.
func (e *OpError) Unwrap() error { return e.Err }

// Is maps the kernel's several ways to say "not there" and "already there" to fs.ErrNotExist and fs.ErrExist.
func (e *OpError) Is(target error) bool {
	switch target {
	case fs.ErrExist:
		return e.Errno == syscall.EEXIST || e.Errno == syscall.EADDRINUSE
	case fs.ErrNotExist:
		return e.Errno == syscall.ENOENT || e.Errno == syscall.ESRCH || e.Errno == syscall.ENODEV ||
			e.Errno == syscall.EADDRNOTAVAIL || e.Errno == syscall.EOPNOTSUPP && e.Op.Verb == Del && isPortVLAN(e.Op.Object)
	}
	return target == e.Errno && e.Errno != 0
}
