// Package nativetest is a node and its peers, for tests of native backends.
package nativetest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// Families are which address families a network or a lease has.
type Families struct{ V4, V6 bool }

// The families that a network can use.
var (
	OnlyV4 = Families{V4: true}
	OnlyV6 = Families{V6: true}
	Dual   = Families{V4: true, V6: true}
)

// String is the name of a test case.
func (f Families) String() string {
	return map[Families]string{OnlyV4: "IPv4", OnlyV6: "IPv6", Dual: "dual"}[f]
}

// Lease is node n's: 10.50.n.0/24 at 192.0.2.n, fd50:0:0:n::/64 at 2001:db8::n, each with the data.
func (f Families) Lease(kind string, n int, v4, v6 string) lease.Lease {
	return f.LeaseAt(f, kind, n, v4, v6)
}

// LeaseAt is that of a node with public addresses of the families given, whatever its subnets are of.
func (f Families) LeaseAt(at Families, kind string, n int, v4, v6 string) lease.Lease {
	l := lease.Lease{BackendType: kind}
	if f.V4 {
		l.V4.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, byte(n)}), 24)
	}
	if f.V6 {
		l.V6.Subnet = netip.MustParsePrefix(fmt.Sprintf("fd50:0:0:%x::/64", n))
	}
	if at.V4 {
		l.V4.PublicIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	}
	if at.V6 {
		l.V6.PublicIP = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n))
	}
	if f.V4 || at.V4 {
		l.V4.Data = json.RawMessage(v4)
	}
	if f.V6 || at.V6 {
		l.V6.Data = json.RawMessage(v6)
	}
	return l
}

// Networks are 10.50.0.0/16 and fd50::/48.
func (f Families) Networks() (list []netip.Prefix) {
	if f.V4 {
		list = append(list, netip.MustParsePrefix("10.50.0.0/16"))
	}
	if f.V6 {
		list = append(list, netip.MustParsePrefix("fd50::/48"))
	}
	return list
}

// Node is node n, on eth0 of MTU 1500 with the public addresses of its lease. Addresses that end in 7 are on the same link,
// to those of 203.0.113.0/24 there is no route, and all others are behind a router.
func (f Families) Node(kind string, n int) *native.Node { return f.NodeAt(f, kind, n) }

// NodeAt is a Node with public addresses of the families given.
func (f Families) NodeAt(at Families, kind string, n int) *native.Node {
	own := f.LeaseAt(at, kind, n, "", "")
	node := hooks.Node{Networks: f.Networks(), Interface: "eth0", MTU: 1500, Lease: own}
	addresses := map[netip.Addr]bool{own.V4.PublicIP: true, own.V6.PublicIP: true}
	return &native.Node{Node: node, Reason: hooks.Repair, Own: addresses, Lookup: func(to netip.Addr) (kernel.Route, error) {
		switch {
		case netip.MustParsePrefix("203.0.113.0/24").Contains(to):
			return kernel.Route{}, fs.ErrNotExist
		case strings.HasSuffix(to.String(), "7"):
			return kernel.Route{Hops: []kernel.Hop{{Dev: "eth0"}}}, nil
		}
		return kernel.Route{Hops: []kernel.Hop{{Via: netip.MustParseAddr("192.0.2.254"), Dev: "eth0"}}}, nil
	}}
}

// Text is objects as commands that make them.
func Text(objects []kernel.Object) string {
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintln(&b, kernel.Op{Verb: kernel.Add, Object: o})
	}
	return b.String()
}
