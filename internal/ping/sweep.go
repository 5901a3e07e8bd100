package ping

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Sweep sends one small echo to each of the addresses, a while apart, waits for late answers, and returns how long those took that came.
// Who is not in there was silent, or there is no way to it. An error says that no echo can be sent at all, as without CAP_NET_RAW, or
// that the context has ended.
func Sweep(ctx context.Context, to []netip.Addr, apart, wait time.Duration) (map[netip.Addr]time.Duration, error) {
	trips := make(map[netip.Addr]time.Duration, len(to))
	for _, from := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		family := slices.DeleteFunc(slices.Clone(to), func(a netip.Addr) bool { return a.Is4() != from.Is4() })
		if len(family) == 0 {
			continue
		}
		p, err := Listen(ctx, from)
		if err != nil {
			return nil, err
		}
		s := sweep{Pinger: p, to: family, sent: make([]time.Time, 0, len(family)), trips: trips}
		err = s.run(ctx, apart, wait)
		p.Close()
		if err != nil {
			return nil, err
		}
	}
	return trips, nil
}

// A sweep is that of one address family. The number of an echo is its address's place.
type sweep struct {
	*Pinger
	to       []netip.Addr
	sent     []time.Time // to the first of them
	answered int
	trips    map[netip.Addr]time.Duration
}

func (s *sweep) run(ctx context.Context, apart, wait time.Duration) error {
	for i, addr := range s.to {
		s.sent = append(s.sent, time.Now())
		_ = s.Send(addr, i) // what cannot be sent is not answered
		pause := apart
		if i == len(s.to)-1 {
			pause = wait
		}
		if err := s.receive(ctx, s.sent[i].Add(pause)); err != nil {
			return err
		}
	}
	return nil
}

// receive takes in answers until that time, or until nothing is missing of what is to be sent at all.
func (s *sweep) receive(ctx context.Context, until time.Time) error {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	for s.answered < len(s.to) {
		n, from, err := s.conn.ReadFrom(s.buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
		seq, ok := s.replied(s.buffer[:n])
		if !ok || seq >= len(s.sent) || senderOf(from) != s.to[seq] || s.trips[s.to[seq]] != 0 {
			continue
		}
		s.trips[s.to[seq]] = max(time.Since(s.sent[seq]), 1)
		s.answered++
	}
	return nil
}
