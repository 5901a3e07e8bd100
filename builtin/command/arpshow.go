package command

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// An arpListing is arp asked for neighbours, in columns or, with -a, in sentences.
type arpListing struct {
	sentences bool
	dev       string
	ip        netip.Addr // invalid is any
}

// parseARPListing reads "arp -n", with -a, -e, -i and an address. Without -n names are looked up, which is left to the real
// tool.
func parseARPListing(l *line) action {
	var f arpListing
	numeric, columns := false, false
	for l.more() {
		switch word := l.peek(); {
		case len(l.words) == 1 && (word == "-i" || word == "--device"): // of which arp tells its usage
			l.unknown()
		case l.take("-i", "--device"):
			f.dev = l.next()
		case strings.HasPrefix(word, "-") && len(word) > 1 && strings.Trim(word[1:], "nae") == "":
			l.next()
			numeric = numeric || strings.Contains(word, "n")
			f.sentences = f.sentences || strings.Contains(word, "a")
			columns = columns || strings.Contains(word, "e")
		case l.take("--numeric"):
			numeric = true
		case f.ip.IsValid():
			l.unknown()
		default:
			ip, err := netip.ParseAddr(l.next())
			if f.ip = ip; err != nil || !ip.Is4() {
				l.unknownWord(word)
			}
		}
	}
	if !numeric || f.sentences && columns || strings.HasPrefix(f.dev, "-") || f.dev == "" && l.err != nil {
		l.unknownWord("arp")
	}
	return action{run: f.run}
}

func (f arpListing) run(ctx context.Context, c *call) error {
	var all []kernel.Neigh
	for _, proxy := range []bool{false, true} {
		neighs, err := list(ctx, c, kernel.Neigh{Proxy: proxy, State: kernel.AnyState})
		if err != nil {
			return err
		}
		for _, n := range neighs {
			if n.IP.Is4() && (n.Proxy || n.State != "noarp" && n.State != "none") {
				all = append(all, n)
			}
		}
	}
	links, err := list(ctx, c, kernel.Link{})
	if err != nil {
		return err
	}
	encaps := map[string]string{}
	for _, link := range links {
		if encaps[link.Name] = link.Encap; link.Encap == "loopback" {
			encaps[link.Name] = "loop" // as net-tools has it
		}
	}
	var text strings.Builder
	shown := 0
	for _, n := range all {
		if f.dev != "" && n.Dev != f.dev || f.ip.IsValid() && n.IP != f.ip {
			continue
		}
		if shown++; !f.sentences && shown == 1 {
			text.WriteString("Address                  HWtype  HWaddress           Flags Mask            Iface\n")
		}
		f.print(&text, n, encaps[n.Dev])
	}
	switch {
	case shown > 0:
	case f.ip.IsValid() && !f.sentences:
		fmt.Fprintf(&text, "%s (%s) -- no entry\n", f.ip, f.ip)
	case f.ip.IsValid() || f.dev != "":
		fmt.Fprintf(&text, "arp: in %d entries no match found.\n", len(all))
	}
	_, err = fmt.Fprint(c.Stdout, text.String())
	return err
}

func (f arpListing) print(text *strings.Builder, n kernel.Neigh, encap string) {
	flags, kind, address := "", "", "(incomplete)"
	state := orPermanent(n.State)
	switch {
	case n.Proxy:
		flags, kind, address = "MP", "*", "<from_interface>"
	case state != "incomplete" && state != "failed" && state != "none":
		flags, kind, address = "C", encap, string(n.Address)
		if state == "permanent" {
			flags = "CM"
		}
	}
	if !f.sentences {
		fmt.Fprintf(text, "%-23.23s  %-8.8s%-20.20s%-6.6s%-15.15s %s\n", n.IP, kind, address, flags, "", n.Dev)
		return
	}
	fmt.Fprintf(text, "? (%s) at ", n.IP)
	switch {
	case n.Proxy:
		text.WriteString("<from_interface> PERM PUB ")
	case flags == "":
		text.WriteString("<incomplete> ")
	default:
		fmt.Fprintf(text, "%s [%s] ", address, kind)
		if flags == "CM" {
			text.WriteString("PERM ")
		}
	}
	fmt.Fprintf(text, "on %s\n", n.Dev)
}
