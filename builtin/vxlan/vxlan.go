// Package vxlan is which kernel objects type "vxlan" needs, in flannel's form: one link for each address family, whose
// packets go to the peers over their public addresses of that family. A peer is a neighbour on it (its first address, at
// its link's), an FDB entry (its link's address, behind its public one) and a route.
//
// A link carries the subnets of its own family, and of the other to and from nodes that have no address of that. So does
// a lease's data: that of each family is of the link over it.
package vxlan

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A Plan says what the kernel is to have.
type Plan struct {
	Config
	NodeID string // gives the links of this node the same addresses each time they are made
}

// Check refuses an MTU that the external interface does not carry, and names that are too long for links.
func (p Plan) Check(n *native.Node) error {
	for _, f := range n.Unders() {
		if err := native.CheckName(p.link(f)); err != nil {
			return err
		}
	}
	_, err := n.Underlay(p.MTU)
	return err
}

// Data tells the address of each family's link.
func (p Plan) Data(n *native.Node) (data hooks.Data, err error) {
	for _, f := range n.Unders() {
		into := map[native.Family]*json.RawMessage{native.IPv4: &data.V4, native.IPv6: &data.V6}[f]
		if *into, err = p.encode(p.station(n, f)); err != nil {
			return hooks.Data{}, err
		}
	}
	return data, nil
}

// Links are one for each address family of the underlay.
func (p Plan) Links(n *native.Node) (links []kernel.Object, err error) {
	underlay, err := n.Underlay(p.MTU)
	if err != nil {
		return nil, err
	}
	for _, f := range n.Unders() {
		v := kernel.VXLAN{ID: p.VNI, Port: p.Port, Local: local(n, f), Learning: p.Learning, GBP: p.GBP}
		if f == native.IPv4 {
			v.Checksum = p.Checksum // IPv6 would need all nodes' consent
		}
		links = append(links, kernel.Link{
			Name: p.link(f), Kind: "vxlan", Lower: n.Interface, MTU: underlay - overhead(f),
			Address: p.station(n, f), State: kernel.Up, VXLAN: &v,
		})
	}
	return links, nil
}

// Node is the links, with the first address of each subnet on the one that carries it to most peers.
func (p Plan) Node(n *native.Node) (objects []kernel.Object, err error) {
	if objects, err = p.Links(n); err != nil {
		return nil, err
	}
	for half := range n.Lease.Paths() {
		f := native.FamilyOf(half)
		objects = append(objects, kernel.Addr{Dev: p.link(n.Under(f)), Prefix: native.Base(half), NoDAD: f == native.IPv6})
	}
	return objects, nil
}

// Peer is what leads to each of the peer's subnets.
func (p Plan) Peer(n *native.Node, peer *lease.Lease) (objects []kernel.Object, err error) {
	for half := range n.Halves(peer) {
		var more []kernel.Object
		way, err := n.WayOut(peer, half)
		if err == nil {
			more, err = p.half(n, half.Subnet, way)
		}
		if err != nil {
			return nil, err
		}
		if objects == nil {
			objects = more
			continue
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// half is what leads to a peer's subnet the way given.
func (p Plan) half(n *native.Node, subnet netip.Prefix, way lease.Path) ([]kernel.Object, error) {
	dev, err := p.direct(n, subnet, way.PublicIP)
	if err != nil {
		return nil, err
	}
	if dev != "" {
		return []kernel.Object{native.Route(subnet, netip.Addr{}, kernel.Hop{Via: way.PublicIP, Dev: dev})}, nil
	}
	station, err := p.decode(way.Data)
	if err != nil {
		return nil, err
	}
	f := native.FamilyOfAddr(way.PublicIP)
	if station == p.station(n, f) {
		return nil, fmt.Errorf("its VTEP has the address of this node's own, %s", station)
	}
	link, base := p.link(f), subnet.Addr()
	return []kernel.Object{
		kernel.Neigh{IP: base, Dev: link, Address: station},
		kernel.FDB{Address: station, Dev: link, Dst: way.PublicIP},
		native.Route(subnet, source(n, native.FamilyOfAddr(base), f), kernel.Hop{Via: base, Dev: link, Onlink: true}),
	}, nil
}

// source is the node's own address for packets of the family that leave by the link over the other one given, where the address
// is not on that link. Else the kernel finds it there.
func source(n *native.Node, f, over native.Family) netip.Addr {
	if n.Under(f) == over {
		return netip.Addr{}
	}
	return n.Subnet(f).Addr()
}

// direct is the link on which the peer at the address is a neighbour that can be a gateway to its subnet, "" when it is none or need not
// be looked for. An IPv4 address is no gateway for IPv6.
func (p Plan) direct(n *native.Node, subnet netip.Prefix, at netip.Addr) (string, error) {
	if !p.DirectRouting || subnet.Addr().Is6() && at.Is4() {
		return "", nil
	}
	route, err := n.Lookup(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil // and the tunnel does not reach it either, for now
	case err != nil:
		return "", err
	case route.Type == "" && len(route.Hops) == 1 && !route.Hops[0].Via.IsValid():
		return route.Hops[0].Dev, nil
	}
	return "", nil
}

// FollowsRoutes reports whether Peer depends on the machine's routes.
func (p Plan) FollowsRoutes() bool { return p.DirectRouting }

// local is the source of outer packets: the public address where this machine has it, and what routing chooses where
// some other translates it.
func local(n *native.Node, f native.Family) netip.Addr {
	switch public := n.Public(f); {
	case n.Own[public]:
		return public
	case f == native.IPv4:
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func (p Plan) link(f native.Family) string {
	if f == native.IPv6 {
		return p.NameV6
	}
	return p.Name
}

// overhead is how many bytes the tunnel adds to a packet: IP header, UDP 8, VXLAN 8 and an Ethernet header of 14.
func overhead(f native.Family) int {
	if f == native.IPv6 {
		return 40 + 30
	}
	return 20 + 30
}

// station is the link-layer address of this node's link. One that is there keeps its own, since the peers send to it right
// now. Any other has one that follows from node, VNI and family, so that a link which is lost comes back as the peers know it.
func (p Plan) station(n *native.Node, f native.Family) kernel.MAC {
	if have := n.Links[p.link(f)]; have.Kind == "vxlan" && have.Address != "" {
		return have.Address
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "overlayd VTEP %s %d %s", p.NodeID, p.VNI, f))
	address := net.HardwareAddr(sum[:6])
	address[0] = address[0]&^1 | 2 // one station, administered by us
	return kernel.MAC(address.String())
}
