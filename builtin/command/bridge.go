package command

import (
	"math"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseBridge(l *line) action {
	return l.choose(
		choice{"link", nil}, choice{"fdb", parseBridgeFDB}, choice{"mdb", nil}, choice{"vlan", nil}, choice{"monitor", nil},
	)
}

func parseBridgeFDB(l *line) action {
	if !l.more() {
		return showFDB(l)
	}
	return l.choose(
		choice{"add", with(kernel.Add, parseFDB)}, choice{"append", with(kernel.Append, parseFDB)},
		choice{"replace", with(kernel.Replace, parseFDB)}, choice{"delete", with(kernel.Del, parseFDB)}, choice{"get", nil},
		choice{"show", showFDB}, choice{"lst", showFDB}, choice{"list", showFDB},
	)
}

func parseFDB(l *line, verb kernel.Verb) action {
	var f kernel.FDB
	var text string
	var self bool
	for l.more() {
		switch {
		case l.take("dev"):
			f.Dev = l.name()
		case l.take("dst"):
			f.Dst = l.address(0)
		case l.take("self"):
			self = true
		case l.take("master"):
			f.Master = true
		case parseFDBNumber(l, &f):
		case l.take("via"):
			f.Via = l.name()
		case l.takeShort("permanent") || l.take("local"):
			f.State = ""
		case l.takeShort("static") || l.take("temp"):
			f.State = "static"
		case l.takeShort("dynamic"):
			f.State = "dynamic"
		case text == "":
			l.take("to")
			text = l.next()
		default:
			l.unknown()
		}
	}
	if self && f.Master { // both tables at once: two objects
		l.unknownWord("master")
	}
	if f.Dev == "" || text == "" {
		l.fail(statusUsage, "Device and address are required arguments.")
	}
	if f.Address, _ = parseMAC(text); f.Address == "" {
		l.fail(statusUsage, "Invalid mac address %s", text)
	}
	return change(verb, f)
}

func parseFDBNumber(l *line, f *kernel.FDB) bool {
	switch {
	case l.take("vlan"):
		word, ok := l.next(), false
		if f.VLAN, ok = number(word, 1, 4094); !ok {
			l.fail(statusUsage, "Error: invalid vlan id.")
		}
	case l.take("port"):
		word, ok := l.next(), false
		if f.Port, ok = number(word, 1, math.MaxUint16); !ok { // or the name of a service
			l.unknownWord(word)
		}
	case l.take("vni"):
		f.VNI = l.number(0, 1<<24-1, "invalid VNI\n")
	default:
		return false
	}
	return true
}
