package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/netns"
)

// A protocol is what ping needs to know about an address family.
type protocol struct {
	family      string
	network     string // for net.ListenPacket
	number      int
	echo, reply icmp.Type
	header      int // bytes before the echo's data: the IP header without options, and ICMP's
	options     []option
}

type option struct{ level, name, value int }

// protocolOf returns the address's protocol. Its options keep the kernel from fragmenting, on this node and on the way.
func protocolOf(a netip.Addr) protocol {
	if a.Is4() {
		return protocol{"IPv4", "ip4:1", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, 20 + 8,
			[]option{{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO}}}
	}
	return protocol{"IPv6", "ip6:58", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 40 + 8,
		[]option{{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO}, {unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1}}}
}

const (
	smallPacket = 84              // bytes; what ping(8) sends over IPv4
	maxPacket   = 65535           // bytes of IPv4; IPv6's is a header more
	firstWait   = 5 * time.Second // time enough to find the neighbour
)

// A pinger sends ICMP echoes from one address of a node, one at a time.
type pinger struct {
	from netip.Addr
	protocol
	conn    net.PacketConn
	id, seq int
	buffer  []byte
}

// listen opens a pinger for an address that a link in the namespace has.
func listen(ctx context.Context, ns *netns.Namespace, from netip.Addr) (*pinger, error) {
	p := &pinger{from: from, protocol: protocolOf(from), id: rand.IntN(1 << 16), buffer: make([]byte, maxPacket)}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) {
			for _, o := range p.options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		})
		return errors.Join(controlErr, err)
	}}
	err := ns.Do(func() (err error) {
		p.conn, err = config.ListenPacket(ctx, p.network, from.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open ping socket: %w", err)
	}
	return p, nil
}

// ping sends one echo in an IP packet of size bytes and returns the time until its answer came. After wait, or when the
// context ends, it answers an error that is os.ErrDeadlineExceeded; a packet larger than the way's MTU may answer EMSGSIZE.
func (p *pinger) ping(ctx context.Context, to netip.Addr, size int, wait time.Duration) (time.Duration, error) {
	p.seq = (p.seq + 1) % (1 << 16)
	echo := icmp.Message{Type: p.echo, Body: &icmp.Echo{ID: p.id, Seq: p.seq, Data: make([]byte, size-p.header)}}
	packet, err := echo.Marshal(nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := p.conn.SetReadDeadline(start.Add(wait)); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { p.conn.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := p.conn.WriteTo(packet, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, err
	}
	for {
		n, from, err := p.conn.ReadFrom(p.buffer)
		if err != nil {
			return 0, err
		}
		if p.answers(p.buffer[:n], from, to) {
			return time.Since(start), nil
		}
	}
}

// answers reports whether the packet is the reply to the last echo. The socket sees all ICMP of its node.
func (p *pinger) answers(packet []byte, from net.Addr, to netip.Addr) bool {
	sender, ok := netip.AddrFromSlice(from.(*net.IPAddr).IP)
	if !ok || sender.Unmap() != to {
		return false
	}
	m, err := icmp.ParseMessage(p.number, packet)
	if err != nil || m.Type != p.reply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.ID == p.id && echo.Seq == p.seq
}
