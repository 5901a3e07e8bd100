package builtin

import (
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/lease"
)

// floor has the kernel make the same objects, metrics included, from datagrams that are written before, and does nothing else: no
// program can be faster that makes them one by one.
func (n *bench) floor(b *testing.B, peers []lease.Lease) (took cost) {
	b.Helper()
	if err := n.ns[0].Do(func() error {
		dev := "eth0"
		if peers[0].BackendType == "vxlan" {
			dev = "flannel.1"
		}
		link, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		datagrams := datagramsOf(peers, link.Index)
		answer := make([]byte, 4<<10)
		runtime.GC()
		began, used := time.Now(), processorTime(b)
		for _, d := range datagrams {
			if _, err := unix.Write(fd, d); err != nil {
				return err
			}
			size, err := unix.Read(fd, answer)
			if err != nil {
				return err
			}
			if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:size])); code != 0 {
				return unix.Errno(-code)
			}
		}
		took = cost{time.Since(began).Seconds(), processorTime(b) - used}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return took
}

// datagramsOf are the requests for the peers over the link of that number, of which the kernel answers the last in each datagram. It is
// fastest at many of a kind.
func datagramsOf(peers []lease.Lease, link int) (datagrams [][]byte) {
	const full = 32 << 10
	var d []byte
	last := 0 // where in d the last request begins
	end := func() {
		if d != nil {
			binary.NativeEndian.PutUint16(d[last+6:], binary.NativeEndian.Uint16(d[last+6:])|unix.NLM_F_ACK)
			datagrams, d = append(datagrams, d), nil
		}
	}
	for some := range slices.Chunk(peers, 32) {
		for kind := range requestsOf(some[0], link) {
			for _, p := range some {
				r := requestsOf(p, link)[kind]
				r.Flags &^= unix.NLM_F_ACK
				one := r.Serialize()
				if len(d)+len(one) > full {
					end()
				}
				last = len(d)
				d = append(d, one...)
			}
		}
	}
	end()
	return datagrams
}

func requestsOf(p lease.Lease, link int) (requests []*nl.NetlinkRequest) {
	const anew = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	subnet, public := p.V4.Subnet, p.V4.PublicIP.AsSlice()
	via, onlink := public, 0
	if p.BackendType == "vxlan" {
		via, onlink = subnet.Addr().AsSlice(), unix.RTNH_F_ONLINK
		station, _ := net.ParseMAC(strings.Split(string(p.V4.Data), `"`)[5])
		neigh, fdb := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, anew), nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, anew)
		neigh.AddData(&netlink.Ndmsg{Family: unix.AF_INET, Index: uint32(link), State: netlink.NUD_PERMANENT})
		fdb.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(link), State: netlink.NUD_PERMANENT | netlink.NUD_NOARP, Flags: netlink.NTF_SELF})
		for r, to := range map[*nl.NetlinkRequest][]byte{neigh: via, fdb: public} {
			r.AddData(nl.NewRtAttr(netlink.NDA_DST, to))
			r.AddData(nl.NewRtAttr(netlink.NDA_LLADDR, station))
		}
		requests = append(requests, neigh, fdb)
	}
	route := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, anew)
	route.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{
		Family: unix.AF_INET, Dst_len: uint8(subnet.Bits()), Table: unix.RT_TABLE_MAIN, Protocol: kernel.Protocol,
		Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST, Flags: uint32(onlink),
	}})
	for kind, value := range map[int][]byte{
		unix.RTA_DST: subnet.Addr().AsSlice(), unix.RTA_GATEWAY: via, unix.RTA_OIF: nl.Uint32Attr(uint32(link)),
		unix.RTA_PRIORITY: nl.Uint32Attr(uint32(kernel.Spread(kernel.Route{Dst: subnet}).Metric)),
	} {
		route.AddData(nl.NewRtAttr(kind, value))
	}
	return append(requests, route)
}
