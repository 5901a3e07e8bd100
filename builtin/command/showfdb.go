package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// An fdbFilter says which forwarding entries are meant.
type fdbFilter struct {
	dev, bridge string
	vlan        int
	states      []string // nil is all
	dynamic     bool
}

func showFDB(l *line) action {
	var f fdbFilter
	for l.more() {
		switch {
		case l.take("dev", "brport"):
			f.dev = l.name()
		case l.take("br"):
			f.bridge = l.name()
		case l.twice("vlan"):
		case l.take("vlan"):
			word, ok := l.next(), false
			if f.vlan, ok = number(word, 1, 4094); !ok {
				l.unknownWord(word)
			}
		case l.take("state"):
			f.states = append(f.states, parseFDBState(l))
		case l.take("dynamic"):
			f.dynamic = true
		default:
			l.unknown()
		}
	}
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		entries, err := f.list(ctx, c)
		for _, e := range entries {
			s.object("", func() { s.fdb(e, f.dev != "") })
		}
		return err
	})
}

// parseFDBState takes the state of the entries to list.
func parseFDBState(l *line) string {
	switch {
	case l.takeShort("permanent"):
		return "permanent"
	case l.takeShort("static") || l.take("temp"):
		return "static"
	case l.takeShort("stale"):
		return "stale"
	case l.takeShort("dynamic", "reachable"):
		return "dynamic"
	}
	l.unknown()
	return ""
}

func (f fdbFilter) list(ctx context.Context, c *call) ([]kernel.FDB, error) {
	for _, want := range []struct{ name, text string }{
		{f.bridge, "Cannot find bridge device %q"}, {f.dev, "Cannot find device %q"},
	} {
		missing := &failure{text: fmt.Sprintf(want.text, want.name), status: statusUsage}
		if _, err := namedLink(ctx, c, want.name, missing); err != nil {
			return nil, err
		}
	}
	entries, err := list(ctx, c, kernel.FDB{Dev: f.dev, Bridge: f.bridge})
	return slices.DeleteFunc(entries, func(e kernel.FDB) bool {
		state := orPermanent(e.State)
		return f.vlan != 0 && e.VLAN != f.vlan || f.dynamic && state == "permanent" || f.states != nil && !slices.Contains(f.states, state)
	}), err
}

func (s *sheet) fdb(f kernel.FDB, oneDevice bool) {
	s.say("mac", string(f.Address), "%s ")
	if !oneDevice {
		s.say("ifname", f.Dev, "dev %s ")
	}
	if f.Dst.IsValid() {
		s.say("dst", f.Dst, "dst %s ")
	}
	for _, n := range []struct {
		word  string
		value int
	}{{"vlan", f.VLAN}, {"port", f.Port}, {"vni", f.VNI}, {"src_vni", f.SourceVNI}} {
		if n.value != 0 {
			s.say(n.word, n.value, n.word+" %d ")
		}
	}
	if f.Via != "" {
		s.say("viaIf", f.Via, "via %s ")
	}
	if f.NextHop != 0 {
		s.say("nhid", f.NextHop, "nhid %d ")
	}
	if s.stats > 0 && f.Stats != nil {
		s.say("used", f.Stats.Used, "used %d/")
		s.say("updated", f.Stats.Updated, "%d ")
	}
	s.fdbFlags(f)
	if f.Bridge != "" {
		s.say("master", f.Bridge, "master %s ")
	}
	state := orPermanent(f.State)
	if state == "dynamic" { // what bridge calls dynamic has no word in its listing
		state = ""
	}
	s.say("state", state, "%s\n")
}

func (s *sheet) fdbFlags(f kernel.FDB) {
	var words []string
	if !f.Master {
		words = append(words, "self")
	}
	words = append(words, f.Flags...)
	if !s.json && len(words) > 0 {
		s.text("%s ", strings.Join(words, " "))
		return
	}
	s.list("flags", "", "", "", words)
}
