package command

import (
	"math"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseBridge(l *line) action {
	b := batch{argv: []string{"bridge"}}
	for l.more() && strings.HasPrefix(l.peek(), "-") {
		option := l.peek()
		switch {
		case option != "-N" && parseLayout(l):
			b.argv = append(b.argv, option)
		case l.take("-compressvlans"):
			l.compress = true
			b.argv = append(b.argv, option)
		case l.take("-force"):
			b.force = true
		case l.take("-b", "-batch"):
			return parseBatch(l, b, parseBridgeObject)
		default:
			l.unknown()
		}
	}
	return parseBridgeObject(l)
}

func parseBridgeObject(l *line) action {
	return l.choose(
		choice{"link", parseBridgeLink}, choice{"fdb", parseBridgeFDB}, choice{"mdb", nil}, choice{"vlan", parseBridgeVLAN}, choice{"monitor", nil},
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
		case l.twice("dst"), l.twice("vlan"), l.twice("port"), l.twice("vni"), l.twice("via"),
			l.twice("permanent", "local", "static", "temp", "dynamic"):
		case l.take("dev"):
			f.Dev = l.name()
		case l.take("dst"):
			f.Dst = l.address(0)
		case l.take("self"):
			self = true
		case l.take("master"):
			f.Master = true
		case l.take("src_vni"):
			f.SourceVNI = l.number(1, 1<<24-1, "invalid src VNI\n")
		case l.take("nhid"):
			f.NextHop = l.number(1, math.MaxUint32, "\"id\" value is invalid\n")
		case parseFDBNumber(l, &f):
		case l.take("via"):
			f.Via = l.name()
			l.early = f.Via
		case l.takeShort("permanent") || l.take("local"):
			f.State = ""
		case l.takeShort("static") || l.take("temp"):
			f.State = "static"
		case l.takeShort("dynamic"):
			f.State = "dynamic"
		case text == "":
			l.take("to")
			if text = l.next(); text == "" { // which is an address to bridge, if a wrong one
				l.unknownWord(text)
			}
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
	if f.NextHop != 0 && (f.Dst.IsValid() || f.Port != 0 || f.VNI != 0) {
		l.fail(statusUsage, "dst, port, vni are mutually exclusive with nhid")
	}
	var bad string
	switch f.Address, bad = parseMAC(text); {
	case f.Address == "" && strings.Count(text, ":") > 5 && bad == "": // of which bridge takes the beginning
		l.unknownWord(text)
	case f.Address == "":
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
