package command

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A neighFilter says which neighbours are meant.
type neighFilter struct {
	dev      string
	within   netip.Prefix
	family   int
	states   []string // nil is the usual ones
	proxy    bool
	unused   bool
	protocol int // 0 is any
}

func parseNeighFilter(l *line) neighFilter {
	f := neighFilter{family: l.family}
	for l.more() {
		switch {
		case l.twice("dev"):
		case l.take("dev"):
			f.dev = l.name()
		case l.take("nud"):
			f.states = append(f.states, parseShownState(l))
		case l.take("proxy"):
			f.proxy = true
		case l.take("unused"):
			f.unused = true
		case slices.Contains([]string{"vrf", "nomaster", "master"}, l.peek()):
			l.unknown()
		case l.takeShort("protocol"):
			if f.protocol = 0; !l.take("all") {
				f.protocol = parseProtocol(l, "invalid \"protocol\"\n")
			}
		default:
			if l.take("to"); f.within.IsValid() || l.elsewhere("help") {
				l.unknown()
			}
			if l.take(anyWords...) {
				break
			}
			f.within = l.prefix(f.family)
			if f.family == 0 {
				f.family = familyOf(f.within.Addr())
			}
		}
	}
	return f
}

// parseShownState takes the state of the neighbours to list, or "all".
func parseShownState(l *line) string {
	if l.take("all") {
		return "all"
	}
	return orPermanent(parseState(l))
}

// parseProtocol takes who made something, by number or name.
func parseProtocol(l *line, why string) int {
	word := l.next()
	n, ok := protoNames.number(word)
	if !ok {
		l.wrong(word, why)
	}
	return n
}

// meant reports whether the neighbour is listed. ip lists those that somebody else keeps whatever their state.
func (f neighFilter) meant(n kernel.Neigh, usual func(state string) bool) bool {
	state := orPermanent(n.State)
	fitting := usual(state)
	if f.states != nil {
		fitting = slices.Contains(f.states, "all") || slices.Contains(f.states, state)
	}
	return (fitting || n.Proxy || n.Learned) && fits(n.IP, f.family) && (!f.within.IsValid() || f.within.Masked().Contains(n.IP)) &&
		(f.protocol == 0 || f.protocol == n.Protocol) && (!f.unused || n.Stats == nil || n.Stats.References == 0)
}

func (f neighFilter) list(ctx context.Context, c *call, usual func(string) bool) ([]kernel.Neigh, error) {
	missing := &failure{text: fmt.Sprintf("Cannot find device %q", f.dev), status: 1}
	if _, err := namedLink(ctx, c, f.dev, missing); err != nil {
		return nil, err
	}
	neighs, err := list(ctx, c, kernel.Neigh{Dev: f.dev, Proxy: f.proxy, State: kernel.AnyState})
	return slices.DeleteFunc(neighs, func(n kernel.Neigh) bool { return !f.meant(n, usual) }), err
}

func showNeighs(l *line) action {
	f := parseNeighFilter(l)
	usual := func(state string) bool { return state != "noarp" && state != "none" }
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		neighs, err := f.list(ctx, c, usual)
		for _, n := range neighs {
			s.object("", func() { s.neigh(n, f.dev != "") })
		}
		return err
	})
}

func (s *sheet) neigh(n kernel.Neigh, oneDevice bool) {
	if s.brief {
		s.briefNeigh(n, oneDevice)
		return
	}
	s.say("dst", n.IP, "%s ")
	if !oneDevice && n.Dev != "" {
		s.say("dev", n.Dev, "dev %s ")
	}
	if n.Address != "" {
		s.say("lladdr", string(n.Address), "lladdr %s ")
	}
	for _, w := range []struct {
		word string
		is   bool
	}{{"router", n.Router}, {"proxy", n.Proxy}, {"managed", n.Managed}, {"extern_learn", n.Learned}, {"offload", n.Offload}} {
		if w.is {
			s.say(w.word, nil, w.word+" ")
		}
	}
	if s.stats > 0 && n.Stats != nil {
		s.neighStats(n.Stats)
	}
	if state := orPermanent(n.State); state != "none" {
		s.list("state", "", ",", " ", []string{strings.ToUpper(state)})
	}
	if n.Protocol != 0 {
		s.say("protocol", protoNames.of(n.Protocol, s.layout), "proto %s ")
	}
	s.text("\n")
}

func (s *sheet) briefNeigh(n kernel.Neigh, oneDevice bool) {
	s.say("dst", n.IP, "%-40s")
	if !oneDevice {
		s.say("dev", n.Dev, "%-16s ")
	}
	if n.Address != "" {
		s.say("lladdr", string(n.Address), "%s")
	}
	s.text("\n")
}

func (s *sheet) neighStats(stats *kernel.NeighStats) {
	if stats.References != 0 {
		s.say("refcnt", stats.References, " ref %d")
	}
	s.text(" used %d/%d/%d", stats.Used, stats.Confirmed, stats.Updated)
	s.key("used", stats.Used)
	s.key("confirmed", stats.Confirmed)
	s.key("updated", stats.Updated)
	s.say("probes", stats.Probes, "probes %d ")
}

func parseNeighFlush(l *line) action {
	if !l.more() {
		l.fail(1, "Flush requires arguments.")
	}
	if l.stats > 0 || l.json {
		l.unknown()
	}
	f := parseNeighFilter(l)
	if f.proxy { // which ip does not flush
		l.unknownWord("proxy")
	}
	usual := func(state string) bool { return state != "noarp" && state != "permanent" }
	return action{run: func(ctx context.Context, c *call) error {
		neighs, err := f.list(ctx, c, usual)
		if err != nil {
			return err
		}
		return flush(ctx, c, slices.DeleteFunc(neighs, func(n kernel.Neigh) bool {
			return orPermanent(n.State) == "noarp" && !slices.Contains(f.states, "noarp")
		}))
	}}
}

// parseNeighGet reads a question for one neighbour, which ip answers as text alone.
func parseNeighGet(l *line) action {
	var n kernel.Neigh
	for l.more() {
		switch {
		case l.take("dev"):
			n.Dev = l.name()
		case l.elsewhere("proxy", "help"), n.IP.IsValid():
			l.unknown()
		default:
			l.take("to")
			n.IP = l.address(l.family)
		}
	}
	if n.Dev == "" || !n.IP.IsValid() {
		l.fail(1, "Device and address are required arguments.")
	}
	as := l.layout
	as.json, as.brief = false, false
	if l.brief {
		l.unknownWord("-br")
	}
	return answered(as, func(ctx context.Context, c *call, s *sheet) error {
		missing := &failure{text: fmt.Sprintf("Cannot find device %q", n.Dev), status: 1}
		if _, err := namedLink(ctx, c, n.Dev, missing); err != nil {
			return err
		}
		found, err := list(ctx, c, kernel.Neigh{Dev: n.Dev, IP: n.IP, State: kernel.AnyState})
		if err == nil && len(found) == 0 {
			return &failure{text: "Error: Neighbour entry not found.", status: 2}
		}
		for _, n := range found {
			s.neigh(n, false)
		}
		return err
	})
}

// orPermanent is the state of an entry that says none.
func orPermanent(state string) string {
	if state == "" {
		return "permanent"
	}
	return state
}
