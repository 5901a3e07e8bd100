package lease

import (
	"bytes"
	"encoding/json"
	"iter"
	"net/netip"
)

// A Path is one address family's half of a lease: which subnet is reached, through which address of its node.
// The zero Path says that the lease does not use the family.
type Path struct {
	Subnet   netip.Prefix    // the node's part of the network, host bits zero
	PublicIP netip.Addr      // where the node is reached; invalid when the node did not say
	Data     json.RawMessage // what the node's backend tells the others; nil when it tells nothing
}

// A Lease says which part of the network one node holds, and how the node is reached.
type Lease struct {
	V4, V6      Path
	BackendType string // as in the network config, "" for backends that publish nothing
	NodeID      string // identity of the node that wrote the lease; "" for nodes that run flannel
}

// Paths yields the halves in use, IPv4 first.
func (l Lease) Paths() iter.Seq[Path] {
	return func(yield func(Path) bool) {
		for _, p := range [...]Path{l.V4, l.V6} {
			if p.Subnet.IsValid() && !yield(p) {
				return
			}
		}
	}
}

// At is the lease of a node that is reached at the public addresses of o.
func (l Lease) At(o Lease) Lease {
	l.V4.PublicIP, l.V6.PublicIP = o.V4.PublicIP, o.V6.PublicIP
	return l
}

// Equal reports whether both leases say the same, the data compared byte by byte.
func (l Lease) Equal(o Lease) bool {
	return l.V4.equal(o.V4) && l.V6.equal(o.V6) && l.BackendType == o.BackendType && l.NodeID == o.NodeID
}

func (p Path) equal(o Path) bool {
	return p.Subnet == o.Subnet && p.PublicIP == o.PublicIP && bytes.Equal(p.Data, o.Data)
}

// String is the subnets in use, joined by a comma: "10.50.7.0/24" or "10.50.7.0/24,fd00:7::/64".
func (l Lease) String() string {
	var text string
	for p := range l.Paths() {
		if text != "" {
			text += ","
		}
		text += p.Subnet.String()
	}
	return text
}
