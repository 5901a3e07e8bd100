package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// vethPeer is VETH_INFO_PEER, the one attribute of linux/veth.h.
const vethPeer = 1

func (s *system) doLink(verb Verb, l Link) error {
	switch verb {
	case Add:
		return s.addLink(l)
	case Set, Change:
		return s.setLink(l)
	case Del:
		return s.delLink(l)
	}
	return fmt.Errorf("links cannot be changed by %s", verb)
}

// addLink makes the link, WireGuard in this process where the kernel has none. The kernel looks for the name first, so
// that a taken one is answered before an unknown kind.
func (s *system) addLink(l Link) error {
	a, err := s.linkAttrs(l)
	if err != nil {
		return err
	}
	a.text(unix.IFLA_IFNAME, l.Name)
	lower := 0
	if l.Kind != "veth" { // whose lower link is its other end
		if lower, err = s.index(l.Lower); err != nil {
			return err
		}
	}
	if l.VXLAN == nil {
		a.said32(unix.IFLA_LINK, lower)
	}
	kind, err := s.kindAttrs(l, lower)
	if err != nil {
		return err
	}
	a.nest(unix.IFLA_LINKINFO, kind)
	err = s.send(unix.RTM_NEWLINK, creation(Add), linkHeader(l, 0), a)
	if l.Kind != "wireguard" {
		return err
	}
	if err == nil {
		s.closeControl()
		return nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := s.tunnels.create(l.Name, l.MTU); err != nil {
		return err
	}
	if err := s.setLink(l); err != nil {
		return errors.Join(err, s.delLink(l))
	}
	return nil
}

func (s *system) setLink(l Link) error {
	index, err := s.index(l.Name)
	if err != nil {
		return err
	}
	t := s.tunnels.get(l.Name)
	if t != nil && l.Rename != "" {
		return errors.New("a WireGuard link of this process cannot be renamed: delete it and make a new one")
	}
	a, err := s.linkAttrs(l)
	if err != nil {
		return err
	}
	if l.Alias != "" || l.NoAlias {
		a.text(unix.IFLA_IFALIAS, l.Alias)
	}
	if l.NoMaster {
		a.u32(unix.IFLA_MASTER, 0)
	}
	if l.Rename != "" {
		a.text(unix.IFLA_IFNAME, l.Rename)
	}
	if l.Port != nil || l.Options != nil || l.VXLAN != nil {
		if l.VXLAN != nil {
			l.Kind, l.VXLAN = "vxlan", l.VXLAN.changeable()
		}
		lower, err := s.index(l.Lower)
		if err != nil {
			return err
		}
		kind, err := s.kindAttrs(l, lower)
		if err != nil {
			return err
		}
		a.nest(unix.IFLA_LINKINFO, kind)
	}
	if t != nil && l.State == Up {
		if err := t.up(l.Name); err != nil {
			return err
		}
	}
	if err := s.send(unix.RTM_NEWLINK, 0, linkHeader(l, index), a); err != nil {
		return err
	}
	if t != nil && l.State == Down {
		return t.device.Down()
	}
	return nil
}

// delLink closes a WireGuard device of this process first: its link goes with it, and its socket before a new device of
// the name can want it. The kernel is asked even so, since it may hold the link for a moment longer.
func (s *system) delLink(l Link) error {
	index, err := s.index(l.Name)
	if err != nil {
		return err
	}
	ours := s.tunnels.remove(l.Name)
	err = s.send(unix.RTM_DELLINK, 0, linkHeader(Link{}, index), nil)
	if ours && errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// linkHeader is an ifinfomsg.
func linkHeader(l Link, index int) nl.NetlinkRequestData {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index = int32(index)
	switch l.State {
	case Up:
		h.Flags, h.Change = unix.IFF_UP, unix.IFF_UP
	case Down:
		h.Change = unix.IFF_UP
	}
	for word, state := range l.Switches {
		s := linkSwitches[word]
		h.Change |= s.bit
		if (state == "on") != s.inverted {
			h.Flags |= s.bit
		}
	}
	return h
}

// A linkSwitch is a flag that people turn on and off. An inverted one is set when the word is off.
type linkSwitch struct {
	bit      uint32
	flag     string // as List tells it
	inverted bool
}

var linkSwitches = map[string]linkSwitch{
	"arp":          {unix.IFF_NOARP, "NOARP", true},
	"multicast":    {unix.IFF_MULTICAST, "MULTICAST", false},
	"allmulticast": {unix.IFF_ALLMULTI, "ALLMULTI", false},
	"promisc":      {unix.IFF_PROMISC, "PROMISC", false},
	"dynamic":      {unix.IFF_DYNAMIC, "DYNAMIC", false},
	"trailers":     {unix.IFF_NOTRAILERS, "NOTRAILERS", true},
}

var addrGenModes = spelling{0: "eui64", 1: "none", 2: "stable_secret", 3: "random"}

// linkAttrs are the attributes that a new link and a changed one have in common.
func (s *system) linkAttrs(l Link) (attrs, error) {
	var a attrs
	a.said32(unix.IFLA_MTU, l.MTU)
	a.said32(unix.IFLA_TXQLEN, l.TxQueue)
	a.said32(unix.IFLA_NUM_TX_QUEUES, l.TxQueues)
	a.said32(unix.IFLA_NUM_RX_QUEUES, l.RxQueues)
	if err := errors.Join(a.mac(unix.IFLA_ADDRESS, l.Address), a.mac(unix.IFLA_BROADCAST, l.Broadcast)); err != nil {
		return nil, err
	}
	if l.Group != nil {
		a.u32(unix.IFLA_GROUP, *l.Group)
	}
	if l.AddrGen != "" {
		mode, err := addrGenModes.number(l.AddrGen)
		if err != nil {
			return nil, err
		}
		var six, families attrs
		six.u8(unix.IFLA_INET6_ADDR_GEN_MODE, mode)
		families.nest(unix.AF_INET6, six)
		a.nest(unix.IFLA_AF_SPEC, families)
	}
	master, err := s.index(l.Master)
	a.said32(unix.IFLA_MASTER, master)
	return a, err
}

// kindAttrs say what kind of link to make, or what to tell one of the kind. Only a link that has a kind can be made, as the
// kernel will answer.
func (s *system) kindAttrs(l Link, lower int) (a attrs, err error) {
	if l.Port != nil {
		a.text(nl.IFLA_INFO_KIND, "bridge_slave")
		data, err := l.Port.attrs(s, "bridge_slave")
		a.nest(nl.IFLA_INFO_SLAVE_DATA, data)
		return a, err
	}
	a.text(nl.IFLA_INFO_KIND, l.Kind)
	data, err := l.Options.attrs(s, l.Kind)
	if err != nil {
		return nil, err
	}
	if l.VXLAN != nil {
		data = append(l.VXLAN.attrs(lower), data...)
	}
	if l.Kind == "veth" && l.Peer != "" {
		peer := attrs(nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize())
		peer.text(unix.IFLA_IFNAME, l.Peer)
		data.nest(vethPeer, peer)
	}
	if data != nil {
		a.nest(nl.IFLA_INFO_DATA, data)
	}
	return a, nil
}

func (v *VXLAN) attrs(lower int) attrs {
	var a attrs
	if !v.External {
		a.u32(nl.IFLA_VXLAN_ID, v.ID)
	}
	a.said32(nl.IFLA_VXLAN_LINK, lower)
	local, group := nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_GROUP
	if v.Local.Is6() || v.Remote.Is6() {
		local, group = nl.IFLA_VXLAN_LOCAL6, nl.IFLA_VXLAN_GROUP6
	}
	a.ip(local, v.Local)
	a.ip(group, v.Remote)
	if v.Port != 0 {
		a.put(nl.IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, uint16(v.Port)))
	}
	switch {
	case v.TTL < 0:
		a.put(vxlanTTLInherit, nil)
	case v.TTL > 0:
		a.u8(nl.IFLA_VXLAN_TTL, v.TTL)
	}
	if v.TOS != 0 {
		a.u8(nl.IFLA_VXLAN_TOS, v.TOS)
	}
	if v.Ageing != 0 {
		a.u32(nl.IFLA_VXLAN_AGEING, max(v.Ageing, 0))
	}
	a.said32(nl.IFLA_VXLAN_LIMIT, v.Limit)
	if v.PortHigh != 0 {
		ports := binary.BigEndian.AppendUint16(nil, uint16(v.PortLow))
		a.put(nl.IFLA_VXLAN_PORT_RANGE, binary.BigEndian.AppendUint16(ports, uint16(v.PortHigh)))
	}
	a.u8(nl.IFLA_VXLAN_LEARNING, bit(v.Learning))
	for _, s := range v.switches() {
		if *s.on {
			a.u8(vxlanSwitches[s.word], 1)
		}
	}
	if v.GBP {
		a.put(nl.IFLA_VXLAN_GBP, nil)
	}
	if v.Checksum != nil {
		a.u8(nl.IFLA_VXLAN_UDP_CSUM, bit(*v.Checksum))
	}
	return a
}

// vxlanTTLInherit is IFLA_VXLAN_TTL_INHERIT.
const vxlanTTLInherit = 28

// vxlanSwitches are the attributes of a vxlan link's options that are on or off.
var vxlanSwitches = map[string]int{
	"external": nl.IFLA_VXLAN_FLOWBASED, "vnifilter": 30, "remcsumtx": nl.IFLA_VXLAN_REMCSUM_TX, "remcsumrx": nl.IFLA_VXLAN_REMCSUM_RX,
	"proxy": nl.IFLA_VXLAN_PROXY, "rsc": nl.IFLA_VXLAN_RSC, "l2miss": nl.IFLA_VXLAN_L2MISS, "l3miss": nl.IFLA_VXLAN_L3MISS,
	"udp6zerocsumtx": nl.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, "udp6zerocsumrx": nl.IFLA_VXLAN_UDP_ZERO_CSUM6_RX,
}

// linkFlags are ip's words, in ip's order.
var linkFlags = []flag{
	{unix.IFF_LOOPBACK, "LOOPBACK"}, {unix.IFF_BROADCAST, "BROADCAST"}, {unix.IFF_POINTOPOINT, "POINTOPOINT"},
	{unix.IFF_MULTICAST, "MULTICAST"}, {unix.IFF_NOARP, "NOARP"}, {unix.IFF_ALLMULTI, "ALLMULTI"},
	{unix.IFF_PROMISC, "PROMISC"}, {unix.IFF_MASTER, "MASTER"}, {unix.IFF_SLAVE, "SLAVE"}, {unix.IFF_DEBUG, "DEBUG"},
	{unix.IFF_DYNAMIC, "DYNAMIC"}, {unix.IFF_AUTOMEDIA, "AUTOMEDIA"}, {unix.IFF_PORTSEL, "PORTSEL"},
	{unix.IFF_NOTRAILERS, "NOTRAILERS"}, {unix.IFF_UP, "UP"}, {unix.IFF_LOWER_UP, "LOWER_UP"},
	{unix.IFF_DORMANT, "DORMANT"}, {unix.IFF_ECHO, "ECHO"},
}

var operstates = spelling{0: "unknown", 1: "notpresent", 2: "down", 3: "lowerlayerdown", 4: "testing", 5: "dormant", 6: "up"}

// missing says whether an error is what the kernel answers, in one of its ways, about things that are not there.
func missing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENODEV)
}
