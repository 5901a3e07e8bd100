package command

import (
	"fmt"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseIP(l *line) action {
	b := batch{argv: []string{"ip"}}
	for l.more() && strings.HasPrefix(l.peek(), "-") {
		option := l.peek()
		switch {
		case parseLayout(l):
		case l.take("-4"):
			l.family = 4
		case l.take("-6"):
			l.family = 6
		case l.take("-f", "-family"):
			parseFamily(l)
			b.argv = append(b.argv, fmt.Sprintf("-%d", l.family))
			continue
		case l.take("-br", "-brief"):
			l.brief = true
		case l.take("-force"):
			b.force = true
			continue
		case l.take("-b", "-batch"):
			return parseBatch(l, b, parseIPObject)
		default:
			l.unknown()
		}
		b.argv = append(b.argv, option)
	}
	return parseIPObject(l)
}

// parseLayout takes an option that ip and bridge have for what is printed.
func parseLayout(l *line) bool {
	switch {
	case l.take("-o", "-oneline"):
		l.oneLine = true
	case l.take("-j", "-json"):
		l.json = true
	case l.take("-p", "-pretty"):
		l.pretty = true
	case l.take("-d", "-details"):
		l.details = true
	case l.take("-s", "-stats", "-statistics"):
		l.stats++
	case l.take("-N", "-Numeric"):
		l.numbers = true
	default:
		return false
	}
	return true
}

// parseFamily takes the name of a family of addresses.
func parseFamily(l *line) {
	switch {
	case l.take("inet"):
		l.family = 4
	case l.take("inet6"):
		l.family = 6
	default:
		l.unknown()
	}
}

func parseIPObject(l *line) action {
	return l.choose(
		choice{"address", parseIPAddr}, choice{"addrlabel", nil}, choice{"maddress", nil},
		choice{"route", parseIPRoute}, choice{"rule", parseIPRule},
		choice{"neighbor", parseIPNeigh}, choice{"neighbour", parseIPNeigh}, choice{"ntable", nil}, choice{"ntbl", nil},
		choice{"link", parseIPLink},
	)
}

func parseIPLink(l *line) action {
	if !l.more() {
		return showLinks(l)
	}
	return l.choose(
		choice{"add", parseLinkAdd}, choice{"set", parseLinkSet}, choice{"change", parseLinkSet}, choice{"replace", nil},
		choice{"delete", parseLinkDel}, choice{"show", showLinks}, choice{"lst", showLinks}, choice{"list", showLinks},
	)
}

func parseIPAddr(l *line) action {
	if !l.more() {
		return showAddrs(l)
	}
	return l.choose(
		choice{"add", with(kernel.Add, parseAddr)}, choice{"change", with(kernel.Change, parseAddr)},
		choice{"chg", with(kernel.Change, parseAddr)}, choice{"replace", with(kernel.Replace, parseAddr)},
		choice{"delete", with(kernel.Del, parseAddr)}, choice{"show", showAddrs}, choice{"lst", showAddrs},
		choice{"list", showAddrs}, choice{"flush", parseAddrFlush},
	)
}

func parseIPRoute(l *line) action {
	if !l.more() {
		return showRoutes(l)
	}
	return l.choose(
		choice{"list", showRoutes}, choice{"show", showRoutes}, choice{"lst", showRoutes}, choice{"get", parseRouteGet},
		choice{"add", with(kernel.Add, parseRoute)}, choice{"change", with(kernel.Change, parseRoute)},
		choice{"chg", with(kernel.Change, parseRoute)}, choice{"replace", with(kernel.Replace, parseRoute)},
		choice{"prepend", nil}, choice{"append", with(kernel.Append, parseRoute)}, choice{"test", nil},
		choice{"delete", with(kernel.Del, parseRoute)}, choice{"flush", parseRouteFlush},
	)
}

func parseIPRule(l *line) action {
	if !l.more() {
		return showRules(l)
	}
	return l.choose(
		choice{"list", showRules}, choice{"lst", showRules}, choice{"show", showRules}, choice{"save", nil}, choice{"restore", nil},
		choice{"add", with(kernel.Add, parseRule)}, choice{"delete", with(kernel.Del, parseRule)}, choice{"flush", parseRuleFlush},
	)
}

func parseIPNeigh(l *line) action {
	if !l.more() {
		return showNeighs(l)
	}
	return l.choose(
		choice{"add", with(kernel.Add, parseNeigh)}, choice{"replace", with(kernel.Replace, parseNeigh)},
		choice{"change", with(kernel.Change, parseNeigh)}, choice{"chg", with(kernel.Change, parseNeigh)},
		choice{"delete", with(kernel.Del, parseNeigh)}, choice{"get", parseNeighGet}, choice{"show", showNeighs},
		choice{"lst", showNeighs}, choice{"list", showNeighs}, choice{"flush", parseNeighFlush},
	)
}
