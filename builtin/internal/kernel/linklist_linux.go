package kernel

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// skipStats leaves out the counters, which are most of what the kernel says of a link (RTEXT_FILTER_SKIP_STATS).
const skipStats = 1 << 3

// withVFs asks for the virtual functions of a device (RTEXT_FILTER_VF).
const withVFs = 1

// listLinks asks for one link when the name is given, for all otherwise.
func (s *system) listLinks(like Link) ([]Object, error) {
	if like.Encap == AnyEncap {
		return s.encapOf(like.Name), nil
	}
	index, err := s.index(like.Name)
	if err != nil {
		return nil, nil
	}
	how := unix.NLM_F_DUMP
	if index != 0 {
		how = 0
	}
	mask := skipStats
	if like.Details != nil {
		mask = withVFs
	}
	var a attrs
	a.u32(unix.IFLA_EXT_MASK, mask)
	var list []Object
	names := s.names()
	err = s.dump(unix.RTM_GETLINK, how, linkHeader(Link{}, index), a, func(m []byte) {
		l := readLink(m, names)
		if s.tunnels.get(l.Name) != nil {
			l.Kind = "wireguard"
		}
		if like.Details != nil {
			l.Details = readDetails(m, names)
			if l.Details.Namespace != nil {
				l.Details.NamespaceName = s.namespaceName(*l.Details.Namespace)
			}
			l.Details.LowerDown = l.Details.Namespace == nil && s.isDown(l.Lower)
		}
		if like.Kind == "" || like.Kind == l.Kind {
			list = append(list, l)
		}
	})
	if index != 0 && missing(err) {
		return nil, nil
	}
	return list, err
}

// encapOf asks by ioctl, which takes a fraction of the time that the whole of a link takes.
func (s *system) encapOf(name string) []Object {
	req, err := unix.NewIfreq(name)
	if err != nil || unix.IoctlIfreq(s.ioctl, unix.SIOCGIFHWADDR, req) != nil {
		return nil
	}
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Type = req.Uint16() // the family of the address that is told
	return []Object{Link{Name: name, Encap: encapType(header)}}
}

// isDown reports whether there is a link of the name that is down.
func (s *system) isDown(name string) bool {
	req, err := unix.NewIfreq(name)
	if err != nil || name == "" {
		return false
	}
	err = unix.IoctlIfreq(s.ioctl, unix.SIOCGIFFLAGS, req)
	return err == nil && req.Uint16()&unix.IFF_UP == 0
}

func readLink(m []byte, names names) Link {
	header := nl.DeserializeIfInfomsg(m)
	l := Link{Index: int(header.Index), Encap: encapType(header), State: Down, Flags: flags(int(header.Flags), linkFlags)}
	if header.Flags&unix.IFF_UP != 0 {
		l.State = Up
	}
	// As ip does: an interface that is up and has no carrier says so first.
	if l.State == Up && header.Flags&unix.IFF_RUNNING == 0 {
		l.Flags = append([]string{"NO-CARRIER"}, l.Flags...)
	}
	var lower int
	var elsewhere bool
	visit(m[unix.SizeofIfInfomsg:], func(kind int, value []byte) {
		switch kind {
		case unix.IFLA_LINK:
			lower = number(value)
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		case unix.IFLA_MASTER:
			l.Master = names.of(number(value))
		case unix.IFLA_LINKINFO:
			l.readInfo(value, names)
		case unix.IFLA_ADDRESS:
			l.Address = linkAddress(l.Encap, value)
		case unix.IFLA_BROADCAST:
			l.Broadcast = linkAddress(l.Encap, value)
		default:
			l.readAttr(kind, value)
		}
	})
	switch {
	case lower != 0 && elsewhere:
		l.Lower = fmt.Sprintf("if%d", lower)
	case lower != 0 && lower != l.Index && l.Lower == "":
		l.Lower = names.of(lower)
	}
	if l.Kind == "veth" && !elsewhere {
		l.Peer = l.Lower
	}
	return l
}

// encapType is ip's word for what a link carries.
func encapType(header *nl.IfInfomsg) string {
	switch header.Type {
	case unix.ARPHRD_TUNNEL:
		return "ipip"
	case unix.ARPHRD_TUNNEL6:
		return "tunnel6"
	case unix.ARPHRD_IPGRE:
		return "gre"
	case unix.ARPHRD_IP6GRE:
		return "gre6"
	}
	return header.EncapType()
}

// linkAddress is an address of the link layer, which for tunnels is an IP address.
func linkAddress(encap string, b []byte) MAC {
	switch encap {
	case "ipip", "gre", "sit", "tunnel6", "gre6":
		return MAC(addr(b).String())
	}
	return mac(b)
}

func (l *Link) readAttr(kind int, value []byte) {
	switch kind {
	case unix.IFLA_IFNAME:
		l.Name = unix.ByteSliceToString(value)
	case unix.IFLA_MTU:
		l.MTU = number(value)
	case unix.IFLA_IFALIAS:
		l.Alias = unix.ByteSliceToString(value)
	case unix.IFLA_TXQLEN:
		l.TxQueue = number(value)
	case unix.IFLA_OPERSTATE:
		l.Operstate = operstates.word(number(value))
	case unix.IFLA_GROUP:
		if n := number(value); n != 0 {
			l.Group = &n
		}
	case unix.IFLA_QDISC:
		l.Qdisc = unix.ByteSliceToString(value)
	}
}

// An info is what a link says of its kind and of its being a port.
type info struct {
	kind, slave string
	data, port  []byte
}

func readInfo(b []byte) (i info) {
	visit(b, func(kind int, value []byte) {
		switch kind {
		case nl.IFLA_INFO_KIND:
			i.kind = unix.ByteSliceToString(value)
		case nl.IFLA_INFO_DATA:
			i.data = value
		case nl.IFLA_INFO_SLAVE_KIND:
			i.slave = unix.ByteSliceToString(value)
		case nl.IFLA_INFO_SLAVE_DATA:
			i.port = value
		}
	})
	return i
}

func (l *Link) readInfo(b []byte, names names) {
	i := readInfo(b)
	l.Kind = i.kind
	if i.kind == "vxlan" {
		l.VXLAN = &VXLAN{Checksum: new(bool)}
		visit(i.data, func(kind int, value []byte) {
			if kind == nl.IFLA_VXLAN_LINK {
				l.Lower = names.of(number(value))
			}
			l.VXLAN.read(kind, value)
		})
	}
	if kinds[i.kind] != nil {
		l.Options = readOptions(i.kind, i.data, names).said(i.kind)
	}
	if i.slave == "bridge" {
		l.Port = readOptions("bridge_slave", i.port, names).said("bridge_slave")
	}
}

// DefaultAgeing is how long the kernel keeps learnt FDB entries when it was not told, in seconds.
const DefaultAgeing = 300

func (v *VXLAN) read(kind int, value []byte) {
	switch kind {
	case nl.IFLA_VXLAN_ID:
		v.ID = number(value)
	case nl.IFLA_VXLAN_PORT:
		v.Port = portNumber(value)
	case nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_LOCAL6:
		v.Local = addr(value)
	case nl.IFLA_VXLAN_GROUP, nl.IFLA_VXLAN_GROUP6:
		v.Remote = addr(value)
	case nl.IFLA_VXLAN_TTL:
		if v.TTL == 0 {
			v.TTL = number(value)
		}
	case vxlanTTLInherit:
		if number(value) != 0 {
			v.TTL = -1
		}
	case nl.IFLA_VXLAN_TOS:
		v.TOS = number(value)
	case nl.IFLA_VXLAN_AGEING:
		switch v.Ageing = number(value); v.Ageing {
		case DefaultAgeing:
			v.Ageing = 0
		case 0:
			v.Ageing = -1
		}
	case nl.IFLA_VXLAN_LIMIT:
		v.Limit = number(value)
	case nl.IFLA_VXLAN_PORT_RANGE:
		v.PortLow, v.PortHigh = portNumber(value[:2]), portNumber(value[2:])
	case nl.IFLA_VXLAN_LEARNING:
		v.Learning = number(value) != 0
	case nl.IFLA_VXLAN_GBP:
		v.GBP = true
	case nl.IFLA_VXLAN_UDP_CSUM:
		*v.Checksum = number(value) != 0
	default:
		for word, attribute := range vxlanSwitches {
			if kind == attribute {
				v.Switch(word, number(value) != 0)
			}
		}
	}
}
