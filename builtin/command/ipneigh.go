package command

import "github.com/overlayd/overlayd/builtin/internal/kernel"

func parseNeigh(l *line, verb kernel.Verb) action {
	var n kernel.Neigh
	for l.more() {
		switch {
		case l.take("lladdr"):
			n.Address = l.mac()
		case l.take("dev"):
			n.Dev = l.name()
		case l.take("nud"):
			n.State = parseState(l)
		case !n.IP.IsValid():
			l.take("to")
			n.IP = l.address(l.family)
		default:
			l.unknown()
		}
	}
	if n.Dev == "" || !n.IP.IsValid() {
		l.fail(statusUsage, "Device and destination are required arguments.")
	}
	return change(verb, n)
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
