package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var scopes = spelling{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}

func (n *numbers) addr(verb Verb, a Addr) (message, error) {
	index, err := n.of(a.Dev)
	if err != nil {
		return message{}, err
	}
	ip, other := a.Prefix.Addr(), a.Prefix
	if a.Peer.IsValid() {
		other = a.Peer
	}
	header := nl.NewIfAddrmsg(int(family(ip)))
	header.Index, header.Prefixlen = uint32(index), uint8(other.Bits())
	if a.Scope != "" {
		scope, err := scopes.number(a.Scope)
		if err != nil {
			return message{}, err
		}
		header.Scope = uint8(scope)
	} else if ip.Is4() && ip.IsLoopback() {
		header.Scope = unix.RT_SCOPE_HOST
	}
	var list attrs
	list.ip(unix.IFA_LOCAL, ip)
	list.ip(unix.IFA_ADDRESS, other.Addr())
	list.ip(unix.IFA_BROADCAST, a.Broadcast)
	if a.Label != "" {
		list.text(unix.IFA_LABEL, a.Label)
	}
	list.ip(unix.IFA_ANYCAST, a.Anycast)
	list.said32(unix.IFA_RT_PRIORITY, a.Metric)
	bits := 0
	for _, s := range a.switches() {
		bits |= bit(*s.on) * s.bit
	}
	list.said32(unix.IFA_FLAGS, bits)
	if a.Life != nil {
		info := binary.NativeEndian.AppendUint32(nil, a.Life.Preferred)
		info = binary.NativeEndian.AppendUint32(info, a.Life.Valid)
		list.put(unix.IFA_CACHEINFO, append(info, make([]byte, 8)...))
	}
	return request(verb, unix.RTM_NEWADDR, unix.RTM_DELADDR, header.Serialize(), list), nil
}

// listAddrs lists the addresses of one link, or of all, in one family or both.
func (s *system) listAddrs(like Addr) ([]Object, error) {
	index, err := s.index(like.Dev)
	if err != nil {
		return nil, nil
	}
	var list []Object
	names := s.names()
	for _, f := range families(like.Prefix.Addr()) {
		header := nl.NewIfAddrmsg(int(f))
		header.Index = uint32(index)
		err := s.dump(unix.RTM_GETADDR, unix.NLM_F_DUMP, header, nil, func(m []byte) {
			list = append(list, readAddr(m, names))
		})
		if err != nil && !(index != 0 && missing(err)) {
			return nil, err
		}
	}
	return list, nil
}

// addrFlags are ip's words in its order; "permanent" is only what is not dynamic, and ip does not say it.
var addrFlags = []flag{
	{unix.IFA_F_SECONDARY, "secondary"}, {unix.IFA_F_NODAD, "nodad"}, {unix.IFA_F_OPTIMISTIC, "optimistic"},
	{unix.IFA_F_DADFAILED, "dadfailed"}, {unix.IFA_F_HOMEADDRESS, "home"}, {unix.IFA_F_DEPRECATED, "deprecated"},
	{unix.IFA_F_TENTATIVE, "tentative"}, {dynamic, "dynamic"}, {unix.IFA_F_MANAGETEMPADDR, "mngtmpaddr"},
	{unix.IFA_F_NOPREFIXROUTE, "noprefixroute"}, {unix.IFA_F_MCAUTOJOIN, "autojoin"}, {unix.IFA_F_STABLE_PRIVACY, "stable-privacy"},
}

// dynamic is a bit that the kernel does not use, for what is not permanent.
const dynamic = 1 << 30

func readAddr(m []byte, names names) Addr {
	header := nl.DeserializeIfAddrmsg(m)
	a := Addr{Dev: names.of(int(header.Index))}
	if header.Scope != unix.RT_SCOPE_UNIVERSE {
		a.Scope = scopes.word(int(header.Scope))
	}
	bits := int(header.Flags)
	var local, other netip.Addr
	visit(m[unix.SizeofIfAddrmsg:], func(kind int, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local = addr(value)
		case unix.IFA_ADDRESS:
			other = addr(value)
		case unix.IFA_BROADCAST:
			a.Broadcast = addr(value)
		case unix.IFA_LABEL:
			a.Label = unix.ByteSliceToString(value)
		case unix.IFA_FLAGS:
			bits = number(value)
		case unix.IFA_ANYCAST:
			a.Anycast = addr(value)
		case unix.IFA_RT_PRIORITY:
			a.Metric = number(value)
		case unix.IFA_CACHEINFO:
			life := Life{Preferred: uint32(number(value[0:4])), Valid: uint32(number(value[4:8]))}
			if life != (Life{Forever, Forever}) {
				a.Life = &life
			}
		}
	})
	if !local.IsValid() {
		local = other // IPv6 says the local one only beside a peer
	}
	a.Prefix = netip.PrefixFrom(local, int(header.Prefixlen))
	if other != local {
		a.Prefix = netip.PrefixFrom(local, local.BitLen())
		a.Peer = netip.PrefixFrom(other, int(header.Prefixlen))
	}
	for _, s := range a.switches() {
		*s.on = bits&s.bit != 0
	}
	if bits&unix.IFA_F_PERMANENT == 0 {
		bits |= dynamic
	}
	a.Flags = flags(bits, addrFlags)
	if i := slices.Index(a.Flags, "secondary"); i >= 0 && local.Is6() {
		a.Flags[i] = "temporary"
	}
	if a.Label == a.Dev {
		a.Label = "" // the kernel's choice
	}
	return a
}
