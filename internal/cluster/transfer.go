package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// transferred is how many bytes a Transfer sends each way: many packets of the largest size.
const transferred = 256 << 10

// transferWait is how long that may take: it is a matter of milliseconds, but for a machine that is busy with WireGuard.
const transferWait = time.Minute

// Transfer sends bytes over TCP and has them sent back, and returns the size in bytes of the largest IP packet that TCP thought
// the way to take, by its segments. TCP forbids everybody on the way to fragment its packets.
func (p Pair) Transfer(ctx context.Context) (mtu int, err error) {
	ctx, cancel := context.WithTimeout(ctx, transferWait)
	defer cancel()
	var listener net.Listener
	err = p.To.ns.Do(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(p.addr, 0).String())
		return err
	})
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var g errgroup.Group
	g.Go(func() error { return echoOne(ctx, listener) })
	g.Go(func() error {
		mtu, err = p.send(ctx, listener.Addr().String())
		if err != nil {
			listener.Close()
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("transfer %s: %w", p, err)
	}
	return mtu, nil
}

func echoOne(ctx context.Context, listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = io.CopyN(conn, conn, transferred)
	return err
}

func (p Pair) send(ctx context.Context, to string) (mtu int, err error) {
	var conn net.Conn
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: p.ping.From().AsSlice()}}
	err = p.From.ns.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, "tcp", to)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var g errgroup.Group
	g.Go(func() error {
		_, err := conn.Write(make([]byte, transferred))
		return err
	})
	g.Go(func() error {
		_, err := io.CopyN(io.Discard, conn, transferred)
		return err
	})
	if err := g.Wait(); err != nil {
		return 0, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	segment := 0
	controlErr := raw.Control(func(fd uintptr) { segment, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	const tcpHeader, timestamps = 20, 12
	ipHeader := map[bool]int{true: 20, false: 40}[p.addr.Is4()]
	return segment + timestamps + tcpHeader + ipHeader, errors.Join(err, controlErr)
}
