package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func showLinks(l *line) action {
	f, masters := parseLinkFilter(l)
	if f.to.IsValid() || f.scope != "" || f.label != "" || len(f.flagged) > 0 { // which mean something only for addresses
		l.unknownWord("link")
	}
	return answered(l.layout, func(ctx context.Context, c *call, s *sheet) error {
		if err := masters(ctx, c); err != nil {
			return err
		}
		links, err := f.links(ctx, c, s)
		for _, link := range links {
			s.object("", func() {
				if f.meant(link) {
					s.link(link, true)
				}
			})
		}
		return err
	})
}

// links are those that are meant, or that ip would at least look at. One that overlayd cannot show is unknown.
func (f linkFilter) links(ctx context.Context, c *call, s *sheet) ([]kernel.Link, error) {
	if _, err := shownLink(ctx, c, f.name); err != nil {
		return nil, err
	}
	links, err := list(ctx, c, kernel.Link{Name: f.name, Details: new(kernel.Details)})
	links = slices.DeleteFunc(links, func(l kernel.Link) bool { return !f.dumped(l) })
	for _, l := range links {
		if l.Details.Unshown != "" && f.meant(l) {
			return nil, unknown(l.Details.Unshown)
		}
	}
	if s.json && f.kind != "" && len(links) == 0 { // ip shows all as empty where the kernel does not know the kind
		return nil, unknown(f.kind)
	}
	return links, err
}

// link prints what ip says of a link. Some things "ip link" alone tells, and "ip address" not.
func (s *sheet) link(link kernel.Link, whole bool) {
	if s.brief {
		s.briefLink(link, whole)
		return
	}
	s.say("ifindex", link.Index, "%d: ")
	s.linkName(link, "%s: ")
	s.linkFlags(link)
	s.say("mtu", link.MTU, "mtu %d ")
	if link.Qdisc != "" {
		s.say("qdisc", link.Qdisc, "qdisc %s ")
	}
	if link.Master != "" {
		s.say("master", link.Master, "master %s ")
	}
	s.say("operstate", strings.ToUpper(link.Operstate), "state %s ")
	if whole {
		s.say("linkmode", strings.ToUpper(link.Details.Mode), "mode %s ")
	}
	if link.Qdisc != "" { // the kernel tells both or none
		group := 0
		if link.Group != nil {
			group = *link.Group
		}
		s.say("group", groupNames.of(group, s.layout), "group %s ")
	}
	if link.TxQueue != 0 {
		s.say("txqlen", link.TxQueue, "qlen %d")
	}
	if whole || s.details || link.Encap != "" {
		s.layer(link)
	}
	s.below(link, whole)
	s.text("\n")
}

func (s *sheet) briefLink(link kernel.Link, whole bool) {
	s.linkName(link, "%-16s ")
	s.say("operstate", strings.ToUpper(link.Operstate), "%-14s ")
	if whole {
		if link.Address != "" {
			s.say("address", string(link.Address), "%s ")
		}
		s.linkFlags(link)
		s.text("\n")
	}
}

func (s *sheet) linkFlags(link kernel.Link) {
	flags := link.Flags
	if link.Details.LowerDown {
		flags = append(slices.Clone(flags), "M-DOWN")
	}
	s.list("flags", "<", ",", "> ", flags)
}

// linkName prints the link's name with the link below it, which the kernel does not tell of vxlan and other tunnels.
func (s *sheet) linkName(link kernel.Link, format string) {
	lower := link.Lower
	var index int
	switch {
	case slices.Contains([]string{"vxlan", "geneve"}, link.Kind):
		lower = ""
	case link.Details.Namespace != nil:
		fmt.Sscanf(lower, "if%d", &index)
	case link.Details.LowerNone:
		lower = "NONE"
	}
	switch {
	case !s.json && lower != "":
		s.text(format, link.Name+"@"+lower)
		return
	case index != 0:
		s.key("link_index", index)
	case lower == "NONE":
		s.key("link", nil)
	case lower != "":
		s.key("link", lower)
	}
	s.say("ifname", link.Name, format)
}

// layer prints the link layer's part, without the end of its last line.
func (s *sheet) layer(link kernel.Link) {
	s.text("%s", s.end())
	s.say("link_type", link.Encap, "    link/%s ")
	if link.Address != "" {
		s.say("address", string(link.Address), "%s")
	}
	if link.Broadcast != "" {
		word := " brd "
		if slices.Contains(link.Flags, "POINTOPOINT") {
			word = " peer "
			s.key("link_pointtopoint", true)
		}
		s.text("%s", word)
		s.say("broadcast", string(link.Broadcast), "%s")
	}
	if link.Details.Permanent != "" {
		s.say("permaddr", string(link.Details.Permanent), " permaddr %s")
	}
}

// below prints what stands below the link layer.
func (s *sheet) below(link kernel.Link, whole bool) {
	d := link.Details
	if d.Namespace != nil {
		s.key("link_netnsid", *d.Namespace)
		switch {
		case d.NamespaceName != "":
			s.text(" link-netns %s", d.NamespaceName)
		case *d.Namespace >= 0:
			s.text(" link-netnsid %d", *d.Namespace)
		default:
			s.text(" link-netnsid unknown")
		}
	}
	s.flag(d.ProtoDown, "proto_down", " protodown on ")
	if s.details {
		s.linkDetails(link, whole)
	}
	if (whole || s.details) && link.Alias != "" {
		s.text("%s    ", s.end())
		s.say("ifalias", link.Alias, "alias %s")
	}
	if whole && s.stats > 0 {
		s.text("%s", s.end())
		s.counters(d)
	}
	if len(d.AltNames) > 0 {
		s.list("altnames", s.end()+"    altname ", s.end()+"    altname ", "", d.AltNames)
	}
}

// sizeKeys are JSON's words for the sizes that it calls otherwise.
var sizeKeys = map[string]string{"numtxqueues": "num_tx_queues", "numrxqueues": "num_rx_queues"}

func (s *sheet) linkDetails(link kernel.Link, whole bool) {
	d := link.Details
	s.say("promiscuity", d.Promiscuity, " promiscuity %d ")
	s.say("allmulti", d.AllMulti, " allmulti %d ")
	s.say("min_mtu", d.MinMTU, "minmtu %d ")
	s.say("max_mtu", d.MaxMTU, "maxmtu %d ")
	if link.Kind != "" || d.Slave != "" {
		s.object("linkinfo", func() { s.kind(link) })
	}
	if whole && d.AddrGen != "" {
		s.say("inet6_addr_gen_mode", d.AddrGen, "addrgenmode %s ")
	}
	for _, size := range d.Sizes {
		key, ok := sizeKeys[size.Word]
		if !ok {
			key = size.Word
		}
		s.say(key, size.Value, size.Word+" %d ")
	}
	for _, t := range []struct{ key, text, value string }{
		{"phys_port_name", "portname %s ", d.PortName}, {"phys_port_id", "portid %s ", d.ID}, {"phys_switch_id", "switchid %s ", d.SwitchID},
		{"parentbus", "parentbus %s ", d.ParentBus}, {"parentdev", "parentdev %s ", d.Parent},
	} {
		if t.value != "" {
			s.say(t.key, t.value, t.text)
		}
	}
}
