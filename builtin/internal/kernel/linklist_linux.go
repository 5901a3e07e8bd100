package kernel

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// skipStats leaves out the counters, which are most of what the kernel says of a link (RTEXT_FILTER_SKIP_STATS).
const skipStats = 1 << 3

// listLinks asks for one link when the name is given, for all otherwise.
func (s *system) listLinks(like Link) ([]Object, error) {
	index, err := s.index(like.Name)
	if err != nil {
		return nil, nil
	}
	how := unix.NLM_F_DUMP
	if index != 0 {
		how = 0
	}
	var a attrs
	a.u32(unix.IFLA_EXT_MASK, skipStats)
	var list []Object
	names := s.names()
	err = s.dump(unix.RTM_GETLINK, how, linkHeader(Link{}, index), a, func(m []byte) {
		l := readLink(m, names)
		if s.tunnels.get(l.Name) != nil {
			l.Kind = "wireguard"
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

func readLink(m []byte, names names) Link {
	header := nl.DeserializeIfInfomsg(m)
	l := Link{Index: int(header.Index), Encap: header.EncapType(), State: Down, Flags: flags(int(header.Flags), linkFlags)}
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
			visit(value, func(kind int, value []byte) { l.readKind(kind, value, names) })
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

func (l *Link) readAttr(kind int, value []byte) {
	switch kind {
	case unix.IFLA_IFNAME:
		l.Name = unix.ByteSliceToString(value)
	case unix.IFLA_MTU:
		l.MTU = number(value)
	case unix.IFLA_ADDRESS:
		l.Address = mac(value)
	case unix.IFLA_BROADCAST:
		l.Broadcast = mac(value)
	case unix.IFLA_IFALIAS:
		l.Alias = unix.ByteSliceToString(value)
	case unix.IFLA_TXQLEN:
		l.TxQueue = number(value)
	case unix.IFLA_OPERSTATE:
		l.Operstate = operstates.word(number(value))
	case unix.IFLA_GROUP:
		l.Group = number(value)
	case unix.IFLA_QDISC:
		l.Qdisc = unix.ByteSliceToString(value)
	}
}

// readKind reads what the kernel says of the kind, which it names first.
func (l *Link) readKind(kind int, value []byte, names names) {
	switch {
	case kind == nl.IFLA_INFO_KIND:
		l.Kind = unix.ByteSliceToString(value)
	case kind != nl.IFLA_INFO_DATA:
	case l.Kind == "vxlan":
		l.VXLAN = &VXLAN{Checksum: new(bool)}
		visit(value, func(kind int, value []byte) {
			if kind == nl.IFLA_VXLAN_LINK {
				l.Lower = names.of(number(value))
			}
			l.VXLAN.read(kind, value)
		})
	case l.Kind == "vlan":
		visit(value, func(kind int, value []byte) {
			if kind == nl.IFLA_VLAN_ID {
				l.VLAN = number(value)
			}
		})
	}
}

// defaultAgeing is the kernel's, in seconds.
const defaultAgeing = 300

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
		v.TTL = number(value)
	case nl.IFLA_VXLAN_TOS:
		v.TOS = number(value)
	case nl.IFLA_VXLAN_AGEING:
		if v.Ageing = number(value); v.Ageing == defaultAgeing {
			v.Ageing = 0
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
