package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseBridgeVLAN(l *line) action {
	if !l.more() {
		return showVLANs(l)
	}
	return l.choose(
		choice{"add", with(kernel.Replace, parseVLAN)}, choice{"delete", with(kernel.Del, parseVLAN)},
		choice{"show", showVLANs}, choice{"lst", showVLANs}, choice{"list", showVLANs},
		choice{"tunnelshow", nil}, choice{"set", nil}, choice{"global", nil},
	)
}

func parseVLAN(l *line, verb kernel.Verb) action {
	var v kernel.VLAN
	var ids string
	var master bool
	for l.more() {
		switch {
		case l.twice("dev"), l.twice("vid"):
		case l.take("dev"):
			v.Dev = l.name()
		case l.take("vid"):
			if ids = l.next(); ids == "" {
				l.unknownWord(ids)
			}
		case l.take("self"):
			v.Self = true
		case l.take("master"):
			master = true
		case l.take("pvid"):
			v.PVID = true
		case l.take("untagged"):
			v.Untagged = true
		default: // bridge passes over other words, but for tunnel_info
			l.unknown()
		}
	}
	if v.Self && master { // of both at once: two objects
		l.unknownWord("master")
	}
	if v.Dev == "" || ids == "" {
		l.fail(statusUsage, "Device and VLAN ID are required arguments.")
	}
	return l.vlans(verb, v, ids)
}

// vlans is what changes the VLAN that a number means, or all that a range of numbers does. bridge complains of the link first,
// and then of the numbers.
func (l *line) vlans(verb kernel.Verb, v kernel.VLAN, ids string) action {
	from, to, isRange := strings.Cut(ids, "-")
	first, ok := decimal(from, 1<<15-1)
	last := first
	if isRange && ok {
		last, ok = decimal(to, 1<<15-1)
	}
	var bad string
	switch {
	case !ok: // C reads as far as it can
		l.unknownWord(ids)
	case first > maxVLANWord:
		bad = fmt.Sprintf("Invalid VLAN ID \"%d\"", first)
	case isRange && (last > maxVLANWord || first >= last):
		bad = fmt.Sprintf("Invalid VLAN range \"%d-%d\"", first, last)
	case isRange && v.PVID:
		bad = "pvid cannot be configured for a vlan range"
	case isRange && (first == 0 || last == maxVLANWord): // which the kernel refuses as a whole
		l.unknownWord(ids)
	}
	if l.err != nil {
		return action{}
	}
	if bad != "" {
		return action{run: func(ctx context.Context, c *call) error {
			if _, err := namedLink(ctx, c, v.Dev, noBridge(v.Dev)); err != nil {
				return err
			}
			return &failure{text: bad, status: statusUsage}
		}}
	}
	var a action
	for v.ID = first; v.ID <= last; v.ID++ {
		a.ops = append(a.ops, kernel.Op{Verb: verb, Object: v})
	}
	return a
}

// maxVLANWord is the greatest number that bridge hands to the kernel, which takes up to one less.
const maxVLANWord = 4095

func showVLANs(l *line) action {
	if l.details || l.stats > 0 { // other questions to the kernel
		l.unknownWord("-details")
	}
	var like kernel.VLAN
	id := 0
	for l.more() {
		switch {
		case l.twice("dev"), l.twice("vid"):
		case l.take("dev"):
			like.Dev = l.name()
		case l.take("vid"):
			word, ok := l.next(), false
			if id, ok = decimal(word, 4094); !ok || id == 0 {
				l.unknownWord(word)
			}
		default:
			l.unknown()
		}
	}
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		missing := &failure{text: fmt.Sprintf("Cannot find device %q", like.Dev), status: statusUsage}
		if _, err := namedLink(ctx, c, like.Dev, missing); err != nil {
			return err
		}
		vlans, err := list(ctx, c, like)
		s.text("%-18s%s  \n", "port", "vlan-id")
		s.vlans(vlans, id)
		return err
	})
}

// vlans prints the VLANs of each link below each other, or of them the one with the number, or the range with it.
func (s *sheet) vlans(all []kernel.VLAN, id int) {
	var ranges [][]kernel.VLAN
	for i, v := range all {
		if i == 0 || !s.compress || !follows(all[i-1], v) {
			ranges = append(ranges, nil)
		}
		ranges[len(ranges)-1] = append(ranges[len(ranges)-1], v)
	}
	ranges = slices.DeleteFunc(ranges, func(r []kernel.VLAN) bool { return id != 0 && (id < r[0].ID || id > r[len(r)-1].ID) })
	for len(ranges) > 0 {
		n := slices.IndexFunc(ranges, func(r []kernel.VLAN) bool { return r[0].Dev != ranges[0][0].Dev })
		if n < 0 {
			n = len(ranges)
		}
		s.object("", func() {
			s.key("ifname", ranges[0][0].Dev)
			s.array("vlans", "", func() {
				for i, r := range ranges[:n] {
					s.text("%-16s  ", map[bool]string{true: r[0].Dev}[i == 0])
					s.object("", func() { s.vlanRange(r[0], r[len(r)-1].ID) })
					s.text("%s", s.end())
				}
			})
		})
		ranges = ranges[n:]
	}
}

func (s *sheet) vlanRange(v kernel.VLAN, last int) {
	s.say("vlan", v.ID, "%d")
	if last != v.ID {
		s.say("vlanEnd", last, "-%d")
	}
	var words []string
	if v.PVID {
		words = append(words, "PVID")
	}
	if v.Untagged {
		words = append(words, "Egress Untagged")
	}
	switch {
	case !s.json && words != nil:
		s.text(" %s", strings.Join(words, " "))
	case s.json && (words != nil || last != v.ID):
		s.list("flags", "", "", "", words)
	}
}

// follows reports whether the second is like the first, but for its number, which is the next.
func follows(v, next kernel.VLAN) bool {
	v.ID++
	return v == next
}
