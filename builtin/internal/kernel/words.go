package kernel

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// words joins a command line from words and pairs that are left out when their value says nothing.
type words struct{ strings.Builder }

func command(first ...string) *words {
	w := new(words)
	w.add(first...)
	return w
}

func (w *words) add(more ...string) {
	for _, s := range more {
		if w.Len() > 0 {
			w.WriteByte(' ')
		}
		w.WriteString(s)
	}
}

func (w *words) when(said bool, more ...string) {
	if said {
		w.add(more...)
	}
}

func (w *words) text(name, value string) { w.when(value != "", name, value) }

func (w *words) number(name string, value int) { w.when(value != 0, name, strconv.Itoa(value)) }

func (w *words) ip(name string, value netip.Addr) { w.when(value.IsValid(), name, value.String()) }

// name adds a link's name, after the word that announces it if ip could take the name for the beginning of another word.
func (w *words) name(announce, name string) {
	w.when(slices.ContainsFunc(linkWords, func(word string) bool { return strings.HasPrefix(word, name) }), announce)
	w.add(name)
}

// linkWords are those that ip link takes where a name may stand.
var linkWords = []string{
	"address", "addrgenmode", "alias", "allmulticast", "altname", "arp", "broadcast", "carrier", "dev", "down", "dynamic",
	"group", "gro_max_size", "gso_max_segs", "gso_max_size", "help", "index", "link", "link-netns", "link-netnsid",
	"macaddr", "master", "mode", "mtu", "multicast", "name", "netns", "nomaster", "numrxqueues", "numtxqueues", "parentbus",
	"parentdev", "promisc", "property", "protodown", "protodown_reason", "qlen", "state", "trailers", "txqueuelen", "type",
	"up", "vf", "vrf", "xdp", "xdpdrv", "xdpgeneric", "xdpoffload",
}

// quoted is free text as one word of a shell.
func quoted(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}
