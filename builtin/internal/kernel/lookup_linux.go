package kernel

import (
	"context"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What a lookup is asked to tell, from linux/rtnetlink.h: the table that was looked in, and the route as it is there.
const (
	lookupTable = 0x1000
	fibMatch    = 0x2000
)

// Lookup is part of Kernel.
func (s *system) Lookup(ctx context.Context, q Query) (Route, error) {
	if err := ctx.Err(); err != nil {
		return Route{}, context.Cause(ctx)
	}
	header, a, err := s.lookup(q)
	if err != nil {
		return Route{}, err
	}
	var found Route
	names := s.names()
	if err := s.dump(unix.RTM_GETROUTE, 0, header, a, func(m []byte) { found = readRoute(m, names) }); err != nil {
		return Route{}, q.refused(err)
	}
	return found, nil
}

func (s *system) lookup(q Query) (*nl.RtMsg, attrs, error) {
	header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: family(q.To), Dst_len: uint8(q.To.BitLen()), Tos: uint8(q.TOS)}}
	var a attrs
	a.ip(unix.RTA_DST, q.To)
	if q.From.IsValid() {
		header.Src_len = uint8(q.From.BitLen())
		a.ip(unix.RTA_SRC, q.From)
	}
	for kind, name := range map[int]string{unix.RTA_IIF: q.In, unix.RTA_OIF: q.Out} {
		index, err := s.index(name)
		if err != nil {
			return nil, nil, err
		}
		a.said32(kind, index)
	}
	a.said32(unix.RTA_MARK, q.Mark)
	if q.UID != nil {
		a.u32(unix.RTA_UID, *q.UID)
	}
	if q.To.Is4() {
		header.Flags |= lookupTable
	}
	if q.Match {
		header.Flags |= fibMatch
	}
	return header, a, nil
}
