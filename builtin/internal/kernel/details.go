package kernel

// Details are what is known of a link beyond what it was told: limits, counters, and what its kind says of itself.
type Details struct {
	Promiscuity, AllMulti  int // how many want it so
	MinMTU, MaxMTU         int
	AddrGen                string // eui64, none, stable_secret, random
	TxQueues, RxQueues     int
	Sizes                  []Size  // of segments and queues, in ip's order
	Kind                   Options // all that its kind tells
	Slave                  string  // what kind of port it is: bridge, vrf, bond; "" for none
	Port                   Options // all that it tells as a port
	Mode                   string  // default, dormant or testing
	Parent, ParentBus      string  // the device behind it, and where that is plugged in
	Permanent              MAC     // burnt in
	AltNames               []string
	PortName, ID, SwitchID string // of a switch's port
	ProtoDown              bool
	Namespace              *int   // the number of the namespace that its other end is in; nil for this one
	NamespaceName          string // its name, if it has one
	LowerDown              bool   // the link below is there and down
	LowerNone              bool   // there could be a link below, and there is none
	Counters               Counters
	CarrierChanges         int
	Unshown                string // something that overlayd does not know how to show, "" for nothing
}

// A Size is one of the sizes that a link's driver and the kernel's queues agree on.
type Size struct {
	Word  string // ip's, such as gso_max_size
	Value int
}

// Counters count what went through a link, in the order of the kernel's struct rtnl_link_stats64.
type Counters struct {
	RxPackets, TxPackets, RxBytes, TxBytes                    uint64
	RxErrors, TxErrors, RxDropped, TxDropped                  uint64
	Multicast, Collisions                                     uint64
	RxLength, RxOver, RxCRC, RxFrame, RxFIFO, RxMissed        uint64
	TxAborted, TxCarrier, TxFIFO, TxHeartbeat, TxWindow       uint64
	RxCompressed, TxCompressed, RxNoHandler, RxOtherHostDrops uint64
}
