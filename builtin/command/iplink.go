package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseLinkAdd(l *line) action {
	var link kernel.Link
	var a action
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
			link.Kind = l.next()
			a.warning = parseKind(l, &link)
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
	a.ops = []kernel.Op{{Verb: kernel.Add, Object: link}}
	return a
}

func parseLinkSet(l *line) action {
	var link kernel.Link
	for l.more() {
		switch {
		case l.take("name"):
			link.Rename = l.name()
		case l.take("nomaster"):
			link.NoMaster = true
		case parseLinkWord(l, &link):
		default:
			parseLinkName(l, &link)
		}
	}
	if link.Name == "" {
		l.fail(statusUsage, "Not enough information: \"dev\" argument is required.")
	}
	a := change(kernel.Set, link)
	if link.Master != "" { // which ip looks for first
		a.check = func(ctx context.Context, c *call) error {
			text := fmt.Sprintf("Error: argument %q is wrong: Device does not exist\n", link.Master)
			_, err := namedLink(ctx, c, link.Master, &failure{text: text, status: statusUsage})
			return err
		}
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
	if slices.Contains(linkWords(), l.peek()) {
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
	case l.twice("mtu"), l.twice("txqueuelen", "txqlen", "qlen"), l.twice("address"), l.twice("master"):
	case l.take("up"):
		link.State = kernel.Up
	case l.take("down"):
		link.State = kernel.Down
	case l.take("mtu"):
		link.MTU = l.number(1, math.MaxInt32, "Invalid \"mtu\" value\n")
	case l.take("address"):
		link.Address = l.mac()
	case l.take("txqueuelen", "txqlen", "qlen"):
		link.TxQueue = l.number(1, math.MaxInt32, "Invalid \"txqueuelen\" value\n")
	case l.take("alias"):
		if link.Alias = l.next(); link.Alias == "" {
			l.unknown()
		}
	case l.take("master"):
		link.Master = l.name()
		l.early = link.Master
	default:
		return false
	}
	return true
}

// parseKind takes what is special to a kind of link, to the end of the line. It returns what ip warns of.
func parseKind(l *line, link *kernel.Link) (warning string) {
	switch link.Kind {
	case "vxlan":
		return parseVXLAN(l, link)
	case "veth":
		if l.take("peer") {
			l.take("name")
			link.Peer = l.name()
		}
	case "vlan":
		if !l.take("id") {
			l.unknown()
		}
		link.Options = kernel.Options{"id": fmt.Sprint(l.number(1, 4094, "id is invalid\n"))}
	}
	return ""
}

// portWarning is how ip 6.1 tells that a vxlan link will not use the port of RFC 7348.
const portWarning = `vxlan: destination port not specified
Will use Linux kernel default (non-standard value)
Use 'dstport 4789' to get the IANA assigned value
Use 'dstport 0' to get default and quiet this message
`

func parseVXLAN(l *line, link *kernel.Link) (warning string) {
	v := &kernel.VXLAN{Learning: true}
	link.VXLAN, warning = v, portWarning
	hasID := false
	for l.more() {
		switch {
		case l.take("id", "vni"):
			v.ID, hasID = l.number(0, 1<<24-1, "invalid id"), true
		case l.take("dstport"):
			v.Port, warning = l.number(0, math.MaxUint16, "dst port"), ""
		case l.take("local"):
			v.Local = l.address(0)
		case l.take("remote", "group"):
			v.Remote = l.address(0)
		case l.take("dev"):
			link.Lower = l.name()
			l.early = link.Lower
		case l.twice("ttl", "hoplimit"), l.twice("tos", "dsfield"), l.twice("ageing"), l.twice("maxaddress"), l.twice("srcport"),
			l.twice("id", "vni"), l.twice("dstport"), l.twice("local"), l.twice("remote", "group"), l.twice("dev"):
		case l.take("ttl", "hoplimit"):
			if !l.take("auto") {
				v.TTL = l.number(1, math.MaxUint8, "invalid TTL")
			}
		case l.take("tos", "dsfield"):
			if v.TOS = 1; !l.take("inherit") {
				v.TOS = l.number(2, math.MaxUint8, "invalid TOS")
			}
		case l.take("ageing"):
			v.Ageing = l.number(1, math.MaxInt32, "ageing timer")
		case l.take("maxaddress"):
			v.Limit = l.number(1, math.MaxInt32, "max addresses")
		case l.takeShort("srcport"):
			v.PortLow = l.number(1, math.MaxUint16, "min port")
			v.PortHigh = l.number(1, math.MaxUint16, "max port")
		case parseVXLANSwitch(l, v):
		default:
			l.unknown()
		}
	}
	if !hasID { // the kernel refuses it, but not as one of our objects
		l.unknownWord("vxlan")
	}
	return warning
}

func parseVXLANSwitch(l *line, v *kernel.VXLAN) bool {
	switch {
	case l.take("learning"):
		v.Learning = true
	case l.take("nolearning"):
		v.Learning = false
	case l.take("gbp"):
		v.GBP = true
	case l.take("udpcsum"):
		v.Checksum = new(true)
	case l.take("noudpcsum"):
		v.Checksum = new(false)
	case v.Switch(l.peek(), true):
		l.next()
	case strings.HasPrefix(l.peek(), "no") && v.Switch(strings.TrimPrefix(l.peek(), "no"), false):
		l.next()
	default:
		return false
	}
	return true
}

// linkWords are those that ip takes where the name of a link may stand, and this package does not know.
func linkWords() []string {
	return []string{
		"addrgenmode", "allmulticast", "altname", "arp", "brd", "broadcast", "carrier", "dynamic", "group", "help", "index",
		"link-netns", "link-netnsid", "mode", "multicast", "netns", "numrxqueues", "numtxqueues", "parentbus", "parentdev",
		"promisc", "property", "protodown", "protodown_reason", "state", "trailers", "vf", "vrf", "xdp", "xdpdrv", "xdpgeneric",
		"xdpoffload",
	}
}
