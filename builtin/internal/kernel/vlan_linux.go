package kernel

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/if_bridge.h.
const (
	bridgeFlags, bridgeVLANInfo  = 0, 2 // attributes in IFLA_AF_SPEC
	bridgeMaster, bridgeSelf     = 1, 2 // of bridgeFlags: to whom the link is to tell it
	vlanPVID, vlanUntagged       = 0x2, 0x4
	vlanRangeBegin, vlanRangeEnd = 0x8, 0x10
	withVLANRanges               = 1 << 2 // RTEXT_FILTER_BRVLAN_COMPRESSED
)

func bridgeHeader(index int) *nl.IfInfomsg {
	h := nl.NewIfInfomsg(unix.AF_BRIDGE)
	h.Index = int32(index)
	return h
}

func (n *numbers) vlan(verb Verb, v VLAN) (message, error) {
	index, err := n.of(v.Dev)
	if err != nil {
		return message{}, err
	}
	to, flags := bridgeMaster, 0
	if v.Self {
		to = bridgeSelf
	}
	if v.PVID {
		flags |= vlanPVID
	}
	if v.Untagged {
		flags |= vlanUntagged
	}
	var inner, a attrs
	inner.u16(bridgeFlags, to)
	inner.put(bridgeVLANInfo, append(nl.Uint16Attr(uint16(flags)), nl.Uint16Attr(uint16(v.ID))...))
	a.nest(unix.IFLA_AF_SPEC, inner)
	if verb == Del {
		return newMessage(unix.RTM_DELLINK, 0, bridgeHeader(index), a), nil
	}
	return newMessage(unix.RTM_SETLINK, 0, bridgeHeader(index), a), nil
}

// listVLANs lists the VLANs of one link or of all, those with one number or all.
func (s *system) listVLANs(like VLAN) ([]Object, error) {
	if _, err := s.index(like.Dev); err != nil {
		return nil, nil
	}
	var a attrs
	a.u32(unix.IFLA_EXT_MASK, withVLANRanges)
	var list []Object
	names := s.names()
	err := s.dump(unix.RTM_GETLINK, unix.NLM_F_DUMP, bridgeHeader(0), a, func(m []byte) {
		dev := names.of(int(nl.DeserializeIfInfomsg(m).Index))
		if like.Dev == "" || like.Dev == dev {
			list = readVLANs(list, m, VLAN{Dev: dev}, like.ID)
		}
	})
	return list, err
}

// readVLANs adds the VLANs that one link tells of, or of them the one with the number. A bridge calls itself its master.
func readVLANs(list []Object, m []byte, v VLAN, only int) []Object {
	visit(m[unix.SizeofIfInfomsg:], func(kind int, value []byte) {
		if kind == unix.IFLA_MASTER {
			v.Self = number(value) == int(nl.DeserializeIfInfomsg(m).Index)
		}
	})
	first := 0
	info := func(kind int, value []byte) {
		if kind != bridgeVLANInfo || len(value) < 4 {
			return
		}
		flags, last := binary.NativeEndian.Uint16(value), int(binary.NativeEndian.Uint16(value[2:]))
		if flags&vlanRangeEnd == 0 {
			first = last
		}
		if flags&vlanRangeBegin != 0 {
			return
		}
		v.PVID, v.Untagged = flags&vlanPVID != 0, flags&vlanUntagged != 0
		for v.ID = first; v.ID <= last; v.ID++ {
			if only == 0 || only == v.ID {
				list = append(list, v)
			}
		}
	}
	visit(m[unix.SizeofIfInfomsg:], func(kind int, value []byte) {
		if kind == unix.IFLA_AF_SPEC {
			visit(value, info)
		}
	})
	return list
}
