package kernel

import (
	"encoding/binary"
	"net/netip"
)

// What marks links and routes as made by a native backend, for people and for whoever cleans up after it. Neighbours and FDB
// entries have no room for a mark: they hang on a link that does.
const (
	// Alias is the alias of links.
	Alias = "overlayd"
	// Protocol is the protocol number of routes. No name of iproute2's rt_protos, and no routing daemon, has it.
	Protocol = 111
)

// Marked is the object with the mark that there is for its kind.
func Marked(o Object) Object {
	switch o := o.(type) {
	case Link:
		o.Alias = Alias
		return o
	case Route:
		o.Protocol = Protocol
		return o
	}
	return o
}

// Spread gives a route of IPv4 a metric of its own, which follows from its subnet.
//
// The kernel finds routes that share all but their prefix by a hash of what they have in common, without the gateway: the
// routes to all peers, over one link, are one chain of it, which is walked for each that is added. With metrics of their own
// they are as many chains. Which metric a route has matters only among routes to the same prefix, of which the lowest is
// taken; so these begin at 1, and two subnets with one metric are harmless. IPv6 has no such hash. A nexthop object for each
// route would spread them as well; but a link with thousands of them takes long to delete, and programs that replace or
// list routes take no notice of them.
func Spread(r Route) Route {
	if r.Dst.Addr().Is4() && r.Dst.Bits() > 0 {
		r.Metric = spreadMetric(r.Dst)
	}
	return r
}

// spreadMetric counts the subnets of this size.
func spreadMetric(subnet netip.Prefix) int {
	base := subnet.Addr().As4()
	number := binary.BigEndian.Uint32(base[:]) >> (32 - subnet.Bits())
	return 1 + int(number&0xffff)
}

// isSpread reports whether the route is a native backend's with a metric of its own.
func (r Route) isSpread() bool {
	return r.Protocol == Protocol && r.Metric != 0 && r.Dst.Addr().Is4() && r.Dst.Bits() > 0 && r.Metric == spreadMetric(r.Dst)
}

// isRival reports whether there can be spread routes under this one.
func (r Route) isRival() bool {
	return r.Dst.Addr().Is4() && r.Dst.Bits() > 0 && Spread(r).isUnder(r)
}

// isUnder reports whether packets take the other route rather than this one, which is spread: what somebody makes without a
// metric, as flannel does, wins over any that has one.
func (r Route) isUnder(o Route) bool {
	everyPacket := o.TOS == 0 && !o.From.IsValid() && o.Answered().Other == ""
	return everyPacket && o.table() == r.table() && o.Dst == r.Dst && o.Metric < r.Metric
}
