// Package wireguard is which kernel objects type "wireguard" needs, in flannel's form: one WireGuard link, or one for each
// address family, that the whole overlay is routed to. The link knows behind which peer a subnet is. Any link reaches peers by either
// family.
package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A Plan says what the kernel is to have.
type Plan struct {
	Config
	Key  func() (Key, error) // this node's; see KeyFile
	Next kernel.PublicKey    // the key that the detour's links have, to be told as the node's next; zero for none
}

// overhead is how many bytes WireGuard adds to a packet at most: IPv6 header 40, UDP 8, its own 32. Packets are padded to
// multiples of 16 bytes too, but never beyond the link's MTU, so that padding needs no room of its own.
const overhead = 80

// Check refuses an MTU that the external interface does not carry, names that are too long for links, and a Mode for which the
// node has no address.
func (p Plan) Check(n *native.Node) error {
	for _, f := range n.Families() {
		if err := native.CheckName(p.device(f).name); err != nil {
			return err
		}
	}
	public := map[Mode]netip.Addr{OverIPv4: n.Lease.V4.PublicIP, OverIPv6: n.Lease.V6.PublicIP}
	if at, needs := public[p.Mode]; needs && !at.IsValid() {
		return fmt.Errorf("Mode: %s needs a public address of the family, and this node has none", p.Mode)
	}
	_, err := n.Underlay(p.MTU)
	return err
}

// Data tells the node's public key, and the port on which each family's link listens. flannel tells ListenPortV6 for IPv6 even
// where one link has both families; here a peer can believe what it reads.
func (p Plan) Data(n *native.Node) (data hooks.Data, err error) {
	key, err := p.Key()
	if err != nil {
		return hooks.Data{}, err
	}
	if n.Uses(native.IPv4) {
		if data.V4, err = p.encode(key.Public, native.IPv4); err != nil {
			return hooks.Data{}, err
		}
	}
	if n.Uses(native.IPv6) {
		data.V6, err = p.encode(key.Public, native.IPv6)
	}
	return data, err
}

// Links are one for both address families or one for each, with their keys.
func (p Plan) Links(n *native.Node) ([]kernel.Object, error) {
	key, err := p.Key()
	if err != nil {
		return nil, err
	}
	return p.links(n, p.device, key)
}

// links are those of the families, each once.
func (p Plan) links(n *native.Node, of func(native.Family) device, key Key) (objects []kernel.Object, err error) {
	underlay, err := n.Underlay(p.MTU)
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, f := range n.Families() {
		if d := of(f); !made[d.name] {
			made[d.name] = true
			objects = append(objects,
				kernel.Link{Name: d.name, Kind: "wireguard", MTU: underlay - overhead, State: kernel.Up},
				kernel.Device{Name: d.name, PrivateKey: &key.Private, ListenPort: &d.port, PublicKey: key.Public},
			)
		}
	}
	return objects, nil
}

// Node is the links, the first address of each half of the node's subnets, and the routes of the overlay.
func (p Plan) Node(n *native.Node) (objects []kernel.Object, err error) {
	if objects, err = p.Links(n); err != nil {
		return nil, err
	}
	for half := range n.Lease.Paths() {
		f := native.FamilyOf(half)
		d := p.device(f)
		objects = append(objects,
			kernel.Addr{Dev: d.name, Prefix: native.Base(half), NoDAD: f == native.IPv6},
			kernel.Route{Dst: n.Network(f), Hops: []kernel.Hop{{Dev: d.name}}},
		)
	}
	return objects, nil
}

// Peer is the peer on each link, with its subnets.
func (p Plan) Peer(n *native.Node, peer *lease.Lease) (objects []kernel.Object, err error) {
	peers, err := p.peers(n, peer)
	if err != nil {
		return nil, err
	}
	for _, o := range peers {
		objects = append(objects, o)
	}
	return objects, nil
}

func (p Plan) peers(n *native.Node, peer *lease.Lease) (list []kernel.Peer, err error) {
	halves := slices.Collect(n.Halves(peer))
	if p.Mode != Separate {
		endpoint, err := p.endpoint(n, peer)
		if err != nil {
			return nil, err
		}
		o, err := p.peer(n, halves, endpoint)
		return []kernel.Peer{o}, err
	}
	for _, half := range halves {
		o, err := p.separate(n, peer, half)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// separate is the peer on the link of one half.
func (p Plan) separate(n *native.Node, peer *lease.Lease, half *lease.Path) (kernel.Peer, error) {
	way, err := n.Way(peer, half)
	if err != nil {
		return kernel.Peer{}, err
	}
	return p.peer(n, []*lease.Path{half}, way.PublicIP)
}

// peer is the peer on the link that has these halves. It says its key and port with the first of them.
func (p Plan) peer(n *native.Node, halves []*lease.Path, endpoint netip.Addr) (kernel.Peer, error) {
	d := p.device(native.FamilyOf(*halves[0]))
	key, port, err := decode(halves[0].Data, d.port)
	switch {
	case err != nil:
		return kernel.Peer{}, err
	case key == n.Key:
		return kernel.Peer{}, errors.New("its public key is this node's own: one of the two was cloned, and needs its key file deleted")
	}
	o := kernel.Peer{
		Dev: d.name, PublicKey: key, Preshared: &p.PSK, Endpoint: netip.AddrPortFrom(endpoint, port),
		Keepalive: &p.Keepalive, ReplaceIPs: true,
	}
	for _, half := range halves {
		o.AllowedIPs = append(o.AllowedIPs, half.Subnet)
	}
	return o, nil
}

// endpoint is the public address of a peer that one link reaches by.
func (p Plan) endpoint(n *native.Node, peer *lease.Lease) (netip.Addr, error) {
	own, v4, v6 := n.Lease, peer.V4.PublicIP, peer.V6.PublicIP
	switch {
	case p.Mode == OverIPv4 && !v4.IsValid(), p.Mode == OverIPv6 && !v6.IsValid():
		return netip.Addr{}, fmt.Errorf("its lease has no public address for Mode %s", p.Mode)
	case p.Mode == OverIPv4:
		return v4, nil
	case p.Mode == OverIPv6:
		return v6, nil
	}
	// A public IPv4 address is reached by whoever has any; a public IPv6 address only from another.
	if o := own.V6.PublicIP; v4.IsPrivate() && v6.IsValid() && !v6.IsPrivate() && o.IsValid() && !o.IsPrivate() {
		return v6, nil
	}
	first := lease.Path{Subnet: netip.PrefixFrom(netip.IPv4Unspecified(), 0)} // IPv4 rather than IPv6, whatever it carries
	way, err := n.Way(peer, &first)
	return way.PublicIP, err
}

// A device is one of the node's links.
type device struct {
	name string
	port int
}

// device is the link that has the family.
func (p Plan) device(f native.Family) device {
	if p.Mode == Separate && f == native.IPv6 {
		return device{p.NameV6, p.PortV6}
	}
	return device{p.Name, p.ListenPort}
}
