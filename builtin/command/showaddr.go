package command

import (
	"context"
	"slices"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func showAddrs(l *line) action {
	f, masters := parseLinkFilter(l)
	// Asked for IPv6 links the kernel tells less of them.
	bare := l.family == 6 && f.name == ""
	if bare && !l.brief && (l.details || l.stats > 0) {
		l.unknownWord("-6")
	}
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		if err := masters(ctx, c); err != nil {
			return err
		}
		links, err := f.links(ctx, c, s)
		if err != nil {
			return err
		}
		addrs, err := list(ctx, c, kernel.Addr{Dev: f.name, Prefix: anyOf(l.family)})
		for _, link := range links {
			if bare {
				link.Qdisc, link.Master = "", ""
			}
			of := slices.DeleteFunc(slices.Clone(addrs), func(a kernel.Addr) bool { return a.Dev != link.Name })
			own := slices.DeleteFunc(slices.Clone(of), func(a kernel.Addr) bool { return !f.meantAddr(a) })
			if slices.ContainsFunc(own, func(a kernel.Addr) bool { return a.Other }) {
				return unknown(link.Name)
			}
			if len(own) > 0 || len(of) == 0 && f.family == 0 {
				s.object("", func() { s.addrs(link, of, f) })
			}
		}
		return err
	})
}

// addrs prints one link with its addresses. Asked for one family, ip leaves out the link layer.
// In JSON it leaves something of addresses that are not meant.
func (s *sheet) addrs(link kernel.Link, of []kernel.Addr, f linkFilter) {
	shown := f.meant(link)
	if !s.oneLine || s.brief {
		if !shown {
			return
		}
		if f.family != 0 && !s.details {
			link.Encap = ""
		}
		if f.label == "" {
			s.link(link, false)
		}
	}
	s.array("addr_info", "", func() {
		for _, a := range of {
			if !fits(a.Prefix.Addr(), f.family) || f.up && link.State != kernel.Up {
				continue
			}
			s.object("", func() {
				if f.meantAddr(a) {
					s.addr(a, link)
				}
			})
		}
	})
	switch {
	case s.brief:
		s.text("\n")
	case s.stats > 0 && !s.oneLine && f.label == "":
		s.counters(link.Details)
		s.text("\n")
	}
}

func (s *sheet) addr(a kernel.Addr, link kernel.Link) {
	if !s.brief {
		if s.oneLine {
			s.key("index", link.Index)
			s.key("dev", link.Name)
			s.text("%d: %s", link.Index, link.Name)
		}
		s.say("family", familyName(familyOf(a.Prefix.Addr())), "    %s ")
	}
	s.say("local", a.Prefix.Addr(), "%s")
	bits := a.Prefix.Bits()
	if a.Peer.IsValid() {
		s.say("address", a.Peer.Addr(), " peer %s")
		bits = a.Peer.Bits()
	}
	s.say("prefixlen", bits, "/%d ")
	if a.Metric != 0 {
		s.say("metric", a.Metric, "metric %d ")
	}
	if s.brief {
		return
	}
	if a.Broadcast.IsValid() {
		s.say("broadcast", a.Broadcast, "brd %s ")
	}
	if a.Anycast.IsValid() {
		s.say("anycast", a.Anycast, "any %s ")
	}
	scope := a.Scope
	if n, ok := scopeNames.number(scope); ok {
		scope = scopeNames.of(n, s.layout)
	}
	if scope == "" {
		scope = scopeNames.of(0, s.layout)
	}
	s.say("scope", scope, "scope %s ")
	for _, flag := range a.Flags {
		s.say(flag, true, flag+" ")
	}
	s.addrEnd(a)
}

func (s *sheet) addrEnd(a kernel.Addr) {
	label := a.Label
	if label == "" {
		label = a.Dev
	}
	if a.Prefix.Addr().Is4() {
		s.say("label", label, "%s")
	}
	life := a.Life
	if life == nil {
		life = &kernel.Life{Valid: kernel.Forever, Preferred: kernel.Forever}
	}
	s.text("%s       valid_lft ", s.end())
	s.lifetime("valid_life_time", life.Valid)
	s.text(" preferred_lft ")
	s.lifetime("preferred_life_time", life.Preferred)
	s.text("\n")
}

// lifetime prints seconds, of which the greatest number is forever.
func (s *sheet) lifetime(key string, seconds uint32) {
	if seconds == kernel.Forever {
		s.key(key, seconds)
		s.text("forever")
		return
	}
	s.say(key, seconds, "%dsec")
}
