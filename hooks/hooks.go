package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/lease"
)

// A Reason says why a hook runs. It reaches shell hooks as REASON.
type Reason string

// The reasons: Start to Repair lead to startup hooks or SubnetAdd, the others to SubnetRemove or Shutdown.
// Change and Config lead to both.
const (
	Start  Reason = "start"  // the daemon or its backend starts
	Join   Reason = "join"   // a node appeared
	Change Reason = "change" // a node's address or data changed, a peer's or its own
	Retry  Reason = "retry"  // an earlier run failed
	Repair Reason = "repair" // what an earlier run made was taken away, or is not what is needed any more
	Leave  Reason = "leave"  // a node's lease ended
	Stop   Reason = "stop"   // the daemon stops
	Config Reason = "config" // the daemon goes on with another network config, or with another lease
)

// A Hook is the name of one of the five hooks. It reaches shell hooks as EVENT.
type Hook string

// The hooks, in the order of a node's life.
const (
	PreStartup   Hook = "PreStartup"
	PostStartup  Hook = "PostStartup"
	SubnetAdd    Hook = "SubnetAdd"
	SubnetRemove Hook = "SubnetRemove"
	Shutdown     Hook = "Shutdown"
)

// A Node is this node, as hooks see it.
type Node struct {
	Networks  []netip.Prefix // the whole overlay, one prefix per family in use
	Lease     lease.Lease    // own lease; until it is held only PublicIPs are known
	Interface string         // external interface
	MTU       int            // of the external interface
}

// Data is what a node's backend tells the others, for each address family's half of its lease; nil tells nothing.
type Data struct{ V4, V6 json.RawMessage }

// Single is one piece of data for the node as a whole: it is told with the first family in use.
func (n Node) Single(data json.RawMessage) Data {
	if slices.ContainsFunc(n.Networks, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
		return Data{V4: data}
	}
	return Data{V6: data}
}

// A Call is the occasion on which a hook runs.
type Call struct {
	Reason Reason
	Node   Node
}

// A Backend connects the subnets of a network. Its methods are the five hooks, and Run keeps the promises of the package's
// documentation: no method is called twice at once unless Options.Concurrency allows it, and then never for one peer.
type Backend interface {
	// PreStartup runs before the lease is taken and returns what the other nodes are to be told.
	PreStartup(context.Context, Call) (Data, error)
	// PostStartup runs once the lease is held.
	PostStartup(context.Context, Call) error
	// SubnetAdd makes a peer reachable.
	SubnetAdd(ctx context.Context, call Call, peer lease.Lease) error
	// SubnetRemove takes back what SubnetAdd did for this very lease.
	SubnetRemove(ctx context.Context, call Call, peer lease.Lease) error
	// Shutdown takes back what PreStartup and PostStartup did.
	Shutdown(context.Context, Call) error
}

// A Syncer is a Backend that makes many peers reachable in fewer steps than it would one after the other: all of them when it
// starts, and those that are new or lost later. Run calls Sync in place of SubnetAdd where several are due for one reason.
//
// Its SubnetAdd and Sync put a peer that has changed in the place of what it was, so that no packet is lost which need not be:
// SubnetRemove comes before them only where they have failed. That a peer has subnets of another address family too, or no
// more, is such a change, and Effects.Move comes before it.
type Syncer interface {
	Backend
	// Sync does what SubnetAdd does for each of the peers, whose leases nobody changes any more. It returns nil when all
	// succeeded, and else for each what SubnetAdd would have returned.
	Sync(ctx context.Context, call Call, peers []*lease.Lease) []error
}

// Nop is the Backend that does nothing: the node holds its lease and leaves connecting subnets to others.
type Nop struct{}

var _ Backend = Nop{}

// PreStartup publishes nothing.
func (Nop) PreStartup(context.Context, Call) (Data, error) { return Data{}, nil }

// PostStartup does nothing.
func (Nop) PostStartup(context.Context, Call) error { return nil }

// SubnetAdd does nothing.
func (Nop) SubnetAdd(context.Context, Call, lease.Lease) error { return nil }

// SubnetRemove does nothing.
func (Nop) SubnetRemove(context.Context, Call, lease.Lease) error { return nil }

// Shutdown does nothing.
func (Nop) Shutdown(context.Context, Call) error { return nil }

// SetAside is in a Backend's error for a peer that cannot be served as its lease is, or while another one is there. It is tried again
// like others that fail, since what stands in its way may go.
type SetAside struct{ Reason error }

// Error is that of the reason.
func (s SetAside) Error() string { return s.Reason.Error() }

// Unwrap returns the reason.
func (s SetAside) Unwrap() error { return s.Reason }

func isSetAside(err error) bool { return errors.As(err, new(SetAside)) }
