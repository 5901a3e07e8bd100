package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Lookup is part of Kernel.
func (s *system) Lookup(ctx context.Context, to netip.Addr) (Route, error) {
	if err := ctx.Err(); err != nil {
		return Route{}, context.Cause(ctx)
	}
	header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family(to), Dst_len: uint8(to.BitLen())}}
	var a attrs
	a.ip(unix.RTA_DST, to)
	var found Route
	names := s.names()
	err := s.dump(unix.RTM_GETROUTE, 0, header, a, func(m []byte) { found = readRoute(m, names) })
	if err == nil {
		return found, nil
	}
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		err = fs.ErrNotExist
	}
	return Route{}, fmt.Errorf("look up route to %s: %w", to, err)
}
