package command

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A linkFilter says which links, and which of their addresses, are meant.
type linkFilter struct {
	name           string
	up             bool
	master         string
	kind, slave    string // of the link, and of port that it is
	group          *int
	family         int
	scope          string
	to             netip.Prefix
	label          string
	flags, flagged map[string]bool // which flags of addresses matter, and whether they are to be set
}

// addrFilters are the words for the flags of addresses, and what stands for those that have none.
var addrFilters = []string{
	"secondary", "temporary", "nodad", "optimistic", "dadfailed", "home", "deprecated", "tentative", "permanent", "mngtmpaddr",
	"noprefixroute", "autojoin", "stable-privacy", "dynamic", "primary",
}

func parseLinkFilter(l *line) (f linkFilter, missing func(context.Context, *call) error) {
	f = linkFilter{family: l.family, flags: map[string]bool{}, flagged: map[string]bool{}}
	if l.numbers { // types of links are numbers too then
		l.unknownWord("-N")
	}
	var masters []string
	for l.more() {
		switch {
		case l.take("up"):
			f.up = true
		case l.take("to"):
			if f.to = l.prefix(f.family); f.family == 0 {
				f.family = familyOf(f.to.Addr())
			}
		case l.take("scope"):
			f.scope = parseShownScope(l)
		case l.take("label"):
			f.label = l.next()
		case l.take("group"):
			f.group = new(parseGroup(l))
		case l.take("master"):
			f.master = l.name()
			masters = append(masters, f.master)
			l.early = f.master
		case l.take("type"):
			kind := l.next()
			if slave, ok := strings.CutSuffix(kind, "_slave"); ok {
				f.slave = slave
			} else {
				f.kind = kind
			}
		case slices.Contains(addrFilters, strings.TrimPrefix(l.peek(), "-")):
			f.flag(l.next())
		case l.peek() == "vrf" || l.peek() == "nomaster" || l.elsewhere("help"):
			l.unknown()
		default:
			l.take("dev")
			if f.name != "" {
				l.unknown()
			}
			f.name = l.name()
		}
	}
	return f, mastersThere(masters)
}

// mastersThere looks for masters, which ip does while it reads.
func mastersThere(masters []string) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		for _, master := range masters {
			text := fmt.Sprintf("Error: argument %q is wrong: Device does not exist\n", master)
			if _, err := namedLink(ctx, c, master, &failure{text: text, status: statusUsage}); err != nil {
				return err
			}
		}
		return nil
	}
}

// flag takes a word for a flag, which a hyphen turns round.
func (f *linkFilter) flag(word string) {
	word, inverted := strings.CutPrefix(word, "-")
	switch word {
	case "dynamic":
		word, inverted = "permanent", !inverted
	case "primary":
		word, inverted = "secondary", !inverted
	case "temporary":
		word = "secondary"
	}
	f.flagged[word], f.flags[word] = true, !inverted
}

// parseShownScope takes the scope of the addresses to list, "" for all.
func parseShownScope(l *line) string {
	if l.take("all") {
		return ""
	}
	word := l.next()
	n, ok := scopeNames.number(word)
	if !ok {
		l.wrong(word, "invalid \"scope\"\n")
	}
	return scopeNames.of(n, layout{})
}

// parseGroup takes the group of a link, by number or name.
func parseGroup(l *line) int {
	word := l.next()
	n, ok := groupNames.number(word)
	if !ok && word != "" && strings.Trim(word, "-+0123456789") == "" { // of which C takes the lower bits
		l.unknownWord(word)
	}
	if !ok {
		l.wrong(word, "Invalid \"group\" value\n")
	}
	return n
}

// dumped reports whether the kernel leaves the link out of a list.
func (f linkFilter) dumped(l kernel.Link) bool {
	return f.name != "" || (f.master == "" || l.Master == f.master) && (f.kind == "" || l.Kind == f.kind)
}

// meant reports whether ip shows the link.
func (f linkFilter) meant(l kernel.Link) bool {
	group := 0
	if l.Group != nil {
		group = *l.Group
	}
	slave := ""
	if l.Details != nil {
		slave = l.Details.Slave
	}
	return (!f.up || l.State == kernel.Up) && (f.group == nil || *f.group == group) && (f.master == "" || l.Master == f.master) &&
		(f.kind == "" || l.Kind == f.kind) && (f.slave == "" || slave == f.slave)
}

// meantAddr reports whether ip shows the address.
func (f linkFilter) meantAddr(a kernel.Addr) bool {
	scope := a.Scope
	if scope == "" {
		scope = "global"
	}
	if !fits(a.Prefix.Addr(), f.family) || f.scope != "" && scope != f.scope ||
		f.to.IsValid() && !f.to.Masked().Contains(a.Prefix.Addr()) {
		return false
	}
	if f.label != "" {
		label := a.Label
		if label == "" {
			label = a.Dev
		}
		if ok, _ := path.Match(f.label, label); !ok { // a pattern that is none matches nothing
			return false
		}
	}
	for flag := range f.flagged {
		has := slices.Contains(a.Flags, flag)
		if flag == "permanent" {
			has = !slices.Contains(a.Flags, "dynamic")
		}
		if has != f.flags[flag] {
			return false
		}
	}
	return true
}
