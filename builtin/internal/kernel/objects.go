package kernel

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
)

// A MAC is a link-layer address as text, in lower case with colons; "" says nothing.
type MAC string

// Number is an address of six bytes as a number. ok is false for text that is not of the form in which the kernel's are written here.
func (m MAC) Number() (number uint64, ok bool) {
	const form = "00:00:00:00:00:00"
	if len(m) != len(form) {
		return 0, false
	}
	for i := range len(form) {
		c := m[i]
		switch {
		case form[i] == ':':
			if c != ':' {
				return 0, false
			}
			continue
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		number = number<<4 | uint64(c)
	}
	return number, true
}

// A Link is a network interface.
type Link struct {
	Name      string    `json:",omitzero"`
	Kind      string    `json:",omitzero"` // vxlan, wireguard, veth, bridge, …; "" for what has no kind, such as lo
	MTU       int       `json:",omitzero"` // bytes; 0 says nothing
	Address   MAC       `json:",omitzero"`
	Broadcast MAC       `json:",omitzero"`
	State     LinkState `json:",omitzero"`
	Alias     string    `json:",omitzero"`
	NoAlias   bool      `json:",omitzero"` // Set: take its alias away
	Master    string    `json:",omitzero"` // the bridge or vrf it belongs to
	NoMaster  bool      `json:",omitzero"` // Set: take it out of its master
	Rename    string    `json:",omitzero"` // Set: its new name
	Lower     string    `json:",omitzero"` // the link below: vxlan's dev, vlan's link; "if7" in another namespace
	Peer      string    `json:",omitzero"` // veth's other end, when it is made
	TxQueue   int       `json:",omitzero"` // packets; 0 says nothing
	TxQueues  int       `json:",omitzero"` // queues for sending, when it is made; 0 says nothing
	RxQueues  int       `json:",omitzero"` // queues for receiving, when it is made; 0 says nothing
	Group     *int      `json:",omitzero"` // nil says nothing; List leaves out 0, the default
	AddrGen   string    `json:",omitzero"` // how IPv6 addresses come about: eui64, none, stable_secret, random
	Switches  Options   `json:",omitzero"` // Set: arp, multicast, allmulticast, promisc, dynamic: on or off
	VXLAN     *VXLAN    `json:",omitzero"` // for kind vxlan; Set: its ID, and the new Local, Remote and Learning, with Lower and without MTU
	Options   Options   `json:",omitzero"` // of its kind; List leaves out what the kernel begins with
	Port      Options   `json:",omitzero"` // as a port of its bridge; List leaves out what the kernel begins with

	// Known after List.
	Index     int      `json:"-"` // the kernel's number
	Flags     []string `json:"-"` // as ip shows them between < and >
	Encap     string   `json:"-"` // ether, loopback, none, …
	Operstate string   `json:"-"` // in lower case, as sysfs shows it
	Qdisc     string   `json:"-"`

	// Details is known after List when it was asked for by one that is not nil.
	Details *Details `json:"-"`
}

// AnyEncap as a Link's Encap makes List return the named link's Encap, and nothing else of it, which takes far less time.
const AnyEncap = "*"

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
	TTL      int        `json:",omitzero"` // -1 takes the inner packet's, 0 lets the kernel choose
	TOS      int        `json:",omitzero"` // 1 takes the inner packet's
	Ageing   int        `json:",omitzero"` // seconds that learnt entries stay; 0 is the kernel's 300, -1 for ever
	Limit    int        `json:",omitzero"` // most FDB entries; 0 is no limit
	PortLow  int        `json:",omitzero"` // first UDP source port; 0 lets the kernel choose
	PortHigh int        `json:",omitzero"` // last UDP source port
	External bool       `json:",omitzero"` // routes say VNI and remote, packet by packet
	Filter   bool       `json:",omitzero"` // External: only of the VNIs that are told
	RemSumTx bool       `json:",omitzero"` // remote checksum offload for what is sent
	RemSumRx bool       `json:",omitzero"` // remote checksum offload for what comes
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
	Anycast   netip.Addr   `json:",omitzero"`
	Scope     string       `json:",omitzero"` // global, link, host or a number; "" is the kernel's choice
	Label     string       `json:",omitzero"`
	Metric    int          `json:",omitzero"` // of its connected route
	NoPrefix  bool         `json:",omitzero"` // do not make the connected route
	NoDAD     bool         `json:",omitzero"` // IPv6: use it at once, without looking for other holders
	Home      bool         `json:",omitzero"` // IPv6: a mobile node's home
	Templates bool         `json:",omitzero"` // IPv6: make temporary addresses from it
	AutoJoin  bool         `json:",omitzero"` // join the multicast group that it is
	Eager     bool         `json:",omitzero"` // IPv6: use it before it is known that nobody else has it
	Life      *Life        `json:",omitzero"` // nil is for ever

	// Known after List.
	Flags []string `json:"-"` // secondary, dynamic, tentative, … as ip shows them
	Other bool     `json:"-"` // the kernel says more of it than these fields can
}

// A Life is how long an address lasts, in seconds. Preferred is how long it is a source of new connections.
type Life struct{ Valid, Preferred uint32 }

// Forever is a Life without end.
const Forever = 1<<32 - 1

// AnyTable as a Route's Table makes List return the routes of all tables.
const AnyTable = -1

// A Route leads packets to a prefix.
type Route struct {
	Type     string       `json:",omitzero"` // unicast when "", or blackhole, unreachable, prohibit, throw, local, …
	Dst      netip.Prefix `json:",omitzero"` // the default route is 0.0.0.0/0 or ::/0
	From     netip.Prefix `json:",omitzero"` // IPv6: for packets from there alone
	TOS      int          `json:",omitzero"` // IPv4: for packets of this type of service alone
	Hops     []Hop        `json:",omitzero"` // one, or several that share the load
	Src      netip.Addr   `json:",omitzero"`
	Metric   int          `json:",omitzero"`
	Table    int          `json:",omitzero"` // 0 is main, 254
	Protocol int          `json:",omitzero"` // who made it; 0 is boot, 3
	Scope    string       `json:",omitzero"` // global, link, host or a number; "" is the kernel's choice
	MTU      int          `json:",omitzero"` // bytes; 0 says nothing
	AdvMSS   int          `json:",omitzero"` // bytes; 0 says nothing
	Metrics  Options      `json:",omitzero"` // others, such as "initcwnd": "10", "rtt" in ms; "lock mtu": "on"
	Realms   int          `json:",omitzero"` // from in the upper 16 bits, to in the lower
	NextHop  int          `json:",omitzero"` // a nexthop object, in place of Hops
	Expires  int          `json:",omitzero"` // IPv6: seconds that it stays
	Pref     string       `json:",omitzero"` // IPv6: low, medium or high; "" is medium

	// Answer is what else List or Lookup were told of it, nil for nothing. It is apart since there are thousands of routes without.
	Answer *Answer `json:"-"`
}

// An Answer is what the kernel says of a route beside what makes it.
type Answer struct {
	Other string // something else, for which there is no field: what that is

	// Known after Lookup, which answers AnyTable where no table was looked in.
	Cached     bool     // it is the kernel's answer for one packet
	CacheFlags []string // local, mc, brd, redirected, …
	In         string   // the link that the packet comes from
	Mark       int
	UID        *int // who sends
	Error      int  // a number of the kernel's
}

// Answered is the route's Answer, an empty one for nil.
func (r Route) Answered() Answer {
	if r.Answer == nil {
		return Answer{}
	}
	return *r.Answer
}

// answer is the route's Answer, to be changed.
func (r *Route) answer() *Answer {
	if r.Answer == nil {
		r.Answer = new(Answer)
	}
	return r.Answer
}

// A Hop is one way that a Route takes.
type Hop struct {
	Via    netip.Addr `json:",omitzero"` // next node; invalid when the destination is on the link
	Dev    string     `json:",omitzero"`
	Onlink bool       `json:",omitzero"` // reach Via over Dev although no route says so
	Weight int        `json:",omitzero"` // 1 when 0

	Flags []string `json:"-"` // dead, linkdown, known after List
}

// AnyState as a Neigh's State makes List return those that the kernel makes by itself as well.
const AnyState = "all"

// A Neigh is a neighbour's link-layer address.
type Neigh struct {
	IP       netip.Addr `json:",omitzero"`
	Dev      string     `json:",omitzero"`
	Address  MAC        `json:",omitzero"`
	State    string     `json:",omitzero"` // permanent when "", or reachable, stale, noarp, …
	Proxy    bool       `json:",omitzero"` // answer for it
	Router   bool       `json:",omitzero"`
	Learned  bool       `json:",omitzero"` // somebody outside of the kernel keeps it
	Managed  bool       `json:",omitzero"` // the kernel keeps it fresh
	Use      bool       `json:",omitzero"` // look for it now
	Protocol int        `json:",omitzero"` // who made it

	// Known after List.
	Offload bool        `json:"-"`
	Stats   *NeighStats `json:"-"`
}

// NeighStats are how a neighbour, or an FDB entry, was used. Times are seconds ago.
type NeighStats struct{ Used, Confirmed, Updated, References, Probes int }

// An FDB entry says behind which remote a link-layer address is found.
type FDB struct {
	Address   MAC        `json:",omitzero"`
	Dev       string     `json:",omitzero"`
	Dst       netip.Addr `json:",omitzero"` // VTEP of a vxlan; invalid for a bridge's port
	Master    bool       `json:",omitzero"` // the bridge's table, not the device's own
	State     string     `json:",omitzero"` // permanent when "", or static, dynamic
	VLAN      int        `json:",omitzero"`
	Port      int        `json:",omitzero"`
	VNI       int        `json:",omitzero"`
	SourceVNI int        `json:",omitzero"`
	NextHop   int        `json:",omitzero"` // a nexthop object, in place of Dst
	Via       string     `json:",omitzero"`

	Bridge string      `json:"-"` // the bridge whose table it is in, known after List
	Flags  []string    `json:"-"` // router, extern_learn, offload, master, sticky, known after List
	Stats  *NeighStats `json:"-"` // known after List
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
