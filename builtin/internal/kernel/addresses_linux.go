package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/sleep"
)

// addressGroups are the kernel's notices of what may change where this machine is reached.
var addressGroups = [...]int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// A change of addresses comes in several notices, and thousands of routes may be written in a row.
const (
	noticeSettle = 100 * time.Millisecond // after the first notice, for what belongs to it
	noticeApart  = time.Second            // between two calls, at least
)

// WatchAddresses calls changed at once, and after links, addresses or routes have changed in the network namespace that the
// calling thread is in, until the context ends, whose error it returns. What changes together is one call. Routes with the mark of
// native backends do not count: they lead to peers' subnets, and there are as many of them as peers.
func WatchAddresses(ctx context.Context, changed func()) error {
	file, conn, err := openAddressNotices()
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer file.Close()
	defer context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })() // ends a wait
	for {
		changed()
		next := time.Now().Add(noticeApart)
		err := readNotices(conn, true)
		if err == nil {
			err = sleep.For(ctx, max(noticeSettle, time.Until(next)))
		}
		if err == nil {
			err = readNotices(conn, false)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("watch addresses: %w", err)
		}
	}
}

func openAddressNotices() (*os.File, syscall.RawConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(fd), "netlink notices")
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range addressGroups {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	conn, connErr := file.SyscallConn()
	if err = errors.Join(err, connErr); err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, conn, nil
}

// readNotices reads all notices there are, if it waits at least one that counts. What else they say is of no interest. That some
// were lost says that there were some.
func readNotices(conn syscall.RawConn, wait bool) error {
	buffer := make([]byte, 64<<10)
	var failed error
	err := conn.Read(func(fd uintptr) (done bool) {
		for done = !wait; ; {
			switch n, err := unix.Read(int(fd), buffer); err {
			case nil:
				done = done || !areOwnRoutes(buffer[:n])
			case unix.ENOBUFS:
				done = true
			case unix.EINTR:
			case unix.EAGAIN:
				return done
			default:
				failed = err
				return true
			}
		}
	})
	return errors.Join(err, failed)
}

// areOwnRoutes reports whether the notices are of nothing but routes with the mark of native backends.
func areOwnRoutes(notices []byte) bool {
	messages, err := syscall.ParseNetlinkMessage(notices)
	return err == nil && !slices.ContainsFunc(messages, func(m syscall.NetlinkMessage) bool {
		const protocol = 5 // where it is in an rtmsg
		route := m.Header.Type == unix.RTM_NEWROUTE || m.Header.Type == unix.RTM_DELROUTE
		return !route || len(m.Data) <= protocol || m.Data[protocol] != Protocol
	})
}
