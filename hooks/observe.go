package hooks

import (
	"time"

	"github.com/overlayd/overlayd/lease"
)

// An Observer is told what Run does, as it happens. It is called from the goroutines that call hooks, from several at
// once, and must not block: hooks wait for it.
type Observer interface {
	// ObserveNode tells what this node is doing.
	ObserveNode(NodeStatus)
	// ObservePeer tells how a peer stands, whenever that changes.
	ObservePeer(PeerStatus)
	// ObserveGone tells that nothing is left of the peer with these subnets.
	ObserveGone(peer lease.Lease)
	// ObserveHook tells that a hook has run.
	ObserveHook(HookRun)
	// ObserveListed tells that the first complete list of peers has come, and been told of by ObservePeer. It is told again
	// whenever the node is up once more.
	ObserveListed()
	// ObserveTurn tells that the loop that decides about hooks has come round. While the node is up it does so at least every
	// TurnInterval, whatever hooks do.
	ObserveTurn()
}

// TurnInterval is the longest time between two calls of ObserveTurn while the node is up.
const TurnInterval = 5 * time.Second

// A NodePhase is what this node is doing, in a person's words.
type NodePhase string

// The phases of a node, in their order. Another config or lease leads from the last to the first.
const (
	NodeIdle     NodePhase = "" // without a network config
	NodeStarting NodePhase = "starting"
	NodeWaiting  NodePhase = "waiting for a lease"
	NodeUp       NodePhase = "up"
	NodeStopping NodePhase = "stopping"
)

// A NodeStatus says how this node stands.
type NodeStatus struct {
	Phase   NodePhase
	Node    Node
	Err     error     // why the last start failed, nil if none did
	NextTry time.Time // when the start is tried again; zero while none waits
}

// A PeerState is how a peer stands, in a person's words.
type PeerState string

// The states of a peer.
const (
	PeerPending   PeerState = "pending"   // its hooks have not run yet
	PeerUp        PeerState = "up"        // SubnetAdd succeeded for the lease as it is
	PeerRetrying  PeerState = "retrying"  // a hook failed and will run again
	PeerSetAside  PeerState = "set aside" // the backend cannot serve the lease as it is, see SetAside
	PeerRepairing PeerState = "repairing" // somebody took away what its hooks made, which run again
	PeerRemoving  PeerState = "removing"  // the node is gone, its SubnetRemove has yet to succeed
	PeerLeftOver  PeerState = "left over" // the node is gone, and SubnetRemove failed for good

	// PeerUnreachable is a peer that is up, and does not answer any more. Run does not know that: it is for those who look.
	PeerUnreachable PeerState = "unreachable"
)

// A PeerStatus says how a peer stands.
type PeerStatus struct {
	Lease    *lease.Lease // nobody changes it any more
	State    PeerState
	Since    time.Time // when the peer came into this state
	Err      error     // of the last hook, nil if it succeeded or none ran since the peer changed
	Attempts int       // failed runs in a row
	NextTry  time.Time // when the hook runs again; zero while none waits
	Last     HookRun   // the last hook that ran for the peer; without a Hook if none did
}

// A HookRun is a hook that has run.
type HookRun struct {
	Hook    Hook
	Scope   string // NodeScope, or the peer's subnets
	Reason  Reason
	Started time.Time
	Took    time.Duration
	Err     error // nil if it succeeded
}

// NodeScope is the scope of the hooks of this node's own life.
const NodeScope = "node"

// NodeNews in the place of a scope that has lost something says that nothing was taken away, but that the node has something else to
// tell the others: the hooks of its own life run again at once, however often.
const NodeNews = "node's news"

// unobserved is the Observer of those who have none.
type unobserved struct{}

func (unobserved) ObserveNode(NodeStatus)  {}
func (unobserved) ObservePeer(PeerStatus)  {}
func (unobserved) ObserveGone(lease.Lease) {}
func (unobserved) ObserveHook(HookRun)     {}
func (unobserved) ObserveListed()          {}
func (unobserved) ObserveTurn()            {}
