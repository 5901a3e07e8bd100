package wireguard

import (
	"bytes"
	"encoding/json"
	"net/netip"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/lease"
)

// A detour is links beside the node's own, through which packets pass while the node's own get another key. A link has one key, and
// takes what is sent from a subnet under one key, so that both ends of a way need a second link to have two ways at once.

// A Next is what a lease says of its node's next key. Links with it are there already, beside the node's own.
type Next struct {
	PublicKey kernel.PublicKey
	Taken     bool // the node's own links have it by now
}

// NextOf is what the peer's lease says of a next key; the zero Next when it says nothing, or nothing that can be.
func (p Plan) NextOf(peer lease.Lease) Next {
	for half := range peer.Paths() {
		if next, _ := nextOf(half.Data); next != (Next{}) {
			return next
		}
	}
	return Next{}
}

func nextOf(raw json.RawMessage) (next Next, port uint16) {
	d := data{}
	if !bytes.Contains(raw, []byte(`"Next"`)) || json.Unmarshal(raw, &d) != nil || d.Next == nil { // there are many, and hardly any has one
		return Next{}, 0
	}
	key, err := parseKey(d.Next.PublicKey)
	if err != nil || d.Next.Port == 0 {
		return Next{}, 0
	}
	return Next{key, d.Next.PublicKey == d.PublicKey}, d.Next.Port
}

// beside is the detour's link for the family.
func (p Plan) beside(f native.Family) device {
	lowest, highest := min(p.ListenPort, p.PortV6), max(p.ListenPort, p.PortV6)
	d := device{p.Name + "-x", highest + 1}
	if highest+2 > 65535 {
		d.port = lowest - 2
	}
	if p.Mode == Separate && f == native.IPv6 {
		return device{p.Name + "-x6", d.port + 1}
	}
	return d
}

// Detour is the detour's links, like the node's own, with the key.
func (p Plan) Detour(n *native.Node, private kernel.Secret) ([]kernel.Object, error) {
	for _, f := range n.Families() {
		if err := native.CheckName(p.beside(f).name); err != nil {
			return nil, err
		}
	}
	key, err := keyOf(private)
	if err != nil {
		return nil, err
	}
	return p.links(n, p.beside, key)
}

// Detoured is the peer on the detour's links, and the routes that lead it there instead of to the node's own. One that tells of a next
// key is there under that; one that does not comes under its own, from wherever.
func (p Plan) Detoured(n *native.Node, peer *lease.Lease) (peers []kernel.Peer, routes []kernel.Object, err error) {
	if peers, err = p.peers(n, peer); err != nil {
		return nil, nil, err
	}
	for i := range peers {
		o := &peers[i]
		first := o.AllowedIPs[0]
		for half := range n.Halves(peer) {
			if half.Subnet != first {
				continue
			}
			o.Dev = p.beside(native.FamilyOf(*half)).name
			if next, port := nextOf(half.Data); next == (Next{}) {
				o.Endpoint = netip.AddrPort{}
			} else {
				o.PublicKey, o.Endpoint = next.PublicKey, netip.AddrPortFrom(o.Endpoint.Addr(), port)
			}
		}
		for own := range n.Lease.Paths() { // the detour's links have no addresses
			for _, subnet := range o.AllowedIPs {
				if native.FamilyOf(own).Has(subnet.Addr()) {
					routes = append(routes, native.Route(subnet, native.Base(own).Addr(), kernel.Hop{Dev: o.Dev}))
				}
			}
		}
	}
	return peers, routes, nil
}

// Loosened are the links of the node that IPv4 packets come by while there is a detour, whichever way those to their senders go.
func (p Plan) Loosened() []string {
	return []string{p.device(native.IPv4).name, p.beside(native.IPv4).name}
}
