// Package hostgw is which kernel objects type "host-gw" needs: a route to each peer's subnet, with the peer as gateway.
// All nodes must be on one layer-2 network.
package hostgw

import (
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/strictjson"
	"github.com/overlayd/overlayd/lease"
)

// A Plan says what the kernel is to have.
type Plan struct{}

// Parse reads the Backend object of a config whose Type is host-gw. It has no other key; the error begins with line:column.
func Parse(raw json.RawMessage) (Plan, error) {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return Plan{}, err
	}
	var kind *string
	_, err = object.Fill([]strictjson.Key{{Name: "Type", Into: &kind}})
	return Plan{}, err
}

// Check refuses IPv6 on a node without an IPv6 address: the kernel has no IPv4 gateways for it.
func (Plan) Check(n *native.Node) error {
	if n.Uses(native.IPv6) && n.Under(native.IPv6) != native.IPv6 {
		return errNeedsV6
	}
	return nil
}

var errNeedsV6 = errors.New("IPv6 subnets need an IPv6 address of each node, since host-gw has no tunnel (types vxlan and wireguard do not)")

// Data is empty: a node's public address says all.
func (Plan) Data(*native.Node) (hooks.Data, error) { return hooks.Data{}, nil }

// Links are none.
func (Plan) Links(*native.Node) ([]kernel.Object, error) { return nil, nil }

// Node is nothing.
func (Plan) Node(*native.Node) ([]kernel.Object, error) { return nil, nil }

// Peer is a route for each of the peer's subnets. Where the two nodes have IPv6 addresses alone, IPv4 goes by an IPv6 gateway.
func (Plan) Peer(n *native.Node, peer *lease.Lease) (routes []kernel.Object, err error) {
	for p := range n.Halves(peer) {
		way, err := n.WayOut(peer, p)
		if err == nil && native.FamilyOf(*p) == native.IPv6 && way.PublicIP.Is4() {
			err = errNeedsV6
		}
		if err != nil {
			return nil, err
		}
		routes = append(routes, native.Route(p.Subnet, netip.Addr{}, kernel.Hop{Via: way.PublicIP, Dev: n.Interface}))
	}
	return routes, nil
}

// Exclusive is nothing: routes to different networks do not meet.
func (Plan) Exclusive() []string { return nil }
