package command

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func itoa(n int) string { return strconv.Itoa(n) }

// portWarning is how ip 6.1 tells that a vxlan link will not use the port of RFC 7348.
const portWarning = `vxlan: destination port not specified
Will use Linux kernel default (non-standard value)
Use 'dstport 4789' to get the IANA assigned value
Use 'dstport 0' to get default and quiet this message
`

// A vxlanParser reads what is special to a vxlan link.
type vxlanParser struct {
	*line
	link           *kernel.Link
	vxlan          *kernel.VXLAN
	hasID, hasPort bool
}

func parseVXLAN(l *line, link *kernel.Link) (warning string) {
	link.VXLAN = &kernel.VXLAN{Learning: true}
	p := &vxlanParser{line: l, link: link, vxlan: link.VXLAN}
	if !l.more() { // of which ip says nothing, and the kernel much
		l.unknownWord("vxlan")
	}
	for l.more() {
		switch {
		case l.twice("id", "vni"), l.twice("dstport"), l.twice("local"), l.twice("remote", "group"), l.twice("dev"), l.twice("ttl", "hoplimit"),
			l.twice("tos", "dsfield"), l.twice("ageing"), l.twice("maxaddress"), l.twice("srcport"), l.twice("df"), l.twice("flowlabel", "label"),
			l.twice("learning", "nolearning"), l.twice("external", "noexternal"), l.twice("gbp"), l.twice("gpe"):
		case p.address(), p.word(), p.size(), p.flag():
		default:
			l.unknown()
		}
	}
	return p.finish()
}

func (p *vxlanParser) word() bool {
	v := p.vxlan
	switch {
	case p.take("id", "vni"):
		v.ID, p.hasID = p.number(0, 1<<24-1, "invalid id"), true
	case p.take("dstport"):
		v.Port, p.hasPort = p.number(0, math.MaxUint16, "dst port"), true
	case p.take("dev"):
		p.link.Lower = p.name()
		p.early = p.link.Lower
	case p.take("ttl", "hoplimit"):
		switch {
		case p.take("auto"):
		case p.take("inherit"):
			v.TTL = -1
		default:
			p.ttl()
		}
	case p.take("tos", "dsfield"):
		if v.TOS = 1; !p.take("inherit") {
			v.TOS = parseTOS(p.line, "bad TOS value")
		}
	default:
		return false
	}
	return true
}

func (p *vxlanParser) ttl() {
	word := p.peek()
	if p.vxlan.TTL = p.number(0, math.MaxUint32, "invalid TTL"); p.vxlan.TTL > math.MaxUint8 {
		p.wrong(word, "TTL must be <= 255")
	}
}

func (p *vxlanParser) address() bool {
	v := p.vxlan
	familyAs := func(a netip.Addr) int {
		if !a.IsValid() {
			return 0
		}
		return familyOf(a)
	}
	word := p.peek()
	switch word {
	case "local":
		p.next()
		if v.Local = p.line.address(familyAs(v.Remote)); v.Local.IsMulticast() {
			p.wrong(v.Local.String(), "invalid local address")
		}
	case "remote", "group":
		p.next()
		if v.Remote = p.line.address(familyAs(v.Local)); p.err == nil && v.Remote.IsMulticast() != (word == "group") {
			p.wrong(v.Remote.String(), "invalid "+word+" address")
		}
	default:
		return false
	}
	return true
}

func (p *vxlanParser) size() bool {
	v := p.vxlan
	switch {
	case p.take("ageing"):
		if v.Ageing = -1; !p.take("none") {
			if v.Ageing = p.number(0, math.MaxUint32, "ageing timer"); v.Ageing == 0 {
				v.Ageing = -1
			}
		}
	case p.take("maxaddress"):
		if !p.take("unlimited") {
			v.Limit = p.number(0, math.MaxUint32, "max addresses")
		}
	case p.take("srcport", "port"):
		v.PortLow = p.number(1, math.MaxUint16, "min port")
		v.PortHigh = p.number(1, math.MaxUint16, "max port")
	case p.take("df"):
		p.option("df", oneOf(badDF, "unset", "set", "inherit")(p.line, "df"))
	case p.take("flowlabel", "label"):
		p.option("flowlabel", asFlowLabel(p.line, ""))
	default:
		return false
	}
	return true
}

// option sets an option that has no field of its own.
func (p *vxlanParser) option(word, value string) {
	if p.link.Options == nil {
		p.link.Options = kernel.Options{}
	}
	p.link.Options[word] = value
}

func (p *vxlanParser) flag() bool {
	v := p.vxlan
	switch {
	case p.take("learning"):
		v.Learning = true
	case p.take("nolearning"):
		v.Learning = false
	case p.take("external"):
		v.External, v.Learning = true, false
	case p.take("gbp"):
		v.GBP = true
	case p.take("gpe"):
		p.option("gpe", "on")
	case p.take("udpcsum"):
		v.Checksum = new(true)
	case p.take("noudpcsum"):
		v.Checksum = new(false)
	case v.Switch(p.peek(), true):
		p.next()
	case strings.HasPrefix(p.peek(), "no") && v.Switch(strings.TrimPrefix(p.peek(), "no"), false):
		p.next()
	default:
		return false
	}
	return true
}

// finish refuses what ip refuses, and returns what it warns of.
func (p *vxlanParser) finish() (warning string) {
	v := p.vxlan
	switch {
	case !v.External && v.Filter:
		p.fail(1, "vxlan: vnifilter is valid only when 'external' is set")
	case v.External && p.hasID:
		p.fail(1, "vxlan: both 'external' and vni cannot be specified")
	case !v.External && !p.hasID:
		p.fail(1, "vxlan: missing virtual network identifier")
	case v.Remote.IsMulticast() && p.link.Lower == "":
		p.fail(1, "vxlan: 'group' requires 'dev' to be specified")
	}
	const gpePort = 4790
	switch {
	case p.hasPort:
	case p.link.Options["gpe"] != "":
		v.Port = gpePort
	default:
		return portWarning
	}
	return ""
}
