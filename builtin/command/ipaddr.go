package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseAddr(l *line, verb kernel.Verb) action {
	p := &addrParser{line: l, family: l.family}
	for l.more() {
		p.word()
	}
	if f, ok := l.err.(*failure); ok {
		f.text = p.warnings + f.text
	}
	a := &p.addr
	four := a.Prefix.Addr().Is4()
	switch {
	case a.Dev == "":
		l.fail(1, "%sNot enough information: \"dev\" argument is required.", p.warnings)
	case !a.Prefix.IsValid():
		l.unknownWord("dev")
	case p.spread != "" && verb != kernel.Del && !four:
		l.fail(1, "%sBroadcast can be set only for IPv4 addresses", p.warnings)
	case !four && a.Broadcast.IsValid(): // the kernel's answer depends on more than the address
		l.unknownWord("broadcast")
	case p.spread != "" && verb != kernel.Del:
		a.Broadcast = edgeOf(p.reach(), p.spread == "+")
	}
	if status, why := p.livesBadly(); why != "" {
		l.early = a.Dev // which ip looks for before
		l.fail(status, "%s", why)
	}
	if a.AutoJoin && !a.Prefix.Addr().IsMulticast() {
		l.fail(1, "autojoin needs multicast address")
	}
	if verb == kernel.Del && !p.hasLength && !a.Peer.IsValid() && four {
		return wildcardDeletion(*a, p.warnings)
	}
	act := change(verb, *a)
	act.warning = p.warnings
	return act
}

// An addrParser reads one address.
type addrParser struct {
	*line
	addr      kernel.Addr
	family    int // 0 until an address tells it
	hasLength bool
	spread    string // "+" or "-": the broadcast address that the prefix has
	lived     bool   // its life is told
	warnings  string
}

func (p *addrParser) word() {
	a := &p.addr
	switch {
	case p.take("dev"):
		a.Dev = p.name()
	case p.twice("peer", "remote"), p.twice("broadcast", "brd"), p.twice("scope"), p.twice("label"), p.twice("anycast"),
		p.twice("metric", "priority", "preference"), p.twice("valid_lft"), p.twice("preferred_lft"):
	case p.take("peer", "remote"):
		if a.Peer = p.prefix(p.family); a.Peer.Bits() == 0 { // which ip gives the length of the address
			p.unknownWord(a.Peer.String())
		}
		p.learn(a.Peer.Addr())
	case p.takeShort("broadcast") || p.take("brd"):
		if p.peek() == "+" || p.peek() == "-" {
			p.spread = p.next()
		} else {
			a.Broadcast = p.learn(p.address(p.family))
		}
	case p.take("anycast"):
		a.Anycast = p.learn(p.address(p.family))
	case p.take("scope"):
		a.Scope = parseScope(p.line)
	case p.take("label"):
		a.Label = p.next()
	case p.takeShort("metric", "priority", "preference"):
		a.Metric = p.number(0, math.MaxUint32, "\"metric\" value is invalid\n")
	case p.takeShort("valid_lft"):
		p.life().Valid = p.lifetime("valid_lft value")
	case p.takeShort("preferred_lft"):
		p.life().Preferred = p.lifetime("preferred_lft value")
	case slices.Contains(addrFlagWords, p.peek()):
		p.flag(p.next())
	case p.elsewhere("help"):
	case !a.Prefix.IsValid():
		p.take("local")
		p.hasLength = strings.Contains(p.peek(), "/")
		a.Prefix = p.prefix(p.family)
		p.learn(a.Prefix.Addr())
	default:
		p.unknown()
	}
}

// learn takes the family from the first address that tells it.
func (p *addrParser) learn(a netip.Addr) netip.Addr {
	if p.family == 0 && a.IsValid() {
		p.family = familyOf(a)
	}
	return a
}

// life is the life that is being told.
func (p *addrParser) life() *kernel.Life {
	p.lived = true
	if p.addr.Life == nil {
		p.addr.Life = &kernel.Life{Valid: kernel.Forever, Preferred: kernel.Forever}
	}
	return p.addr.Life
}

// lifetime takes seconds, or "forever".
func (p *addrParser) lifetime(why string) uint32 {
	if p.take("forever") {
		return kernel.Forever
	}
	return uint32(p.number(0, math.MaxUint32, why))
}

// livesBadly is what is wrong with the life that was told.
func (p *addrParser) livesBadly() (interp.ExitStatus, string) {
	switch life := p.addr.Life; {
	case !p.lived:
	case life.Valid == 0:
		return 1, p.warnings + "valid_lft is zero"
	case life.Valid < life.Preferred:
		return 1, p.warnings + "preferred_lft is greater than valid_lft"
	}
	return 0, ""
}

// addrFlagWords are the words for properties of addresses, most of which are IPv6's alone or the kernel's to say.
var addrFlagWords = []string{
	"secondary", "temporary", "nodad", "optimistic", "dadfailed", "home", "deprecated", "tentative", "permanent", "mngtmpaddr",
	"noprefixroute", "autojoin", "stable-privacy",
}

func (p *addrParser) flag(word string) {
	six := slices.Contains([]string{"nodad", "optimistic", "home", "mngtmpaddr"}, word)
	switch {
	case !six && word != "noprefixroute" && word != "autojoin":
		p.warnings += fmt.Sprintf("Warning: %s option is not mutable from userspace\n", word)
	case six && p.family != 6:
		p.warnings += fmt.Sprintf("Warning: %s option can be set only for IPv6 addresses\n", word)
	default:
		p.addr.Switch(word)
	}
}

// reach is the prefix that a broadcast address is for.
func (p *addrParser) reach() netip.Prefix {
	if p.addr.Peer.IsValid() {
		return p.addr.Peer
	}
	return p.addr.Prefix
}

// edgeOf is the last address of an IPv4 network, or the first. Networks of one or two addresses have neither.
func edgeOf(p netip.Prefix, last bool) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32 && last; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// wildcardDeletion deletes an address whatever the length of its prefix.
func wildcardDeletion(a kernel.Addr, warnings string) action {
	return action{
		warning: warnings + fmt.Sprintf(`Warning: Executing wildcard deletion to stay compatible with old scripts.
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
	if l.details || l.stats > 0 || l.json {
		l.unknown()
	}
	f, masters := parseLinkFilter(l)
	if f.flagged["secondary"] { // ip then looks once, and otherwise until there are none
		l.unknownWord("secondary")
	}
	if f.group != nil || f.kind != "" || f.slave != "" || f.up { // which ip flushes regardless
		l.unknownWord("flush")
	}
	return action{run: func(ctx context.Context, c *call) error {
		if err := masters(ctx, c); err != nil {
			return err
		}
		if _, err := shownLink(ctx, c, f.name); err != nil {
			return err
		}
		addrs, err := list(ctx, c, kernel.Addr{Dev: f.name, Prefix: anyOf(f.family)})
		if err != nil {
			return err
		}
		return flush(ctx, c, slices.DeleteFunc(addrs, func(a kernel.Addr) bool { return !f.meantAddr(a) }))
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

// parseScope takes the scope of an address, by number or name.
func parseScope(l *line) string { return parseScopeOr(l, "invalid scope value.") }

// parseScopeOr takes a scope, by number or name; why tells what is wrong with others.
func parseScopeOr(l *line, why string) string {
	word := l.next()
	n, ok := scopeNames.number(word)
	switch {
	case !ok && !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "+"):
		l.wrong(word, why)
	case !ok || n > math.MaxUint8:
		l.unknownWord(word)
	}
	return scopeNames.of(n, layout{})
}
