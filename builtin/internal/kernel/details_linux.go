package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"

	"golang.org/x/sys/unix"
)

// sizes are the attributes of a link's sizes, in ip's order.
var sizes = []struct {
	attr int
	word string
}{
	{unix.IFLA_NUM_TX_QUEUES, "numtxqueues"}, {unix.IFLA_NUM_RX_QUEUES, "numrxqueues"},
	{unix.IFLA_GSO_MAX_SIZE, "gso_max_size"}, {unix.IFLA_GSO_MAX_SEGS, "gso_max_segs"},
	{unix.IFLA_TSO_MAX_SIZE, "tso_max_size"}, {unix.IFLA_TSO_MAX_SEGS, "tso_max_segs"},
	{unix.IFLA_GRO_MAX_SIZE, "gro_max_size"},
}

var linkModes = spelling{0: "default", 1: "dormant", 2: "testing"}

func readDetails(m []byte, names names) *Details {
	d := new(Details)
	said := map[int][]byte{}
	visit(m[unix.SizeofIfInfomsg:], func(kind int, value []byte) { said[kind] = value })
	count := func(attr int) int { return number(said[attr]) }
	text := func(attr int) string { return unix.ByteSliceToString(said[attr]) }
	d.Promiscuity, d.AllMulti = count(unix.IFLA_PROMISCUITY), count(unix.IFLA_ALLMULTI)
	d.MinMTU, d.MaxMTU = count(unix.IFLA_MIN_MTU), count(unix.IFLA_MAX_MTU)
	d.Mode = linkModes.word(count(unix.IFLA_LINKMODE))
	d.ParentBus, d.Parent = text(unix.IFLA_PARENT_DEV_BUS_NAME), text(unix.IFLA_PARENT_DEV_NAME)
	d.PortName = text(unix.IFLA_PHYS_PORT_NAME)
	d.ID, d.SwitchID = hex.EncodeToString(said[unix.IFLA_PHYS_PORT_ID]), hex.EncodeToString(said[unix.IFLA_PHYS_SWITCH_ID])
	d.ProtoDown = count(unix.IFLA_PROTO_DOWN) != 0
	d.CarrierChanges = count(unix.IFLA_CARRIER_CHANGES)
	for _, s := range sizes {
		if value, ok := said[s.attr]; ok {
			d.Sizes = append(d.Sizes, Size{s.word, number(value)})
		}
	}
	if id, ok := said[unix.IFLA_LINK_NETNSID]; ok {
		d.Namespace = new(int(int32(number(id))))
	}
	if lower, ok := said[unix.IFLA_LINK]; ok && number(lower) == 0 {
		d.LowerNone = true
	}
	if p := said[unix.IFLA_PERM_ADDRESS]; p != nil && !bytes.Equal(p, said[unix.IFLA_ADDRESS]) {
		d.Permanent = mac(p)
	}
	visit(said[unix.IFLA_PROP_LIST], func(kind int, value []byte) {
		if kind == unix.IFLA_ALT_IFNAME {
			d.AltNames = append(d.AltNames, unix.ByteSliceToString(value))
		}
	})
	visit(said[unix.IFLA_AF_SPEC], func(family int, value []byte) {
		if family == unix.AF_INET6 {
			visit(value, func(kind int, value []byte) {
				if kind == unix.IFLA_INET6_ADDR_GEN_MODE {
					d.AddrGen = addrGenModes.word(number(value))
				}
			})
		}
	})
	d.readInfo(said, names)
	full := make([]byte, binary.Size(d.Counters))
	copy(full, said[unix.IFLA_STATS64])
	binary.Decode(full, binary.NativeEndian, &d.Counters) // is of the right length
	return d
}

// readInfo reads what the kind says, and finds what overlayd has no words for.
func (d *Details) readInfo(said map[int][]byte, names names) {
	i := readInfo(said[unix.IFLA_LINKINFO])
	d.Kind, d.Slave = readOptions(i.kind, i.data, names), i.slave
	if d.Slave != "" {
		d.Port = readOptions(i.slave+"_slave", i.port, names)
	}
	reason := 0
	visit(said[unix.IFLA_PROTO_DOWN_REASON], func(kind int, value []byte) {
		if kind == unix.IFLA_PROTO_DOWN_REASON_VALUE {
			reason = number(value)
		}
	})
	attached := 0
	visit(said[unix.IFLA_XDP], func(kind int, value []byte) {
		if kind == unix.IFLA_XDP_ATTACHED {
			attached = number(value)
		}
	})
	switch {
	case number(said[unix.IFLA_NUM_VF]) != 0:
		d.Unshown = "vf"
	case attached != 0:
		d.Unshown = "xdp"
	case reason != 0:
		d.Unshown = "protodown_reason"
	case i.data != nil && kinds[i.kind] == nil && len(i.data) > 0:
		d.Unshown = i.kind
	case i.slave != "" && kinds[i.slave+"_slave"] == nil:
		d.Unshown = i.slave + "_slave"
	}
}
