package kernel

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
)

// A MAC is a link-layer address as text, in lower case with colons; "" says nothing.
type MAC string

// A Link is a network interface.
type Link struct {
	Name     string    `json:",omitzero"`
	Kind     string    `json:",omitzero"` // vxlan, wireguard, veth, bridge, …; "" for what has no kind, such as lo
	MTU      int       `json:",omitzero"` // bytes; 0 says nothing
	Address  MAC       `json:",omitzero"`
	State    LinkState `json:",omitzero"`
	Alias    string    `json:",omitzero"`
	NoAlias  bool      `json:",omitzero"` // Set: take its alias away
	Master   string    `json:",omitzero"` // the bridge or vrf it belongs to
	NoMaster bool      `json:",omitzero"` // Set: take it out of its master
	Rename   string    `json:",omitzero"` // Set: its new name
	Lower    string    `json:",omitzero"` // the link below: vxlan's dev, vlan's link; "if7" in another namespace
	Peer     string    `json:",omitzero"` // veth's other end, when it is made
	TxQueue  int       `json:",omitzero"` // packets; 0 says nothing
	VXLAN    *VXLAN    `json:",omitzero"` // for kind vxlan; Set: its ID, and the new Local, Remote and Learning, with Lower
	VLAN     int       `json:",omitzero"` // for kind vlan: its id

	// Known after List.
	Index     int      `json:"-"` // the kernel's number
	Flags     []string `json:"-"` // as ip shows them between < and >
	Encap     string   `json:"-"` // ether, loopback, none, …
	Broadcast MAC      `json:"-"`
	Operstate string   `json:"-"` // in lower case, as sysfs shows it
	Qdisc     string   `json:"-"`
	Group     int      `json:"-"` // 0 is default
}

// A LinkState says whether a link is administratively up.
type LinkState int

// The link states. Unsaid leaves the link as it is.
const (
	Unsaid LinkState = iota
	Up
	Down
)

// VXLAN is what a vxlan link has beyond other links. RFC 7348.
type VXLAN struct {
	ID       int        `json:",omitzero"` // VNI
	Port     int        `json:",omitzero"` // UDP destination port; 0 is the kernel's 8472
	Local    netip.Addr `json:",omitzero"` // source of the outer packets; invalid lets routing choose
	Remote   netip.Addr `json:",omitzero"` // default destination, or group
	Learning bool       `json:",omitzero"` // learn FDB entries from packets
	GBP      bool       `json:",omitzero"` // group policy extension
	TTL      int        `json:",omitzero"`
	TOS      int        `json:",omitzero"` // 1 takes the inner packet's
	Ageing   int        `json:",omitzero"` // seconds that learnt entries stay; 0 is the kernel's 300
	Limit    int        `json:",omitzero"` // most FDB entries; 0 is no limit
	PortLow  int        `json:",omitzero"` // first UDP source port; 0 lets the kernel choose
	PortHigh int        `json:",omitzero"` // last UDP source port
	Proxy    bool       `json:",omitzero"` // answer ARP from the neighbour table
	RSC      bool       `json:",omitzero"` // route short circuit
	L2Miss   bool       `json:",omitzero"` // tell of stations that are not in the FDB
	L3Miss   bool       `json:",omitzero"` // tell of addresses that have no neighbour
	ZeroTx6  bool       `json:",omitzero"` // send no UDP checksum over IPv6
	ZeroRx6  bool       `json:",omitzero"` // take packets without UDP checksum over IPv6
	Checksum *bool      `json:",omitzero"` // UDP checksum over IPv4; nil is the kernel's default
}

// An Addr is an address of a link.
type Addr struct {
	Dev       string       `json:",omitzero"`
	Prefix    netip.Prefix `json:",omitzero"` // the address with its prefix length, host bits kept
	Peer      netip.Prefix `json:",omitzero"`
	Broadcast netip.Addr   `json:",omitzero"`
	Scope     string       `json:",omitzero"` // global, link, host or a number; "" is the kernel's choice
	Label     string       `json:",omitzero"`
	NoPrefix  bool         `json:",omitzero"` // do not make the connected route
	NoDAD     bool         `json:",omitzero"` // IPv6: use it at once, without looking for other holders

	// Known after List.
	Flags     []string      `json:"-"` // secondary, dynamic, tentative, … as ip shows them
	Valid     time.Duration `json:"-"` // rest of its life; 0 is forever
	Preferred time.Duration `json:"-"` // rest of its life as a source; 0 is forever
	Other     bool          `json:"-"` // the kernel says more of it than these fields can
}

// AnyTable as a Route's Table makes List return the routes of all tables.
const AnyTable = -1

// A Route leads packets to a prefix.
type Route struct {
	Type     string       `json:",omitzero"` // unicast when "", or blackhole, unreachable, prohibit, throw, local, …
	Dst      netip.Prefix `json:",omitzero"` // the default route is 0.0.0.0/0 or ::/0
	Hops     []Hop        `json:",omitzero"` // one, or several that share the load
	Src      netip.Addr   `json:",omitzero"`
	Metric   int          `json:",omitzero"`
	Table    int          `json:",omitzero"` // 0 is main, 254
	Protocol int          `json:",omitzero"` // who made it; 0 is boot, 3
	Scope    string       `json:",omitzero"` // global, link, host or a number; "" is the kernel's choice
	MTU      int          `json:",omitzero"` // bytes; 0 says nothing
	AdvMSS   int          `json:",omitzero"` // bytes; 0 says nothing

	// Known after List.
	Pref  string `json:"-"` // low, medium or high for IPv6
	Other bool   `json:"-"` // the kernel says more of it than these fields can
}

// A Hop is one way that a Route takes.
type Hop struct {
	Via    netip.Addr `json:",omitzero"` // next node; invalid when the destination is on the link
	Dev    string     `json:",omitzero"`
	Onlink bool       `json:",omitzero"` // reach Via over Dev although no route says so
	Weight int        `json:",omitzero"` // 1 when 0

	Flags []string `json:"-"` // dead, linkdown, known after List
}

// A Neigh is a neighbour's link-layer address.
type Neigh struct {
	IP      netip.Addr `json:",omitzero"`
	Dev     string     `json:",omitzero"`
	Address MAC        `json:",omitzero"`
	State   string     `json:",omitzero"` // permanent when "", or reachable, stale, noarp, …

	Router bool `json:"-"` // known after List
}

// An FDB entry says behind which remote a link-layer address is found.
type FDB struct {
	Address MAC        `json:",omitzero"`
	Dev     string     `json:",omitzero"`
	Dst     netip.Addr `json:",omitzero"` // VTEP of a vxlan; invalid for a bridge's port
	Master  bool       `json:",omitzero"` // the bridge's table, not the device's own
	State   string     `json:",omitzero"` // permanent when "", or static, dynamic
	VLAN    int        `json:",omitzero"`
	Port    int        `json:",omitzero"`
	VNI     int        `json:",omitzero"`
	Via     string     `json:",omitzero"`

	Bridge string   `json:"-"` // the bridge whose table it is in, known after List
	Flags  []string `json:"-"` // extern_learn, offload, sticky, known after List
}

// A Secret is a key that prints as "(hidden)", in logs and JSON too.
type Secret [32]byte

// String hides the secret.
func (Secret) String() string { return "(hidden)" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }

// A PublicKey is a WireGuard peer's key; it prints in base64.
type PublicKey [32]byte

// String is the key in base64.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText is the key in base64.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the key from base64.
func (k *PublicKey) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(k) {
		return fmt.Errorf("parse key %q: want 32 bytes in base64", text)
	}
	copy(k[:], b)
	return nil
}

// A Device is the WireGuard side of a link.
type Device struct {
	Name       string  `json:",omitzero"`
	PrivateKey *Secret `json:"-"`         // nil says nothing
	ListenPort *int    `json:",omitzero"` // nil says nothing
	Mark       *int    `json:",omitzero"` // nil says nothing

	// Known after List.
	PublicKey PublicKey `json:",omitzero"` // of PrivateKey
	Userspace bool      `json:"-"`         // runs in this process or another
}

// A Peer is one peer of a WireGuard device. Set makes it when it is not there, as wg does.
type Peer struct {
	Dev        string         `json:",omitzero"`
	PublicKey  PublicKey      `json:",omitzero"`
	Preshared  *Secret        `json:"-"`         // nil says nothing
	Endpoint   netip.AddrPort `json:",omitzero"` // invalid says nothing
	Keepalive  *time.Duration `json:",omitzero"` // whole seconds, 0 is off; nil says nothing
	AllowedIPs []netip.Prefix `json:",omitzero"` // nil says nothing when Set
	ReplaceIPs bool           `json:",omitzero"` // AllowedIPs are all that the peer may use

	// Known after List.
	Handshake time.Time `json:"-"`
	Received  int64     `json:"-"` // bytes
	Sent      int64     `json:"-"` // bytes
}
