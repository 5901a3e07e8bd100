package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are this machine's interfaces and default routes as they were at one moment.
type Facts struct {
	Interfaces []Interface // by index
	Defaults   []Route     // in the kernel's order
}

// An Interface is a network interface with its addresses.
type Interface struct {
	Name      string
	Index     int
	MTU       int  // bytes
	Hardware  bool // whether it is a device of the machine, not something that software made
	Virtual   bool // whether it is loopback, a tunnel, or a bridge without a device of the machine
	Loopback  bool
	Addresses []Address // in the kernel's order
}

// An Address is an interface's address with the length of the network that it connects to. What the flags say is only
// known for IPv6.
type Address struct {
	netip.Prefix      // host bits kept
	Dynamic      bool // it has a lifetime
	Temporary    bool // it changes for privacy
	Unfit        bool // it is about to go, or somebody else on the link has it
}

// A Route is a default route, one that has no narrower destination than everything.
type Route struct {
	Interface string
	V6        bool
	Metric    uint32 // the lowest wins
}

// Read returns the facts of the network namespace that the caller's thread is in. An error says which list the kernel did
// not give.
func Read() (Facts, error) {
	interfaces, err := readInterfaces()
	if err != nil {
		return Facts{}, err
	}
	v4, err := table("route")
	if err != nil {
		return Facts{}, err
	}
	v6, err := table("ipv6_route")
	if err != nil {
		return Facts{}, err
	}
	return Facts{Interfaces: interfaces, Defaults: append(columns4.defaults(v4), columns6.defaults(v6)...)}, nil
}

func readInterfaces() ([]Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	rows, err := table("if_inet6")
	if err != nil {
		return nil, err
	}
	flags := flags6(rows)
	var interfaces []Interface
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of interface %q: %w", link.Name, err)
		}
		i := Interface{
			Name: link.Name, Index: link.Index, MTU: link.MTU, Hardware: isHardware(link.Name),
			Loopback: link.Flags&net.FlagLoopback != 0,
		}
		i.Virtual = i.Loopback || isVirtual(link.Name)
		for _, addr := range addrs {
			if p, ok := prefixOf(addr); ok {
				i.Addresses = append(i.Addresses, newAddress(p, flags[located{i.Index, p.Addr()}]))
			}
		}
		interfaces = append(interfaces, i)
	}
	return interfaces, nil
}

func prefixOf(addr net.Addr) (netip.Prefix, bool) {
	ipNet, ok := addr.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(ipNet.IP)
	ones, _ := ipNet.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), ones), ok
}

// newAddress explains the kernel's IFA_F_ flags. IPv4 has none here, and counts as permanent.
func newAddress(p netip.Prefix, flags uint32) Address {
	return Address{
		Prefix:    p,
		Dynamic:   p.Addr().Is6() && flags&unix.IFA_F_PERMANENT == 0,
		Temporary: flags&unix.IFA_F_TEMPORARY != 0,
		Unfit:     flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_DADFAILED) != 0,
	}
}

// table reads a file of /proc/net as rows of words. A family that this kernel lacks has no file, and no rows.
func table(name string) ([][]string, error) {
	// Not /proc/net, which is that of the main thread: package net asks in the caller's namespace.
	text, err := os.ReadFile(filepath.Join("/proc/thread-self/net", name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		rows = append(rows, strings.Fields(line))
	}
	return rows, nil
}

// columns say where the files of the two families have what.
type columns struct {
	name, flags, metric int
	base                int    // of the metric's digits
	zero                [2]int // nothing but zeros here makes a default route
	v6                  bool
}

var (
	columns4 = columns{name: 0, flags: 3, metric: 6, base: 10, zero: [2]int{1, 7}}
	columns6 = columns{name: 9, flags: 8, metric: 5, base: 16, zero: [2]int{1, 3}, v6: true}
)

// defaults are the default routes that lead somewhere. Rows that are no route, such as the header, are passed over.
func (c columns) defaults(rows [][]string) []Route {
	var routes []Route
	for _, row := range rows {
		if len(row) <= max(c.name, c.flags, c.metric, c.zero[1]) || strings.Trim(row[c.zero[0]]+row[c.zero[1]], "0") != "" {
			continue
		}
		flags, err := strconv.ParseUint(row[c.flags], 16, 32)
		if err != nil || flags&(unix.RTF_UP|unix.RTF_REJECT) != unix.RTF_UP {
			continue
		}
		metric, err := strconv.ParseUint(row[c.metric], c.base, 32)
		if err != nil {
			continue
		}
		routes = append(routes, Route{Interface: row[c.name], V6: c.v6, Metric: uint32(metric)})
	}
	return routes
}

// located is an address on the interface of an index.
type located struct {
	index int
	addr  netip.Addr
}

// flags6 reads the rows of if_inet6: address, index, length, scope and flags in hexadecimal, name.
func flags6(rows [][]string) map[located]uint32 {
	found := map[located]uint32{}
	for _, row := range rows {
		if len(row) < 5 {
			continue
		}
		digits, err := hex.DecodeString(row[0])
		if err != nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(digits)
		index, indexErr := strconv.ParseInt(row[1], 16, 32)
		flags, flagsErr := strconv.ParseUint(row[4], 16, 32)
		if ok && indexErr == nil && flagsErr == nil {
			found[located{int(index), addr}] = uint32(flags)
		}
	}
	return found
}
