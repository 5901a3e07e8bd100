package command

import (
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// parseARP reads "arp -s IP MAC" and "arp -d IP" with a device. Without one the kernel's routes decide, and that is left
// to the real tool, as are names of hosts and the listing, whose order is no other program's.
func parseARP(l *line) action {
	var n kernel.Neigh
	var operands []string
	verb := kernel.Append // neither
	for l.more() {
		switch {
		case l.take("-s", "--set"):
			verb = kernel.Replace
		case l.take("-d", "--delete"):
			verb = kernel.Del
		case l.take("-i", "--device"):
			n.Dev = l.name()
		case len(operands) > 0 && l.take("dev"):
			n.Dev = l.name()
		case strings.HasPrefix(l.peek(), "-"):
			l.unknown()
		default:
			operands = append(operands, l.next())
		}
	}
	switch {
	case verb == kernel.Append:
		l.unknownWord("arp")
	case len(operands) > 2 || verb == kernel.Del && len(operands) > 1:
		l.unknownWord(operands[len(operands)-1])
	case len(operands) == 0:
		l.fail(statusUsage, "arp: need host name")
	case verb == kernel.Replace && len(operands) == 1 && n.Dev == "":
		l.fail(statusUsage, "arp: need hardware address")
	case verb == kernel.Replace && len(operands) == 1: // a word of the device's stands where the address is missing
		l.fail(statusUsage, "arp: invalid hardware address")
	default:
		parseARPOperands(l, &n, operands)
	}
	return change(verb, n)
}

func parseARPOperands(l *line, n *kernel.Neigh, operands []string) {
	ip, err := netip.ParseAddr(operands[0])
	if err != nil || !ip.Is4() {
		l.unknownWord(operands[0])
	}
	n.IP = ip
	if len(operands) == 2 {
		var bad string
		if n.Address, bad = parseMAC(operands[1]); n.Address == "" && bad == "" {
			l.unknownWord(operands[1]) // net-tools pads short ones
		} else if bad != "" {
			l.fail(statusUsage, "arp: invalid hardware address")
		}
	}
	if n.Dev == "" {
		l.unknownWord(operands[0])
	}
}
