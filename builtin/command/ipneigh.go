package command

import "github.com/overlayd/overlayd/builtin/internal/kernel"

func parseNeigh(l *line, verb kernel.Verb) action {
	var n kernel.Neigh
	var address []string
	for l.more() {
		switch {
		case l.twice("lladdr"), l.twice("nud"):
		case l.take("lladdr"):
			address = []string{l.next()}
		case l.take("dev"):
			n.Dev = l.name()
		case l.take("nud"):
			n.State = parseState(l)
		case l.elsewhere("proxy", "router", "extern_learn", "use", "managed", "protocol", "help"):
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
	if address != nil && l.err == nil { // which ip looks at last
		text := &line{words: address}
		n.Address, l.err = text.mac(), text.err
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
