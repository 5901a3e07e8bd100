package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseBridgeLink(l *line) action {
	if !l.more() {
		return showPorts(l)
	}
	return l.choose(choice{"set", parsePortSet}, choice{"change", parsePortSet}, choice{"show", showPorts}, choice{"lst", showPorts}, choice{"list", showPorts})
}

// portLinkWords are the options of ports as bridge takes them.
var portLinkWords = slices.Concat(
	words(asDecimal(math.MaxInt32), "cost"),
	words(asDecimal(math.MaxUint16), "priority"),
	words(func(l *line, word string) string { return onOffOr(l, word, 234) }, "hairpin", "guard", "root_block", "fastleave",
		"learning", "flood", "mcast_flood", "bcast_flood", "mcast_to_unicast", "neigh_suppress", "vlan_tunnel", "isolated", "locked"),
)

// asDecimal takes a number as C's atoi does, as far as it is one.
func asDecimal(most uint64) func(*line, string) string {
	return func(l *line, _ string) string {
		word := l.next()
		n, ok := decimal(word, most)
		if !ok {
			l.unknownWord(word)
		}
		return strconv.Itoa(n)
	}
}

func parsePortSet(l *line) action {
	link := kernel.Link{Port: kernel.Options{}}
	g := kindGrammar{words: portLinkWords}
	for l.more() {
		if l.take("dev") {
			link.Name = l.name()
			continue
		}
		g.take(l, link.Port)
	}
	if link.Name == "" {
		l.fail(statusUsage, "Device is a required argument.")
	}
	if len(link.Port) == 0 {
		l.unknownWord("set")
	}
	return change(kernel.Set, link)
}

func showPorts(l *line) action {
	dev := ""
	for l.more() {
		if !l.take("dev") || dev != "" { // bridge passes over other words
			l.unknown()
		}
		dev = l.name()
	}
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		missing := &failure{text: fmt.Sprintf("Cannot find device %q", dev), status: statusUsage}
		if _, err := namedLink(ctx, c, dev, missing); err != nil {
			return err
		}
		links, err := list(ctx, c, kernel.Link{Name: dev, Details: new(kernel.Details)})
		for _, link := range links {
			if link.Details.Slave == "bridge" {
				s.object("", func() { s.port(link) })
			}
		}
		return err
	})
}

func (s *sheet) port(link kernel.Link) {
	s.say("ifindex", link.Index, "%d: ")
	s.linkName(link, "%s: ")
	s.linkFlags(link)
	s.say("mtu", link.MTU, "mtu %d ")
	if link.Master != "" {
		s.say("master", link.Master, "master %s ")
	}
	s.options([]shown{{option: "state", print: asPortState}, {option: "priority", print: asNumber}, {option: "cost", print: asNumber}}, link.Details.Port)
	if s.details {
		s.text("%s    ", s.end())
		s.options(portShown, link.Details.Port)
	}
	s.text("\n")
}

// portShown are the options of a port in the order in which bridge prints them.
var portShown = []shown{
	{option: "hairpin", print: asSwitch}, {option: "guard", print: asSwitch}, {option: "root_block", print: asSwitch},
	{option: "fastleave", print: asSwitch}, {option: "learning", print: asSwitch}, {option: "flood", print: asSwitch},
	{option: "mcast_flood", print: asSwitch}, {option: "bcast_flood", print: asSwitch}, {option: "mcast_router", print: asNumber},
	{option: "mcast_to_unicast", print: asSwitch}, {option: "neigh_suppress", print: asSwitch}, {option: "vlan_tunnel", print: asSwitch},
	{option: "backup_port", print: asText}, {option: "isolated", print: asSwitch}, {option: "locked", print: asSwitch},
}
