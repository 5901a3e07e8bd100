package command

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// parseARP reads "arp -s IP MAC" and "arp -d IP" with a device. Without one the kernel's routes decide, and that is left
// to the real tool, as are names of hosts and the listing, whose order is no other program's.
func parseARP(l *line) action {
	sets := func(word string) bool { return slices.Contains([]string{"-s", "--set", "-d", "--delete"}, word) }
	if !slices.ContainsFunc(l.words, sets) {
		return parseARPListing(l)
	}
	var n kernel.Neigh
	var operands []string
	verb := kernel.Append // neither
	for l.more() {
		switch {
		case l.take("-s", "--set"):
			verb = kernel.Replace
		case l.take("-d", "--delete"):
			verb = kernel.Del
		case len(l.words) == 1 && (l.peek() == "-i" || l.peek() == "--device"): // of which arp tells its usage
			l.unknown()
		case l.take("-i", "--device"):
			n.Dev = l.name()
		case strings.HasPrefix(l.peek(), "-"):
			l.unknown()
		default:
			operands = append(operands, l.next())
		}
	}
	if strings.HasPrefix(n.Dev, "-") || verb == kernel.Append {
		l.unknownWord("arp")
	}
	parseARPOperands(l, &n, verb, operands)
	a := change(verb, n)
	if verb == kernel.Replace {
		a.check = func(ctx context.Context, c *call) error { return etherOnly(ctx, c, n.Dev) }
	}
	return a
}

// parseARPOperands takes "IP MAC" or, for a deletion, "IP", after which "dev NAME" may stand.
func parseARPOperands(l *line, n *kernel.Neigh, verb kernel.Verb, operands []string) {
	if l.err == nil && len(operands) == 0 {
		l.fail(statusUsage, "arp: need host name")
	}
	if l.err != nil {
		return
	}
	ip, err := netip.ParseAddr(operands[0])
	if n.IP = ip; err != nil || !ip.Is4() {
		l.unknownWord(operands[0])
	}
	rest := operands[1:]
	if verb == kernel.Replace {
		if len(rest) == 0 {
			l.fail(statusUsage, "arp: need hardware address")
			return
		}
		var bad string
		if n.Address, bad = parseMAC(rest[0]); n.Address == "" && strings.Trim(bad, "0123456789abcdefABCDEF") == "" {
			l.unknownWord(rest[0]) // net-tools pads short ones, and needs no colons
		} else if bad != "" {
			l.fail(statusUsage, "arp: invalid hardware address")
		}
		rest = rest[1:]
	}
	if len(rest) == 2 && rest[0] == "dev" && n.Dev == "" {
		words := line{words: rest[1:]}
		n.Dev, rest = words.name(), nil
		l.err = cmp.Or(l.err, words.err)
	}
	if len(rest) > 0 || n.Dev == "" {
		l.unknownWord(operands[len(operands)-1])
	}
}

// etherOnly refuses, as the kernel refuses arp, links whose addresses are of another kind than those that arp sets.
func etherOnly(ctx context.Context, c *call, dev string) error {
	links, err := list(ctx, c, kernel.Link{Name: dev, Encap: kernel.AnyEncap})
	if err == nil && len(links) == 1 && links[0].Encap != "ether" {
		return &failure{text: "SIOCSARP: Invalid argument", status: statusUsage}
	}
	return nil // what else may be wrong the change will tell
}
