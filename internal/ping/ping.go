// Package ping measures with ICMP echoes how long the way to an address takes, and how large a packet may be on it.
package ping

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
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
	Small     = 84    // bytes of a small IP packet; what ping(8) sends over IPv4
	maxPacket = 65535 // bytes of IPv4; IPv6's is a header more

	// Bytes that the kernel may keep while this process waits for a busy machine.
	room = 4 << 20
)

// A Pinger sends ICMP echoes from one address, one at a time. It needs CAP_NET_RAW.
type Pinger struct {
	from netip.Addr
	protocol
	conn    net.PacketConn
	id, seq int
	buffer  []byte
}

// Listen opens a pinger for an address of this machine, or for the one that the kernel chooses where from is unspecified, in
// the network namespace of the calling thread.
func Listen(ctx context.Context, from netip.Addr) (*Pinger, error) {
	p := &Pinger{from: from, protocol: protocolOf(from), id: rand.IntN(1 << 16), buffer: make([]byte, maxPacket)}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) {
			for _, o := range p.options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
			_ = p.heed(int(fd)) // else all are read, and passed over
			// Without the right to more room the usual one has to do.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room)
		})
		return errors.Join(controlErr, err)
	}}
	var err error
	if p.conn, err = config.ListenPacket(ctx, p.network, from.String()); err != nil {
		return nil, fmt.Errorf("open ping socket: %w", err)
	}
	return p, nil
}

// heed has the socket be given the answers to the pinger's own echoes alone, of all ICMP of its node. Where many ping at once a busy machine
// would come late with reading it all.
func (p *Pinger) heed(fd int) error {
	program := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX}} // X is where ICMP begins
	if p.from.Is4() {
		program[0] = bpf.LoadMemShift{} // behind the IP header
	}
	program = append(program,
		bpf.LoadIndirect{Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: typeNumber(p.reply), SkipTrue: 3},
		bpf.LoadIndirect{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(p.id), SkipTrue: 1},
		bpf.RetConstant{Val: maxPacket},
		bpf.RetConstant{},
	)
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// typeNumber is the type's number in a packet.
func typeNumber(t icmp.Type) uint32 {
	switch t := t.(type) {
	case ipv4.ICMPType:
		return uint32(t)
	case ipv6.ICMPType:
		return uint32(t)
	}
	return 0
}

// From is the address that Listen was given.
func (p *Pinger) From() netip.Addr { return p.from }

// Family is "IPv4" or "IPv6".
func (p *Pinger) Family() string { return p.family }

// Close ends a Ping that waits.
func (p *Pinger) Close() error { return p.conn.Close() }

// Ping sends one echo in an IP packet of size bytes and returns the time until its answer came. After wait, or when the
// context ends, it answers an error that is os.ErrDeadlineExceeded; a packet larger than the way's MTU may answer EMSGSIZE.
func (p *Pinger) Ping(ctx context.Context, to netip.Addr, size int, wait time.Duration) (time.Duration, error) {
	p.seq = (p.seq + 1) % (1 << 16)
	packet, err := p.packet(p.seq, size)
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
func (p *Pinger) answers(packet []byte, from net.Addr, to netip.Addr) bool {
	seq, ok := p.sequence(packet, from, to)
	return ok && seq == p.seq
}

// sequence is the number of the echo that the packet replies to, if it is a reply to one of the pinger's.
func (p *Pinger) sequence(packet []byte, from net.Addr, to netip.Addr) (int, bool) {
	seq, ok := p.replied(packet)
	return seq, ok && senderOf(from) == to
}

// senderOf is who sent a packet, the zero Addr if that is none.
func senderOf(from net.Addr) netip.Addr {
	sender, _ := netip.AddrFromSlice(from.(*net.IPAddr).IP)
	return sender.Unmap()
}

// replied is the number of the echo that the packet replies to, if it is a reply to one of the pinger's, whoever sent it.
func (p *Pinger) replied(packet []byte) (int, bool) {
	m, err := icmp.ParseMessage(p.number, packet)
	if err != nil || m.Type != p.reply {
		return 0, false
	}
	echo, ok := m.Body.(*icmp.Echo)
	if !ok || echo.ID != p.id {
		return 0, false
	}
	return echo.Seq, true
}

const (
	firstWait = 5 * time.Second // time enough to find the neighbour
	probeWait = 200 * time.Millisecond
	probes    = 3 // of one size before it counts as too large
)

// PathMTU returns the size in bytes of the largest IP packet that comes back from the address unfragmented.
func (p *Pinger) PathMTU(ctx context.Context, to netip.Addr) (int, error) {
	low, high := Small, maxPacket+1
	if _, err := p.Ping(ctx, to, low, firstWait); err != nil {
		return 0, fmt.Errorf("measure MTU: ping %s: %w", to, err)
	}
	for high-low > 1 && ctx.Err() == nil {
		if middle := (low + high) / 2; p.passes(ctx, to, middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, ctx.Err()
}

// Takes looks whether packets of so many bytes come back from the address unfragmented, and larger ones do not. It waits until
// the context ends for one to come back.
func (p *Pinger) Takes(ctx context.Context, to netip.Addr, size int) error {
	for {
		_, err := p.Ping(ctx, to, size, probeWait)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EMSGSIZE) || ctx.Err() != nil {
			return fmt.Errorf("the path does not take %d bytes: %w", size, err)
		}
	}
	if p.passes(ctx, to, size+1) {
		return fmt.Errorf("the path takes more than %d bytes", size)
	}
	return nil
}

// Send sends a small echo of this number, below 65536, and does not wait for its answer, which Receive gets. A Pinger that does
// so must not Ping.
func (p *Pinger) Send(to netip.Addr, seq int) error {
	packet, err := p.packet(seq, Small)
	if err == nil {
		_, err = p.conn.WriteTo(packet, &net.IPAddr{IP: to.AsSlice()})
	}
	return err
}

// Receive waits until the address answers, or Close, and returns the number of the echo.
func (p *Pinger) Receive(to netip.Addr) (int, error) {
	for {
		n, from, err := p.conn.ReadFrom(p.buffer)
		if err != nil {
			return 0, err
		}
		if seq, ok := p.sequence(p.buffer[:n], from, to); ok {
			return seq, nil
		}
	}
}

// packet is an echo of this number in an IP packet of size bytes, without the IP header.
func (p *Pinger) packet(seq, size int) ([]byte, error) {
	echo := icmp.Message{Type: p.echo, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: make([]byte, size-p.header)}}
	return echo.Marshal(nil)
}

func (p *Pinger) passes(ctx context.Context, to netip.Addr, size int) bool {
	for range probes {
		_, err := p.Ping(ctx, to, size, probeWait)
		if err == nil {
			return true
		}
		if errors.Is(err, unix.EMSGSIZE) || ctx.Err() != nil {
			return false
		}
	}
	return false
}
