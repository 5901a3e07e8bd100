package command

import (
	"cmp"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// kindGrammars are the words that the kinds of links are told, but those that have grammars of their own.
var kindGrammars = map[string]kindGrammar{
	"bridge":       {words: bridgeWords, set: true},
	"bridge_slave": {words: portWords, set: true},
	"vlan":         {words: vlanWords},
	"macvlan":      {words: macvlanWords, finish: finishMACVLAN},
	"macvtap":      {words: macvlanWords, finish: finishMACVLAN},
	"ipvlan":       {words: ipvlanWords},
	"ipvtap":       {words: ipvlanWords},
	"vrf":          {words: []kindWord{{[]string{"table"}, "table", asTable}}},
	"geneve":       {words: geneveWords, finish: finishGeneve},
	"ipip":         {words: ipipWords, finish: finishIPIP},
	"gre":          {words: greWords, finish: finishGRE},
	"gretap":       {words: greWords, finish: finishGRE},
	"ip6gre":       {words: gre6Words, finish: finishGRE6},
	"ip6gretap":    {words: gre6Words, finish: finishGRE6},
}

// words are options whose word is the kernel layer's too.
func words(take func(*line, string) string, names ...string) (list []kindWord) {
	for _, name := range names {
		list = append(list, kindWord{[]string{name}, name, take})
	}
	return list
}

// switched are options that are turned on by a word, and off by it with "no" before.
func switched(names ...string) (list []kindWord) {
	for _, name := range names {
		list = append(list, kindWord{[]string{name}, name, told("on")}, kindWord{[]string{"no" + name}, name, told("off")})
	}
	return list
}

var bridgeWords = slices.Concat(
	words(asWord, "forward_delay", "hello_time", "max_age", "ageing_time", "stp_state", "mcast_hash_elasticity", "mcast_hash_max",
		"mcast_last_member_count", "mcast_startup_query_count", "mcast_last_member_interval", "mcast_membership_interval",
		"mcast_querier_interval", "mcast_query_interval", "mcast_query_response_interval", "mcast_startup_query_interval"),
	words(asShort, "priority", "group_fwd_mask", "vlan_default_pvid"),
	words(asByte, "vlan_filtering", "vlan_stats_enabled", "vlan_stats_per_port", "mcast_router", "mcast_snooping",
		"mcast_query_use_ifaddr", "mcast_querier", "mcast_stats_enabled", "mcast_igmp_version", "mcast_mld_version",
		"nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables"),
	words(asOn, "no_linklocal_learn", "mcast_vlan_snooping"),
	words(asStation, "group_address"),
	words(oneOf(handOn, "802.1Q", "802.1ad"), "vlan_protocol"),
)

var portWords = slices.Concat(
	words(sized(1<<16-1, "priority is invalid"), "priority"),
	words(sized(1<<32-1, "cost is invalid"), "cost"),
	words(asByte, "mcast_router"),
	words(asShort, "group_fwd_mask"),
	words(asPortSwitch, "hairpin", "guard", "root_block", "fastleave", "learning", "flood", "mcast_flood", "bcast_flood",
		"mcast_to_unicast", "proxy_arp", "proxy_arp_wifi", "neigh_suppress", "vlan_tunnel", "isolated", "locked"),
	[]kindWord{{[]string{"mcast_fast_leave"}, "fastleave", asPortSwitch}},
)

var vlanWords = slices.Concat(
	words(sized(1<<16-1, "id is invalid"), "id"),
	words(oneOf(handOn, "802.1Q", "802.1ad"), "protocol"),
	words(asState, "reorder_hdr", "gvrp", "mvrp", "loose_binding", "bridge_binding"),
)

var macvlanWords = slices.Concat(
	words(oneOf(func(l *line, value string) {
		l.fail(1, "Error: argument of \"mode\" must be \"private\", \"vepa\", \"bridge\", \"passthru\" or \"source\", not %q", value)
	}, "private", "vepa", "bridge", "passthru", "source"), "mode"),
	words(told("on"), "nopromisc", "nodst"),
	words(func(l *line, _ string) string {
		word := l.peek()
		n, ok := number(l.next(), 0, 1<<32-1)
		switch {
		case strings.HasPrefix(word, "-") || strings.HasPrefix(word, "+"):
			l.unknownWord(word)
		case !ok:
			l.fail(1, "Error: argument of \"bcqueuelen\" must be a positive integer [0-4294967295], not %q", word)
		}
		return itoa(n)
	}, "bcqueuelen"),
)

// finishMACVLAN leaves to ip what it refuses.
func finishMACVLAN(l *line, link *kernel.Link) {
	if link.Options["nopromisc"] == "on" && link.Options["mode"] != "passthru" {
		l.unknownWord("nopromisc")
	}
}

var ipvlanWords = slices.Concat(
	words(oneOf(func(l *line, _ string) {
		l.fail(1, "Error: argument of \"mode\" must be either \"l2\", \"l3\" or \"l3s\"")
	}, "l2", "l3", "l3s"), "mode"),
	[]kindWord{
		{[]string{"private"}, "flags", told("private")}, {[]string{"vepa"}, "flags", told("vepa")}, {[]string{"bridge"}, "flags", told("bridge")},
	},
)

// asTable takes a routing table.
func asTable(l *line, _ string) string {
	return itoa(parseNamed(l, tableNames, 1<<32-1, "invalid table ID\n"))
}

var geneveWords = slices.Concat(
	[]kindWord{
		{[]string{"id", "vni"}, "id", asVNI},
		{[]string{"remote"}, "remote", func(l *line, _ string) string {
			a := l.address(0)
			if a.IsMulticast() {
				l.wrong(a.String(), "invalid remote address")
			}
			return a.String()
		}},
		{[]string{"ttl", "hoplimit"}, "ttl", asTTLOr(map[string]string{"inherit": "inherit", "auto": "0"}, "TTL must be <= 255")},
		{[]string{"tos", "dsfield"}, "tos", asTunnelTOS},
		{[]string{"df"}, "df", oneOf(badDF, "unset", "set", "inherit")},
		{[]string{"label", "flowlabel"}, "flowlabel", asFlowLabel},
		{[]string{"dstport"}, "dstport", sized(1<<16-1, "dstport")},
		{[]string{"external"}, "external", told("on")},
		{[]string{"innerprotoinherit"}, "innerprotoinherit", told("on")},
	},
	switched("udpcsum", "udp6zerocsumtx", "udp6zerocsumrx"),
)

func finishGeneve(l *line, link *kernel.Link) {
	o := link.Options
	switch {
	case o["external"] != "" && o["id"] != "":
		l.fail(1, "geneve: both 'external' and vni cannot be specified")
	case o["external"] == "" && o["id"] == "":
		l.fail(1, "geneve: missing virtual network identifier")
	case o["external"] == "" && o["remote"] == "":
		l.fail(1, "geneve: remote link partner not specified")
	}
	if o["dstport"] == "0" { // the kernel's own
		delete(o, "dstport")
	}
}

// tunnelWords are those of tunnels over IPv4.
var tunnelWords = slices.Concat(
	[]kindWord{
		{[]string{"remote"}, "remote", asOuter(4)},
		{[]string{"local"}, "local", asOuter(4)},
		{[]string{"dev"}, "dev", asLink},
		{[]string{"ttl", "hoplimit", "hlim"}, "ttl", asTTLOr(map[string]string{"inherit": "0"}, "invalid TTL\n")},
		{[]string{"tos", "tclass", "dsfield"}, "tos", asTunnelTOS},
		{[]string{"external"}, "external", told("on")},
		{[]string{"fwmark"}, "fwmark", sized(1<<32-1, "invalid fwmark\n")},
	},
	switched("pmtudisc"),
)

var ipipWords = slices.Concat(tunnelWords, []kindWord{
	{[]string{"mode"}, "mode", func(l *line, _ string) string {
		names := map[string]string{
			"ipv4/ipv4": "ipip", "ipip": "ipip", "ip4ip4": "ipip", "mpls/ipv4": "mplsip", "mplsip": "mplsip", "any/ipv4": "any", "any": "any",
		}
		word := l.next()
		if names[word] == "" {
			l.wrong(word, "Cannot guess tunnel mode.")
		}
		return names[word]
	}},
})

// finishIPIP has the link take packets of every protocol, as ip does where the kernel by itself would take IPv4 alone.
func finishIPIP(l *line, link *kernel.Link) {
	o := link.Options
	if o == nil {
		o = kernel.Options{}
		link.Options = o
	}
	o["mode"] = cmp.Or(o["mode"], "any")
	if ttl := o["ttl"]; ttl != "" && ttl != "0" && o["pmtudisc"] == "off" {
		l.fail(statusUsage, "ttl != 0 and nopmtudisc are incompatible")
	}
	leaveExternal(o, "mode")
}

// leaveExternal takes out what ip does not say of links whose packets' routes say all.
func leaveExternal(o kernel.Options, but ...string) {
	if o["external"] == "" {
		return
	}
	for option := range o {
		if option != "external" && !slices.Contains(but, option) {
			delete(o, option)
		}
	}
}

// greKeyWords are those that say what follows the headers of GRE.
var greKeyWords = slices.Concat(
	words(asGREKey, "key", "ikey", "okey"),
	switched("seq", "iseq", "oseq", "csum", "icsum", "ocsum"),
)

var greWords = slices.Concat(tunnelWords, greKeyWords, switched("ignore-df"))

func finishGRE(l *line, link *kernel.Link) {
	spreadGRE(l, link.Options)
	if strings.HasPrefix(link.Options["remote"], "22") || strings.HasPrefix(link.Options["remote"], "23") { // multicast makes a key
		l.unknownWord("remote")
	}
	leaveExternal(link.Options)
}

// spreadGRE makes of what is said of both directions what is said of each.
func spreadGRE(l *line, o kernel.Options) {
	for _, both := range []string{"key", "seq", "csum"} {
		value, said := o[both]
		if !said {
			continue
		}
		delete(o, both)
		for _, one := range []string{"i" + both, "o" + both} {
			if _, again := o[one]; again { // the order decides
				l.unknownWord(both)
			}
			o[one] = value
		}
	}
}

var gre6Words = slices.Concat(greKeyWords, []kindWord{
	{[]string{"remote"}, "remote", asOuter(6)},
	{[]string{"local"}, "local", asOuter(6)},
	{[]string{"dev"}, "dev", asLink},
	{[]string{"ttl", "hoplimit", "hlim"}, "hoplimit", asTTLOr(map[string]string{"inherit": "0"}, "invalid HLIM\n")},
	{[]string{"encaplimit"}, "encaplimit", sized(1<<8-1, "invalid ELIM")},
	{[]string{"external"}, "external", told("on")},
	{[]string{"fwmark"}, "fwmark", sized(1<<32-1, "invalid fwmark\n")},
})

// finishGRE6 puts in what ip says when it is not told.
func finishGRE6(l *line, link *kernel.Link) {
	o := link.Options
	spreadGRE(l, o)
	for option, value := range map[string]string{"hoplimit": "64", "encaplimit": "4"} {
		if _, said := o[option]; !said {
			o[option] = value
		}
	}
	leaveExternal(o)
}
