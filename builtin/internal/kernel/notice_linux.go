package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// noticeGroups are what the kernel is asked to tell of.
var noticeGroups = [...]int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// openNotices opens a socket for notices of the thread's network namespace. It gets none before it joins a group.
func openNotices() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open socket for notices: %w", err)
	}
	const much = 4 << 20                                                   // bytes: tens of thousands of routes
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, much) // with less, notices are lost sooner, which is noticed
	return os.NewFile(uintptr(fd), "netlink notices"), nil
}

// Watch is part of Kernel.
func (s *system) Watch(ctx context.Context, notice func(Notice)) error {
	if err := s.membership(unix.NETLINK_ADD_MEMBERSHIP); err != nil {
		return err
	}
	defer s.membership(unix.NETLINK_DROP_MEMBERSHIP)
	if err := s.notices.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("watch kernel: %w", err)
	}
	defer context.AfterFunc(ctx, func() { s.notices.SetReadDeadline(time.Unix(1, 0)) })()
	notice = oneByOne(notice)
	s.tunnels.onChange(func(link string) { notice(Notice{Object: Device{Name: link}}) })
	defer s.tunnels.onChange(nil)
	// What was true before the first notice is not known.
	notice(Notice{})
	buffer := make([]byte, 64<<10)
	for {
		n, err := s.notices.Read(buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS): // more came than there was room for
			notice(Notice{})
			continue
		case err != nil:
			return fmt.Errorf("watch kernel: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			notice(Notice{})
		}
		names := s.names()
		for _, m := range messages {
			if o := readNotice(m, names); o != nil {
				notice(Notice{o, isDeletion(m.Header.Type)})
			}
		}
	}
}

// oneByOne has callers of the function wait for each other.
func oneByOne(notice func(Notice)) func(Notice) {
	var mu sync.Mutex
	return func(n Notice) {
		mu.Lock()
		defer mu.Unlock()
		notice(n)
	}
}

func (s *system) membership(option int) error {
	conn, err := s.notices.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch kernel: %w", err)
	}
	var errs []error
	err = conn.Control(func(fd uintptr) {
		for _, group := range noticeGroups {
			errs = append(errs, unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, option, group))
		}
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("watch kernel: %w", err)
	}
	return nil
}

func isDeletion(kind uint16) bool {
	return kind == unix.RTM_DELLINK || kind == unix.RTM_DELADDR || kind == unix.RTM_DELROUTE || kind == unix.RTM_DELNEIGH ||
		kind == unix.RTM_DELRULE
}

// readNotice is the object of a notice, nil when it is about something else.
func readNotice(m syscall.NetlinkMessage, names names) Object {
	if len(m.Data) == 0 {
		return nil
	}
	bridge := m.Data[0] == unix.AF_BRIDGE // the family comes first in all headers
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if !bridge {
			return readLink(m.Data, names)
		}
		if m.Header.Type == unix.RTM_NEWLINK { // of a port, or itself
			return VLAN{Dev: names.of(int(nl.DeserializeIfInfomsg(m.Data).Index))}
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return readAddr(m.Data, names)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return readRoute(m.Data, names)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return readRule(m.Data)
	case unix.RTM_NEWNETCONF: // which setting it is costs more to find out than to look
		return Sysctl{}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if bridge {
			return readFDB(m.Data, names)
		}
		return readNeigh(m.Data, names)
	}
	return nil
}
