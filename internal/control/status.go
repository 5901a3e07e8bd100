package control

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// statusVersion is the version of Status. Fields may be added to one version; none changes its meaning or goes.
const statusVersion = 1

// A Status is how a daemon stands at one time. Its JSON keys are lowerCamel and stable; times are RFC 3339.
type Status struct {
	Version    int        `json:"version"` // of this structure: 1
	Daemon     Daemon     `json:"daemon"`
	Health     Health     `json:"health"`
	Node       Node       `json:"node"`
	Config     Config     `json:"config"`
	Etcd       Etcd       `json:"etcd"`
	Hooks      []HookUse  `json:"hooks"` // those that have run, by name
	Peers      []Peer     `json:"peers"` // by subnet
	Unreadable Unreadable `json:"unreadable"`
}

// Daemon is the program that runs.
type Daemon struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	NodeID  string    `json:"nodeID"` // this node's identity in its lease
}

// Node is this node.
type Node struct {
	State       hooks.NodePhase `json:"state"`
	Since       time.Time       `json:"since,omitzero"`
	Error       string          `json:"error,omitzero"`   // why the last start failed
	NextTry     time.Time       `json:"nextTry,omitzero"` // when the start is tried again
	Networks    []netip.Prefix  `json:"networks"`         // the whole overlay, one prefix a family
	Paths       []Path          `json:"paths"`            // one a family
	Interface   string          `json:"interface,omitzero"`
	InterfaceBy string          `json:"interfaceBy,omitzero"` // what chose it: a flag, or "default route"
	MTU         int             `json:"mtu,omitzero"`         // of the overlay, in bytes, as the subnet file promises it
	WireGuard   string          `json:"wireGuard,omitzero"`   // where its WireGuard devices run: "kernel" or "userspace", in the daemon
	Masquerade  bool            `json:"masquerade"`           // whether what leaves the overlay is masqueraded
}

// A Path is one address family of a lease.
type Path struct {
	Subnet   netip.Prefix `json:"subnet,omitzero"`
	PublicIP netip.Addr   `json:"publicIP,omitzero"`
}

// Config is the network config in use.
type Config struct {
	Revision int64   `json:"revision,omitzero"` // etcd's revision of its last change
	Backend  string  `json:"backend,omitzero"`  // its Backend.Type
	Problem  string  `json:"problem,omitzero"`  // why a newer one is not in use, or what is waited for
	Canary   *Canary `json:"canary,omitempty"`  // absent where this node has no part in a staged roll-out
}

// A Canary is how this node stands to a config that it is to try before others, or that others have tried before it.
type Canary struct {
	Revision int64       `json:"revision"` // etcd's revision of that config
	State    CanaryState `json:"state"`
	Since    time.Time   `json:"since"`
	Error    string      `json:"error,omitzero"` // why it is not in use
}

// A CanaryState is how a node stands to a config of a staged roll-out, in a person's words.
type CanaryState string

// The states of a canary.
const (
	CanaryTrying   CanaryState = "trying"    // its hooks run, or are retried for some peers
	CanaryRunning  CanaryState = "running"   // they have succeeded, but for peers that they failed for under the config before
	CanaryWentBack CanaryState = "went back" // they failed, and the node uses the config of before
	CanaryRefused  CanaryState = "refused"   // the node cannot use it, and has not tried
)

// String says it in a sentence's end, after the node.
func (c Canary) String() string {
	switch c.State {
	case CanaryTrying:
		return fmt.Sprintf("tries revision %d before others", c.Revision)
	case CanaryRunning:
		return fmt.Sprintf("runs revision %d before others", c.Revision)
	case CanaryWentBack:
		return fmt.Sprintf("went back from revision %d: %s", c.Revision, c.Error)
	}
	return fmt.Sprintf("refuses revision %d: %s", c.Revision, c.Error)
}

// Etcd is the store of the leases.
type Etcd struct {
	Endpoints []string `json:"endpoints"`
	Prefix    string   `json:"prefix"`           // below which the network's keys are
	Problem   string   `json:"problem,omitzero"` // why it does not answer
}

// An EtcdAccess is how a daemon reaches etcd, for other commands of this machine. Of what is secret it has the names of files: who
// may not read these gains nothing by it.
type EtcdAccess struct {
	Endpoints    []string `json:"endpoints"`
	Prefix       string   `json:"prefix"` // below which the network's keys are
	CAFile       string   `json:"caFile,omitzero"`
	CertFile     string   `json:"certFile,omitzero"`
	KeyFile      string   `json:"keyFile,omitzero"`
	Username     string   `json:"username,omitzero"`
	PasswordFile string   `json:"passwordFile,omitzero"`
}

// A HookUse sums up the runs of one hook.
type HookUse struct {
	Hook     hooks.Hook `json:"hook"`
	Runs     int        `json:"runs"`
	Failures int        `json:"failures"` // how many of the runs failed
	Last     HookRun    `json:"last"`
}

// A HookRun is a hook that has run.
type HookRun struct {
	Hook    hooks.Hook   `json:"hook"`
	Scope   string       `json:"scope"` // "node" or the peer's subnets
	Reason  hooks.Reason `json:"reason"`
	Started time.Time    `json:"started"`
	Took    float64      `json:"tookSeconds"`
	Error   string       `json:"error,omitzero"`
}

// A Peer is another node.
type Peer struct {
	Paths    []Path          `json:"paths"`            // one a family
	AlsoAt   []netip.Addr    `json:"alsoAt,omitempty"` // by which other nodes reach it
	NodeID   string          `json:"nodeID,omitzero"`
	State    hooks.PeerState `json:"state"`
	Since    time.Time       `json:"since"`
	Error    string          `json:"error,omitzero"`    // of the last hook
	Failures int             `json:"failures,omitzero"` // in a row
	NextTry  time.Time       `json:"nextTry,omitzero"`
	LastHook *HookRun        `json:"lastHook,omitempty"` // absent when none ran yet
	Reach    *Reach          `json:"reach,omitempty"`    // absent while it has never answered
}

// Names are the paths, and one for each other public address: all by which a person may mean the node.
func (p Peer) Names() []Path {
	names := slices.Clone(p.Paths)
	for _, a := range p.AlsoAt {
		names = append(names, Path{PublicIP: a})
	}
	return names
}

// Unreadable is what stands among the leases and is none. It was set aside.
type Unreadable struct {
	Count int             `json:"count"`
	First []UnreadableKey `json:"first,omitempty"` // some of them
}

// An UnreadableKey is one of them.
type UnreadableKey struct {
	Key   string `json:"key"`
	Error string `json:"error"`
}

// An Effect is a kernel object that hooks, or the backend, have made.
type Effect struct {
	Command string   `json:"command"`          // that makes it
	Missing bool     `json:"missing"`          // the kernel lacks it, or has it otherwise
	MadeBy  *HookRun `json:"madeBy,omitempty"` // absent where the daemon has forgotten, or did not run it
}

// A Record is what etcd holds of a lease.
type Record struct {
	Key      string `json:"key,omitzero"`         // the whole one
	Revision int64  `json:"revision,omitzero"`    // etcd's, of the last write; 0 when there is no such lease
	Reserved bool   `json:"reserved,omitzero"`    // it never expires
	Age      int64  `json:"ageSeconds,omitzero"`  // since it was written or renewed
	Left     int64  `json:"leftSeconds,omitzero"` // until it expires unless renewed
}

// Lease is a lease with the paths' subnets alone. It prints as the name of a peer's scope.
func Lease(paths []Path) (l lease.Lease) {
	for _, p := range paths {
		switch {
		case !p.Subnet.IsValid():
		case p.Subnet.Addr().Is4():
			l.V4.Subnet = p.Subnet
		default:
			l.V6.Subnet = p.Subnet
		}
	}
	return l
}
