package netns

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Connect makes a cable: a veth pair of the MTU between two namespaces, both ends up. They may be the same namespace.
func Connect(a *Namespace, aName string, b *Namespace, bName string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = aName, mtu
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(b.Fd())}
	if err := a.links.LinkAdd(cable); err != nil {
		return fmt.Errorf("add veth %s, %s: %w", aName, bName, err)
	}
	if err := a.Up(aName); err != nil {
		return err
	}
	return b.Up(bName)
}

// Bridge makes a bridge, up, with the links as its ports.
func (n *Namespace) Bridge(name string, ports ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := n.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add bridge %s: %w", name, err)
	}
	for _, port := range ports {
		if err := n.Attach(port, name); err != nil {
			return err
		}
	}
	return n.Up(name)
}

// Attach makes a link a port of a bridge.
func (n *Namespace) Attach(port, bridge string) error {
	p, err := n.link(port)
	if err != nil {
		return err
	}
	b, err := n.link(bridge)
	if err != nil {
		return err
	}
	if err := n.links.LinkSetMaster(p, b); err != nil {
		return fmt.Errorf("attach %s to %s: %w", port, bridge, err)
	}
	return nil
}

// Up brings a link up.
func (n *Namespace) Up(name string) error {
	link, err := n.link(name)
	if err != nil {
		return err
	}
	if err := n.links.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// Addr gives a link addresses with the length of its network. They can be used at once: no other holder is looked for.
func (n *Namespace) Addr(name string, addrs ...netip.Prefix) error {
	link, err := n.link(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := n.links.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}
	return nil
}

// Route adds a route.
func (n *Namespace) Route(to netip.Prefix, via netip.Addr) error {
	if err := n.links.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("add route %s via %s: %w", to, via, err)
	}
	return nil
}

// RoutesTo returns the routes, in the main table, to any part of the prefix: those whose destination lies within it.
func (n *Namespace) RoutesTo(within netip.Prefix) ([]netip.Prefix, error) {
	family := netlink.FAMILY_V4
	if within.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	routes, err := n.links.RouteList(nil, family)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var found []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		addr, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		if to := netip.PrefixFrom(addr.Unmap(), ones); ones >= within.Bits() && within.Contains(to.Addr()) {
			found = append(found, to)
		}
	}
	return found, nil
}

// Links returns the names of all links.
func (n *Namespace) Links() ([]string, error) {
	links, err := n.links.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names, nil
}

func (n *Namespace) link(name string) (netlink.Link, error) {
	link, err := n.links.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return link, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
