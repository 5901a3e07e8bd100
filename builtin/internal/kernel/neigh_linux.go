package kernel

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var neighStates = spelling{
	netlink.NUD_NONE: "none", netlink.NUD_INCOMPLETE: "incomplete", netlink.NUD_REACHABLE: "reachable",
	netlink.NUD_STALE: "stale", netlink.NUD_DELAY: "delay", netlink.NUD_PROBE: "probe", netlink.NUD_FAILED: "failed",
	netlink.NUD_NOARP: "noarp", netlink.NUD_PERMANENT: "permanent",
}

// fdbStates are bridge's words, whose numbers are combinations of neighbours' states.
var fdbStates = spelling{
	netlink.NUD_PERMANENT | netlink.NUD_NOARP: "permanent",
	netlink.NUD_REACHABLE | netlink.NUD_NOARP: "static",
	netlink.NUD_REACHABLE:                     "dynamic",
	netlink.NUD_STALE:                         "stale",
}

func (n *numbers) neigh(verb Verb, o *Neigh) (message, error) {
	header := netlink.Ndmsg{Family: family(o.IP)}
	state := netlink.NUD_PERMANENT
	if o.State != "" {
		var err error
		if state, err = neighStates.number(o.State); err != nil {
			return message{}, err
		}
	}
	if verb != Del && !o.Proxy {
		header.State = uint16(state)
	}
	a := n.attrs()
	a.ip(netlink.NDA_DST, o.IP)
	if o.Proxy || o.Router || o.Learned || o.Use || o.Managed {
		header.Flags = o.putFlags(&a)
	}
	if o.Protocol != 0 {
		a.u8(netlink.NDA_PROTOCOL, o.Protocol)
	}
	if err := a.mac(netlink.NDA_LLADDR, o.Address); err != nil {
		return message{}, err
	}
	return n.neighbour(verb, o.Dev, header, a)
}

// putFlags returns the lowest eight of the neighbour's flags, and puts the others. It is apart from neigh since the neighbour is
// allocated for it.
func (n Neigh) putFlags(a *attrs) (lowest uint8) {
	for _, f := range n.flags() {
		if *f.is && f.bit < 0x100 {
			lowest |= uint8(f.bit)
		} else if *f.is {
			a.u32(netlink.NDA_FLAGS_EXT, f.bit>>8)
		}
	}
	return lowest
}

// A neighFlag is one property of a neighbour. Above the lowest eight bits it is one of NDA_FLAGS_EXT.
type neighFlag struct {
	bit int
	is  *bool
}

func (n *Neigh) flags() []neighFlag {
	return []neighFlag{
		{netlink.NTF_PROXY, &n.Proxy}, {netlink.NTF_ROUTER, &n.Router}, {netlink.NTF_EXT_LEARNED, &n.Learned},
		{netlink.NTF_USE, &n.Use}, {1 << 8, &n.Managed},
	}
}

// neighbour is a request about a neighbour or an FDB entry, which the kernel keeps behind one message.
func (n *numbers) neighbour(verb Verb, dev string, header netlink.Ndmsg, a attrs) (message, error) {
	index, err := n.of(dev)
	native, b := binary.NativeEndian, n.header()
	b[0], b[10], b[11] = header.Family, header.Flags, header.Type
	native.PutUint32(b[4:], uint32(index))
	native.PutUint16(b[8:], header.State)
	return request(verb, unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, b, a), err
}

func (n *numbers) fdb(verb Verb, f *FDB) (message, error) {
	header := netlink.Ndmsg{Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF}
	if f.Master {
		header.Flags = netlink.NTF_MASTER
	}
	state := netlink.NUD_PERMANENT | netlink.NUD_NOARP
	if f.State != "" {
		var err error
		if state, err = fdbStates.number(f.State); err != nil {
			return message{}, err
		}
	}
	header.State = uint16(state)
	via, err := n.of(f.Via)
	if err != nil {
		return message{}, err
	}
	a := n.attrs()
	if err := a.mac(netlink.NDA_LLADDR, f.Address); err != nil {
		return message{}, err
	}
	a.ip(netlink.NDA_DST, f.Dst)
	if f.VLAN != 0 {
		a.u16(netlink.NDA_VLAN, f.VLAN)
	}
	if f.Port != 0 {
		a.put(netlink.NDA_PORT, binary.BigEndian.AppendUint16(nil, uint16(f.Port)))
	}
	a.said32(netlink.NDA_VNI, f.VNI)
	a.said32(netlink.NDA_SRC_VNI, f.SourceVNI)
	a.said32(netlink.NDA_NH_ID, f.NextHop)
	a.said32(netlink.NDA_IFINDEX, via)
	return n.neighbour(verb, f.Dev, header, a)
}

// listNeighs asks for one neighbour when address and device are given. Otherwise it lists those of one device or all, in
// one family or both, without the entries that the kernel makes by itself for multicast and broadcast.
func (s *system) listNeighs(like Neigh) ([]Object, error) {
	index, err := s.index(like.Dev)
	if err != nil {
		return nil, nil
	}
	var list []Object
	names := s.names()
	for _, f := range families(like.IP) {
		header, how := netlink.Ndmsg{Family: f}, unix.NLM_F_DUMP
		if like.Proxy {
			header.Flags = netlink.NTF_PROXY
		}
		var a attrs
		if like.IP.IsValid() && index != 0 {
			header.Index, how = uint32(index), 0
			a.ip(netlink.NDA_DST, like.IP)
		} else {
			a.said32(netlink.NDA_IFINDEX, index)
		}
		err := s.dump(unix.RTM_GETNEIGH, how, &header, a, func(m []byte) {
			n := readNeigh(m, names)
			if (like.State == AnyState || n.State != "noarp") && (!like.IP.IsValid() || like.IP == n.IP) {
				list = append(list, n)
			}
		})
		if err != nil && !missing(err) {
			return nil, err
		}
	}
	return list, nil
}

func readNeigh(m []byte, names names) Neigh {
	header := readNdmsg(m)
	n := Neigh{
		Dev: names.of(int(header.Index)), State: neighStates.word(int(header.State)),
		Offload: header.Flags&netlink.NTF_OFFLOADED != 0,
	}
	bits := int(header.Flags)
	visit(m[header.Len():], func(kind int, value []byte) {
		switch kind {
		case netlink.NDA_DST:
			n.IP = addr(value)
		case netlink.NDA_LLADDR:
			n.Address = mac(value)
		case netlink.NDA_PROTOCOL:
			n.Protocol = number(value)
		case netlink.NDA_FLAGS_EXT:
			bits |= number(value) << 8
		case netlink.NDA_CACHEINFO, netlink.NDA_PROBES:
			n.Stats = n.Stats.read(kind, value)
		}
	})
	for _, f := range n.flags() {
		*f.is = bits&f.bit != 0 && f.bit != netlink.NTF_USE
	}
	return n
}

// read adds an attribute to the statistics, which may be nil.
func (s *NeighStats) read(kind int, value []byte) *NeighStats {
	if s == nil {
		s = new(NeighStats)
	}
	if kind == netlink.NDA_PROBES {
		s.Probes = number(value)
		return s
	}
	const hertz = 100
	seconds := func(i int) int { return number(value[4*i:4*i+4]) / hertz }
	s.Confirmed, s.Used, s.Updated, s.References = seconds(0), seconds(1), seconds(2), number(value[12:16])
	return s
}

// readNdmsg reads the header of messages about neighbours.
func readNdmsg(m []byte) *netlink.Ndmsg {
	return &netlink.Ndmsg{
		Family: m[0], Index: uint32(number(m[4:8])), State: uint16(number(m[8:10])), Flags: m[10], Type: m[11],
	}
}

// listFDB lists the entries of one device, or of all. Those of one address are picked here, since the kernel's answer to a
// question for one names a single remote of several.
func (s *system) listFDB(like FDB) ([]Object, error) {
	index, err := s.index(like.Dev)
	if err != nil {
		return nil, nil
	}
	header := netlink.Ndmsg{Family: unix.AF_BRIDGE}
	var a attrs
	a.said32(netlink.NDA_IFINDEX, index)
	var list []Object
	names := s.names()
	err = s.dump(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, &header, a, func(m []byte) {
		f := readFDB(m, names)
		if (like.Address == "" || like.Address == f.Address) && (like.Bridge == "" || like.Bridge == f.Bridge || like.Bridge == f.Dev) {
			list = append(list, f)
		}
	})
	if missing(err) {
		return list, nil
	}
	return list, err
}

var fdbFlags = []flag{
	{netlink.NTF_ROUTER, "router"}, {netlink.NTF_EXT_LEARNED, "extern_learn"}, {netlink.NTF_OFFLOADED, "offload"},
	{netlink.NTF_MASTER, "master"}, {netlink.NTF_STICKY, "sticky"},
}

func readFDB(m []byte, names names) FDB {
	header := readNdmsg(m)
	f := FDB{Dev: names.of(int(header.Index)), Flags: flags(int(header.Flags), fdbFlags)}
	// Of two bits that were set, a bridge tells one.
	switch {
	case header.State&netlink.NUD_PERMANENT != 0:
		f.State = "permanent"
	case header.State&netlink.NUD_NOARP != 0:
		f.State = "static"
	default:
		f.State = fdbStates.word(int(header.State))
	}
	visit(m[header.Len():], func(kind int, value []byte) {
		switch kind {
		case netlink.NDA_LLADDR:
			f.Address = mac(value)
		case netlink.NDA_DST:
			f.Dst = addr(value)
		case netlink.NDA_VLAN:
			f.VLAN = number(value)
		case netlink.NDA_PORT:
			f.Port = portNumber(value)
		case netlink.NDA_VNI:
			f.VNI = number(value)
		case netlink.NDA_SRC_VNI:
			f.SourceVNI = number(value)
		case netlink.NDA_NH_ID:
			f.NextHop = number(value)
		case netlink.NDA_CACHEINFO:
			f.Stats = f.Stats.read(kind, value)
		case netlink.NDA_IFINDEX:
			f.Via = names.of(number(value))
		case netlink.NDA_MASTER:
			f.Bridge = names.of(number(value))
		}
	})
	f.Master = header.Flags&netlink.NTF_SELF == 0 && f.Bridge != ""
	return f
}
