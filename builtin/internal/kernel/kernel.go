// Package kernel is the part of the kernel's network state that overlayd changes: links, addresses, routes, rules,
// neighbours, FDB entries, VLANs of bridges, WireGuard devices and sysctls.
//
// An Object is a plain value that describes one of them, an Op is a verb with an object, and both print as the ip,
// bridge or wg command that says the same. A Kernel carries Ops out. There are two: the one that Open returns speaks
// netlink to the namespace this process is in, and runs WireGuard in this process where the kernel has none; Fake keeps
// its state in memory and answers with the same errors. Scopes remember who made what, and take it back.
//
// It is for Linux alone, and needs CAP_NET_ADMIN.
package kernel

import (
	"context"
	"iter"
)

// A Kernel carries out operations. Its methods may be called concurrently.
type Kernel interface {
	// Do carries out the operations in order and stops at the first that fails. Its error is an *OpError, which is
	// fs.ErrExist or fs.ErrNotExist when the object was, or was not, there.
	Do(context.Context, ...Op) error
	// Batch carries out the operations in order, whichever of them fail, and far faster than Do where they are many. It returns
	// nil when none failed, and else an error for each, nil for those that succeeded; they are as Do's. Operations that were
	// not begun when the context ended have its error. The next operations are asked for while the kernel works on those before.
	Batch(context.Context, iter.Seq[Op]) []error
	// List returns the objects of the type of like, in the kernel's order. Fields of like that are set narrow the
	// list where the kernel can, such as a Route's Table.
	List(ctx context.Context, like Object) ([]Object, error)
	// Compare returns what of the objects the kernel does not have as it is described, in their order. It looks at whole
	// tables, and is for many objects.
	Compare(context.Context, []Object) ([]Difference, error)
	// Rivals returns the routes of the main table that packets take instead of a route to the same prefix that Spread has given its
	// metric. If they are more than most it returns so many and one.
	Rivals(ctx context.Context, most int) ([]Route, error)
	// Lookup returns the route that the packet takes, as ip route get does: its only hop says how they leave,
	// and its type is local when they stay here. Without a way there the error is fs.ErrNotExist.
	Lookup(ctx context.Context, q Query) (Route, error)
	// Watch calls notice with each change that the kernel tells of, whoever made it, until the context ends, whose error it
	// returns. The kernel does not tell of everything: not of routes that vanish with their link's going down, nor of
	// WireGuard unless that runs in this process, and of few sysctls. Of what has changed of a sysctl or a WireGuard device, it
	// does not say. One Watch runs at a time.
	Watch(ctx context.Context, notice func(Notice)) error
	// Close ends userspace WireGuard devices and gives the sockets back. Everything else stays as it is.
	Close() error
}
