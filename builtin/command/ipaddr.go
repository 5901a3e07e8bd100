package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"syscall"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseAddr(l *line, verb kernel.Verb) action {
	var a kernel.Addr
	var hasLength, broadcast bool
	family := l.family
	for l.more() {
		switch {
		case l.take("dev"):
			a.Dev = l.name()
		case l.twice("peer", "remote"), l.twice("broadcast", "brd"), l.twice("scope"), l.twice("label"):
		case l.take("peer", "remote"):
			a.Peer = l.prefix(family)
		case l.take("broadcast", "brd"):
			if broadcast = l.take("+"); !broadcast && l.peek() == "-" {
				l.unknown()
			} else if !broadcast {
				a.Broadcast = l.address(family)
			}
		case l.take("scope"):
			a.Scope = parseScope(l)
		case l.take("label"):
			a.Label = l.next()
		case l.take("noprefixroute"):
			a.NoPrefix = true
		case l.take("nodad"):
			a.NoDAD = true
		case l.elsewhere("anycast", "valid_lft", "preferred_lft", "home", "mngtmpaddr", "nodad", "autojoin", "optimistic",
			"metric", "priority", "preference", "proto", "help"):
		case !a.Prefix.IsValid():
			l.take("local")
			hasLength = strings.Contains(l.peek(), "/")
			a.Prefix = l.prefix(family)
			family = familyOf(a.Prefix.Addr())
		default:
			l.unknown()
		}
	}
	four := a.Prefix.Addr().Is4()
	if !four && (broadcast || a.Broadcast.IsValid()) || four && a.NoDAD { // ip has words for it
		l.unknownWord(a.Prefix.String())
	}
	if broadcast {
		a.Broadcast = lastOf(a.Prefix)
	}
	switch {
	case a.Dev == "":
		l.fail(1, "Not enough information: \"dev\" argument is required.")
	case !a.Prefix.IsValid():
		l.unknownWord("dev")
	case verb == kernel.Del && !hasLength && !a.Peer.IsValid() && a.Prefix.Addr().Is4():
		return wildcardDeletion(a)
	}
	return change(verb, a)
}

// lastOf is the broadcast address of an IPv4 network; networks of one or two addresses have none.
func lastOf(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// wildcardDeletion deletes an address whatever the length of its prefix.
func wildcardDeletion(a kernel.Addr) action {
	return action{
		warning: fmt.Sprintf(`Warning: Executing wildcard deletion to stay compatible with old scripts.
         Explicitly specify the prefix length (%s) to avoid this warning.
         This special behaviour is likely to disappear in further releases,
         fix your scripts!
`, a.Prefix),
		run: func(ctx context.Context, c *call) error {
			addrs, err := list(ctx, c, kernel.Addr{Dev: a.Dev})
			if err != nil {
				return err
			}
			for _, there := range addrs {
				if there.Prefix.Addr() == a.Prefix.Addr() {
					return c.kernel.Do(ctx, kernel.Op{Verb: kernel.Del, Object: there})
				}
			}
			return c.kernel.Do(ctx, kernel.Op{Verb: kernel.Del, Object: a})
		},
	}
}

func parseAddrFlush(l *line) action {
	if !l.more() {
		l.fail(1, "Flush requires arguments.")
	}
	like := kernel.Addr{Prefix: anyOf(l.family)}
	like.Dev = shownName(l)
	return action{run: func(ctx context.Context, c *call) error {
		if _, err := shownLink(ctx, c, like.Dev); err != nil {
			return err
		}
		addrs, err := list(ctx, c, like)
		if err != nil {
			return err
		}
		return flush(ctx, c, addrs)
	}}
}

// flush deletes objects, of which some may be gone by then.
func flush[T kernel.Object](ctx context.Context, c *call, objects []T) error {
	for _, o := range objects {
		err := c.kernel.Do(ctx, kernel.Op{Verb: kernel.Del, Object: o})
		// Secondary addresses go with the primary one.
		if err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// gone reports whether the kernel says that there is nothing to delete, which it does in more than one way.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// anyOf is no valid prefix, but one that tells its family all the same; for 0 it tells nothing.
func anyOf(family int) netip.Prefix {
	switch family {
	case 4:
		return netip.PrefixFrom(netip.IPv4Unspecified(), -1)
	case 6:
		return netip.PrefixFrom(netip.IPv6Unspecified(), -1)
	}
	return netip.Prefix{}
}

// parseScope takes the name of a scope. Other names and numbers than these may stand in a file of iproute2's.
func parseScope(l *line) string {
	switch scope := l.next(); scope {
	case "global", "link", "host", "site":
		return scope
	default:
		l.unknownWord(scope)
	}
	return ""
}
