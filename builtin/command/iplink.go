package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseLinkAdd(l *line) action {
	var link kernel.Link
	var a action
	if l.family != 0 { // which some kinds of links take notice of
		l.unknownWord(fmt.Sprintf("-%d", l.family))
	}
	for l.more() && link.Kind == "" {
		switch {
		case l.take("link"):
			link.Lower = l.name()
			l.early = link.Lower
		case link.Name != "" && l.peek() == "name":
			l.unknown()
		case l.take("name"):
			link.Name = l.name()
		case l.take("type"):
			if link.Kind = l.next(); link.Kind == "" && l.err == nil {
				l.unknownWord("type") // the kernel has a word of its own for this
			}
			a.warning = parseKind(l, &link)
		case l.twice("numtxqueues"), l.twice("numrxqueues"):
		case l.take("numtxqueues"):
			link.TxQueues = l.number(1, math.MaxInt32, "Invalid \"numtxqueues\" value\n")
		case l.take("numrxqueues"):
			link.RxQueues = l.number(1, math.MaxInt32, "Invalid \"numrxqueues\" value\n")
		case parseLinkWord(l, &link):
		default:
			parseLinkName(l, &link)
		}
	}
	switch {
	case l.err == nil && link.Kind == "":
		l.fail(1, "Not enough information: \"type\" argument is required")
	case link.Name == "": // the kernel would choose one
		l.unknownWord("type")
	}
	a.ops, a.check = []kernel.Op{{Verb: kernel.Add, Object: link}}, linksThere(link)
	return a
}

// linksThere looks for the links that a new one names, as ip does while it reads.
func linksThere(link kernel.Link) func(context.Context, *call) error {
	below, outer := link.Lower, link.Options["dev"]
	if link.Kind == "vxlan" {
		below, outer = "", link.Lower
	}
	return func(ctx context.Context, c *call) error {
		if err := mastersThere([]string{link.Master})(ctx, c); err != nil {
			return err
		}
		for _, want := range []struct {
			name   string
			status interp.ExitStatus
		}{{below, 1}, {outer, statusUsage}} {
			missing := &failure{text: fmt.Sprintf("Cannot find device %q", want.name), status: want.status}
			if _, err := namedLink(ctx, c, want.name, missing); err != nil {
				return err
			}
		}
		return nil
	}
}

func parseLinkSet(l *line) action {
	var link kernel.Link
	for l.more() {
		switch {
		case l.take("name"):
			link.Rename = l.name()
		case l.take("nomaster"):
			link.NoMaster = true
		case link.Name != "" && l.take("type"):
			parseKindSet(l, &link)
		case link.Group == nil && l.take("type"):
			l.fail(statusUsage, "Not enough information: \"dev\" argument is required.")
		case parseLinkWord(l, &link):
		default:
			parseLinkName(l, &link)
		}
	}
	switch {
	case link.Name != "":
	case link.Group != nil: // which would mean all links of the group
		l.unknownWord("group")
	case link.Rename != "": // which ip takes for the link as well
		l.unknownWord("name")
	default:
		l.fail(statusUsage, "Not enough information: \"dev\" argument is required.")
	}
	a := change(kernel.Set, link)
	if link.Master != "" { // which ip looks for first
		a.check = mastersThere([]string{link.Master})
	}
	return a
}

func parseLinkDel(l *line) action {
	var link kernel.Link
	for l.more() {
		switch {
		case l.take("type"): // ip does not compare it
			l.name()
		default:
			parseLinkName(l, &link)
		}
	}
	if link.Name == "" {
		l.fail(statusUsage, "Not enough information: \"dev\" argument is required.")
	}
	return change(kernel.Del, link)
}

// parseLinkName takes the link's name, before which "dev" may stand.
func parseLinkName(l *line, link *kernel.Link) {
	short := func(word string) bool { return l.peek() != "" && strings.HasPrefix(word, l.peek()) }
	if slices.Contains(linkWords, l.peek()) || slices.ContainsFunc(shortLinkWords, short) {
		l.unknown()
	}
	if l.take("dev"); link.Name != "" {
		l.unknown()
		return
	}
	link.Name = l.name()
}

// parseLinkWord takes what both new and old links can be given.
func parseLinkWord(l *line, link *kernel.Link) bool {
	switch {
	case l.twice("mtu"), l.twice("txqueuelen", "txqlen", "qlen"), l.twice("address"), l.twice("master"), l.twice("group"),
		l.twice("broadcast", "brd"), l.twice("addrgenmode"):
	case l.take("up"):
		link.State = kernel.Up
	case l.take("down"):
		link.State = kernel.Down
	case l.take("mtu"):
		link.MTU = l.number(1, math.MaxInt32, "Invalid \"mtu\" value\n")
	case l.take("address"):
		link.Address = l.mac()
	case l.take("broadcast", "brd"):
		link.Broadcast = l.mac()
	case l.take("txqueuelen", "txqlen", "qlen"):
		link.TxQueue = l.number(1, math.MaxInt32, "Invalid \"txqueuelen\" value\n")
	case l.take("alias"):
		if link.Alias = l.next(); link.Alias == "" {
			l.unknown()
		}
	case l.take("master"):
		link.Master = l.name()
		l.early = link.Master
	case l.take("group"):
		link.Group = new(parseGroup(l))
	case l.take("addrgenmode"):
		if link.AddrGen = l.next(); !slices.Contains([]string{"eui64", "none", "stable_secret", "random"}, link.AddrGen) {
			l.wrong(link.AddrGen, "Invalid address generation mode\n")
		}
	case slices.Contains(linkSwitches, l.peek()):
		word := l.next()
		if link.Switches == nil {
			link.Switches = kernel.Options{}
		}
		link.Switches[word] = parseOnOff(l, word)
	default:
		return false
	}
	return true
}

// linkSwitches are the flags of a link that are turned on and off.
var linkSwitches = []string{"arp", "multicast", "allmulticast", "promisc", "dynamic", "trailers"}

// parseOnOff takes "on" or "off" for a word.
func parseOnOff(l *line, word string) string {
	state := l.next()
	if state != "on" && state != "off" {
		l.fail(1, "Error: argument of %q must be \"on\" or \"off\", not %q", word, state)
	}
	return state
}

// shortLinkWords are those that ip also takes when they are cut short.
var shortLinkWords = []string{
	"link", "address", "broadcast", "txqueuelen", "txqlen", "master", "nomaster", "dynamic", "type", "alias", "numtxqueues",
	"numrxqueues", "addrgenmode", "link-netns", "link-netnsid", "help",
}

// linkWords are those that ip takes where the name of a link may stand, and this package does not know.
var linkWords = []string{
	"altname", "carrier", "gro_max_size", "gso_max_segs", "gso_max_size", "help", "index", "link-netns", "link-netnsid", "mode",
	"netns", "numrxqueues", "numtxqueues", "parentbus", "parentdev", "property", "protodown", "protodown_reason", "state", "vf",
	"vrf", "xdp", "xdpdrv", "xdpgeneric", "xdpoffload",
}
