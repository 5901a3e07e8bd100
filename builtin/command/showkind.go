package command

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A shown is how one option of a kind of links is printed.
type shown struct {
	option string // the kernel layer's word for it
	key    string // JSON's, when it is another one
	text   string // the format, when it is not "option %s "
	print  func(s *sheet, row shown, value string)
}

// kind prints what is special to a link's kind, and to its being a port.
func (s *sheet) kind(link kernel.Link) {
	d := link.Details
	if link.Kind != "" {
		s.text("%s", s.end())
		s.say("info_kind", link.Kind, "    %s ")
		if print := shownKind(link.Kind); print != nil {
			s.object("info_data", func() { print(s, link) })
		}
	}
	if d.Slave != "" {
		s.text("%s", s.end())
		s.say("info_slave_kind", d.Slave, "    %s_slave ")
		s.object("info_slave_data", func() { s.options(shownKinds[d.Slave+"_slave"], d.Port) })
	}
}

// shownKind prints what links of the kind have of their own, nil when that is nothing.
func shownKind(kind string) func(*sheet, kernel.Link) {
	switch kind {
	case "vxlan":
		return (*sheet).vxlan
	case "vlan":
		return (*sheet).vlan
	case "ip6gre", "ip6gretap":
		return (*sheet).gre6
	}
	rows, known := shownKinds[kind]
	if !known {
		return nil
	}
	return func(s *sheet, link kernel.Link) { s.options(rows, link.Details.Kind) }
}

func (s *sheet) options(rows []shown, options kernel.Options) {
	for _, row := range rows {
		value, ok := options[row.option]
		if !ok {
			continue
		}
		if row.key == "" {
			row.key = row.option
		}
		if row.text == "" {
			row.text = row.option + " %s "
		}
		row.print(s, row, value)
	}
}

// The ways to print an option.

func asNumber(s *sheet, row shown, value string) { s.number(row.key, value, row.text) }
func asText(s *sheet, row shown, value string)   { s.say(row.key, value, row.text) }

// asHex prints a number in hexadecimal, which JSON has as a text.
func asHex(s *sheet, row shown, value string) {
	n, _ := strconv.Atoi(value)
	s.say(row.key, hex(n), row.text)
}

// hex is C's %#x, which has no 0x before 0.
func hex(n int) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%#x", n)
}

func asSwitch(s *sheet, row shown, value string) {
	if s.json {
		s.say(row.key, value == "on", "")
		return
	}
	s.text(row.text, value)
}

// asNo prints "word" or "noword".
func asNo(s *sheet, row shown, value string) {
	if s.json {
		s.say(row.key, value == "on", "")
		return
	}
	no := "no"
	if value == "on" {
		no = ""
	}
	s.text("%s%s ", no, row.option)
}

// ifOn prints the word of what is on.
func ifOn(s *sheet, row shown, value string) { s.flag(value == "on", row.key, row.option+" ") }

func ifHex(s *sheet, row shown, value string) {
	if value != "0" {
		asHex(s, row, value)
	}
}

// asDigit prints on and off as 1 and 0.
func asDigit(s *sheet, row shown, value string) {
	asNumber(s, row, map[string]string{"on": "1", "off": "0"}[value])
}

// asTimer prints hundredths of a second, in which the kernel counts for people.
func asTimer(s *sheet, row shown, value string) {
	n, _ := strconv.Atoi(value)
	if s.json {
		s.say(row.key, literal(fmt.Sprintf("%d.%02d", n/100, n%100)), "")
		return
	}
	s.text("%s %4d.%02d ", row.option, n/100, n%100)
}

// asTTL prints a time to live, of which 0 has a word in texts.
func asTTL(zero string) func(*sheet, shown, string) {
	return func(s *sheet, row shown, value string) {
		switch {
		case value == "inherit":
			s.text(row.text, value)
		case value == "0" && !s.json:
			s.text(row.text, zero)
		default:
			asNumber(s, row, value)
		}
	}
}

// asTOS prints a type of service that is not 0.
func asTOS(s *sheet, row shown, value string) {
	switch {
	case value == "0x0" || value == "0":
	case value == "inherit" && s.json:
		s.say(row.key, "0x1", "")
	default:
		s.say(row.key, value, row.text)
	}
}

// asDF prints what becomes of the outer header's bit, of which the usual is in JSON alone.
func asDF(s *sheet, row shown, value string) {
	if s.json || value != "unset" {
		s.say(row.key, value, row.text)
	}
}

// asEnd prints an end of a tunnel.
func asEnd(s *sheet, row shown, value string) {
	if value == "0.0.0.0" || value == "::" {
		value = "any"
	}
	s.say(row.key, value, row.text)
}

// asKey prints a key as an IPv4 address.
func asKey(s *sheet, row shown, value string) {
	n, _ := strconv.ParseUint(value, 10, 32)
	s.say(row.key, fmt.Sprintf("%d.%d.%d.%d", n>>24, n>>16&255, n>>8&255, n&255), row.text)
}

// asDev prints the link that packets leave by, if it is set.
func asDev(s *sheet, row shown, value string) {
	if value != "" {
		s.say(row.key, value, row.text)
	}
}

// asRemote prints the other end, which has a key of its own for IPv6.
func asRemote(s *sheet, row shown, value string) { s.address(row.key, row.option, parseAddr6(value)) }

func parseAddr6(text string) netip.Addr {
	a, _ := netip.ParseAddr(text) // the kernel's
	return a
}

// address prints an address of a tunnel that is set.
func (s *sheet) address(key, word string, a netip.Addr) {
	if !a.IsValid() || a.IsUnspecified() {
		return
	}
	if a.Is6() {
		key += "6"
	}
	s.say(key, a, word+" %s ")
}

// asPortState prints what STP lets a port do.
func asPortState(s *sheet, row shown, value string) {
	s.say(row.key, portState(value), row.text)
}

func portState(number string) string {
	states := []string{"disabled", "listening", "learning", "forwarding", "blocking"}
	if n, err := strconv.Atoi(number); err == nil && n < len(states) {
		return states[n]
	}
	return number
}

// asForwardMask prints which of the link-local groups of IEEE 802.1D are forwarded.
func asForwardMask(s *sheet, row shown, value string) {
	n, _ := strconv.Atoi(value)
	names := map[int]string{0: "stp", 2: "lacp", 14: "lldp"}
	var words []string
	for i := range 16 {
		if n&(1<<i) == 0 {
			continue
		}
		name, ok := names[i]
		if !ok {
			name = hex(1 << i)
		}
		words = append(words, name)
	}
	if words == nil {
		words = []string{"0x0"}
	}
	s.say(row.key, strings.Join(words, ","), row.text)
}

func (s *sheet) vlan(link kernel.Link) {
	o := link.Details.Kind
	s.options([]shown{{option: "protocol", print: asText}, {option: "id", print: asNumber}}, o)
	var flags []string
	for _, option := range []string{"reorder_hdr", "gvrp", "mvrp", "loose_binding", "bridge_binding"} {
		if o[option] == "on" {
			flags = append(flags, strings.ToUpper(option))
		}
	}
	s.list("flags", "<", ",", "> ", flags)
}

func (s *sheet) vxlan(link kernel.Link) {
	v, o := link.VXLAN, link.Details.Kind
	s.flag(v.External, "external", "external ")
	s.flag(v.Filter, "vnifilter", "vnifilter")
	s.say("id", v.ID, "id %d ")
	if v.Remote.IsMulticast() {
		s.address("group", "group", v.Remote)
	} else {
		s.address("remote", "remote", v.Remote)
	}
	s.address("local", "local", v.Local)
	if link.Lower != "" {
		s.say("link", link.Lower, "dev %s ")
	}
	s.text("srcport %d %d ", v.PortLow, v.PortHigh)
	if s.json {
		s.object("port_range", func() {
			s.key("low", v.PortLow)
			s.key("high", v.PortHigh)
		})
	}
	s.say("port", v.Port, "dstport %d ")
	s.key("learning", v.Learning)
	if !v.Learning {
		s.text("nolearning ")
	}
	s.flag(v.Proxy, "proxy", "proxy ")
	s.flag(v.RSC, "rsc", "rsc ")
	s.flag(v.L2Miss, "l2miss", "l2miss ")
	s.flag(v.L3Miss, "l3miss", "l3miss ")
	asTOS(s, shown{key: "tos", text: "tos %s "}, tosText(v.TOS))
	s.vxlanEnd(v, o)
}

func tosText(tos int) string {
	if tos == 1 {
		return "inherit"
	}
	return hex(tos)
}

func (s *sheet) vxlanEnd(v *kernel.VXLAN, o kernel.Options) {
	ttl := strconv.Itoa(v.TTL)
	if v.TTL < 0 {
		ttl = "inherit"
	}
	asTTL("auto")(s, shown{key: "ttl", text: "ttl %s "}, ttl)
	s.options([]shown{{option: "df", print: asDF}, {option: "flowlabel", key: "label", print: ifHex}}, o)
	switch {
	case v.Ageing < 0:
		s.say("ageing", 0, "ageing none ")
	case v.Ageing == 0:
		s.say("ageing", kernel.DefaultAgeing, "ageing %d ")
	default:
		s.say("ageing", v.Ageing, "ageing %d ")
	}
	if v.Limit != 0 {
		s.say("limit", v.Limit, "maxaddr %d ")
	}
	switches := kernel.Options{"udp6zerocsumtx": on(v.ZeroTx6), "udp6zerocsumrx": on(v.ZeroRx6), "udpcsum": on(v.Checksum != nil && *v.Checksum)}
	s.options([]shown{
		{option: "udpcsum", key: "udp_csum", print: asNo}, {option: "udp6zerocsumtx", key: "udp_zero_csum6_tx", print: asNo},
		{option: "udp6zerocsumrx", key: "udp_zero_csum6_rx", print: asNo},
	}, switches)
	s.flag(v.RemSumTx, "remcsum_tx", "remcsumtx ")
	s.flag(v.RemSumRx, "remcsum_rx", "remcsumrx ")
	s.flag(v.GBP, "gbp", "gbp ")
	s.options([]shown{{option: "gpe", print: ifOn}}, o)
}

func on(is bool) string {
	if is {
		return "on"
	}
	return "off"
}

// The flags of IPv6 tunnels that ip has words for, from linux/ip6_tunnel.h.
var gre6Flags = []struct {
	bit       int
	key, text string
}{
	{1, "ip6_tnl_f_ign_encap_limit", "encaplimit none "},
	{2, "ip6_tnl_f_use_orig_tclass", "tclass inherit "},
	{4, "ip6_tnl_f_use_orig_flowlabel", "flowlabel inherit "},
	{16, "ip6_tnl_f_rcv_dscp_copy", "dscp inherit "},
}

func (s *sheet) gre6(link kernel.Link) {
	o := link.Details.Kind
	flags, _ := strconv.Atoi(o["flags"])
	flow, _ := strconv.Atoi(o["flowinfo"])
	s.options(gre6Begin, o)
	for i, f := range gre6Flags {
		switch {
		case flags&f.bit != 0:
			s.say(f.key, true, f.text)
		case i == 0:
			s.options([]shown{{option: "encaplimit", key: "encap_limit", print: asNumber}}, o)
		case i == 1 && o["flowinfo"] != "":
			s.say("tclass", fmt.Sprintf("0x%02x", flow>>20&0xff), "tclass %s ")
		case i == 2 && o["flowinfo"] != "":
			s.say("flowlabel", fmt.Sprintf("0x%05x", flow&0xfffff), "flowlabel %s ")
		}
	}
	s.options(greKeys, o)
	s.flag(flags&64 != 0, "ip6_tnl_f_allow_local_remote", "allow-localremote ")
	if flags&32 != 0 {
		s.say("ip6_tnl_f_use_orig_fwmark", true, "fwmark inherit ")
	} else {
		s.options([]shown{{option: "fwmark", print: ifHex}}, o)
	}
}
