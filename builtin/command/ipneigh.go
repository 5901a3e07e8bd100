package command

import (
	"slices"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseNeigh(l *line, verb kernel.Verb) action {
	var n kernel.Neigh
	var address []string
	for l.more() {
		switch {
		case l.twice("lladdr"), l.twice("nud"), l.twice("protocol"):
		case l.takeShort("lladdr"):
			address = []string{l.next()}
		case l.take("dev"):
			n.Dev = l.name()
		case l.take("nud"):
			n.State = parseState(l)
		case parseNeighFlag(l, &n):
		case l.takeShort("proxy"):
			if n.IP.IsValid() {
				l.unknown()
			}
			n.Proxy, n.IP = true, l.address(l.family)
		case l.takeShort("protocol"):
			n.Protocol = parseNamed(l, protoNames, 255, "\"protocol\" value is invalid\n")
		case l.elsewhere("help"):
		case !n.IP.IsValid():
			l.take("to")
			n.IP = l.address(l.family)
		default:
			l.unknown()
		}
	}
	if n.Proxy && (n.Dev == "" || address != nil || n.State != "" || verb != kernel.Add && verb != kernel.Del) { // which the kernel takes otherwise
		l.unknownWord("proxy")
	}
	if n.Dev == "" || !n.IP.IsValid() {
		l.fail(statusUsage, "Device and destination are required arguments.")
	}
	if address != nil && !slices.Contains(address, "null") && l.err == nil { // which ip looks at last
		text := &line{words: address}
		n.Address, l.err = text.mac(), text.err
	}
	return change(verb, n)
}

// parseNeighFlag takes a property of a neighbour.
func parseNeighFlag(l *line, n *kernel.Neigh) bool {
	switch {
	case l.take("router"):
		n.Router = true
	case l.take("use"):
		n.Use = true
	case l.take("managed"):
		n.Managed, n.State = true, "none"
	case l.takeShort("extern_learn"):
		n.Learned = true
	default:
		return false
	}
	return true
}

// parseState takes the name of a neighbour's state; what people add by hand stays when they say none.
func parseState(l *line) string {
	state := l.next()
	switch state {
	case "permanent":
		return ""
	case "reachable", "stale", "noarp", "incomplete", "delay", "probe", "failed", "none":
		return state
	}
	if _, isNumber := number(state, 0, 0xffff); isNumber {
		l.unknownWord(state)
	}
	l.wrong(state, "nud state is bad")
	return ""
}
