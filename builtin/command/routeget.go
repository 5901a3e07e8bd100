package command

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// parseRouteGet reads a question for the route of a packet.
func parseRouteGet(l *line) action {
	p := &routeParser{line: l, family: l.family}
	var q kernel.Query
	var warnings string
	for l.more() {
		switch {
		case l.twice("from"), l.twice("tos", "dsfield"), l.twice("iif"), l.twice("oif", "dev"), l.twice("mark"), l.twice("uid"):
		case l.take("from"):
			q.From = p.learn(p.single())
		case l.take("tos") || l.takeShort("dsfield"):
			q.TOS = parseTOS(l, "TOS value is invalid\n")
		case l.take("iif"):
			q.In = l.name()
		case l.take("oif", "dev"):
			q.Out = l.name()
		case l.take("mark"):
			q.Mark = l.number(0, math.MaxUint32, "invalid mark value")
		case l.take("uid"):
			q.UID = new(l.number(0, math.MaxUint32, "invalid UID\n"))
		case l.take("fibmatch"):
			q.Match = true
		case l.elsewhere("from", "iif", "mark", "oif", "notify", "connected", "vrf", "uid", "fibmatch", "as", "sport", "dport", "ipproto", "help"), q.To.IsValid():
			l.unknown()
		default:
			l.take("to")
			to := l.prefix(p.family)
			if q.To = p.learn(to.Addr()); to.IsValid() && !to.IsSingleIP() {
				warnings += fmt.Sprintf("Warning: /%d as prefix is invalid, only /%d (or none) is supported.\n", to.Bits(), to.Addr().BitLen())
			}
		}
	}
	if !q.To.IsValid() {
		l.fail(1, "need at least a destination address")
	}
	if l.stats > 0 || l.brief {
		l.unknownWord("-s")
	}
	if fits(q.From, familyOf(q.To)) || !q.From.IsValid() {
		a := answered(l.layout, func(ctx context.Context, c *call, s *sheet) error { return s.lookup(ctx, c, q) })
		a.warning = warnings
		return a
	}
	l.unknownWord(q.From.String())
	return action{}
}

func (s *sheet) lookup(ctx context.Context, c *call, q kernel.Query) error {
	for _, name := range []string{q.In, q.Out} {
		if _, err := namedLink(ctx, c, name, &failure{text: fmt.Sprintf("Cannot find device %q", name), status: 1}); err != nil {
			return err
		}
	}
	r, err := c.kernel.Lookup(ctx, q)
	if refused, ok := errors.AsType[*kernel.LookupError](err); ok {
		f := netlinkRefused(&kernel.OpError{Errno: refused.Errno, Detail: refused.Detail}, 2)
		f.cause = err
		return f
	}
	if other := r.Answered().Other; err == nil && other != "" {
		err = unknown(other)
	}
	if err != nil {
		return err
	}
	s.object("", func() { s.route(r, routeSelector{like: kernel.Route{Table: kernel.AnyTable}}) })
	return nil
}
