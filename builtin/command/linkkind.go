package command

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A kindWord is how ip is told one option of a kind of links. Words cut short are left to the real tool.
type kindWord struct {
	words  []string // spellings
	option string   // the kernel layer's word for it
	take   func(l *line, word string) string
}

// A kindGrammar is what links of a kind are told.
type kindGrammar struct {
	words []kindWord
	// finish checks what was told a new link, and puts in what ip says of itself. It may be nil.
	finish func(l *line, link *kernel.Link)
	set    bool // an old link can be told, too
}

// parseKind takes what is special to a kind of new links, to the end of the line. It returns what ip warns of.
func parseKind(l *line, link *kernel.Link) (warning string) {
	switch link.Kind {
	case "vxlan":
		return parseVXLAN(l, link)
	case "veth":
		if l.take("peer") {
			l.take("name")
			link.Peer = l.name()
		}
		return ""
	}
	g, known := kindGrammars[link.Kind]
	if !known || !l.more() { // ip does not look at kinds of which nothing is said
		return ""
	}
	link.Options = kernel.Options{}
	for l.more() {
		g.take(l, link.Options)
	}
	if g.finish != nil && l.err == nil {
		g.finish(l, link)
	}
	return ""
}

// parseKindSet takes what to tell a link of a kind, to the end of the line.
func parseKindSet(l *line, link *kernel.Link) {
	kind := l.next()
	g := kindGrammars[kind]
	if !g.set || !l.more() {
		l.unknownWord(kind)
		return
	}
	options := kernel.Options{}
	l.early = link.Name
	for l.more() {
		g.take(l, options)
	}
	if kind == "bridge_slave" {
		link.Port = options
		return
	}
	link.Kind, link.Options = kind, options
}

func (g kindGrammar) take(l *line, options kernel.Options) {
	word := l.peek()
	i := slices.IndexFunc(g.words, func(w kindWord) bool { return slices.Contains(w.words, word) })
	if i < 0 {
		l.unknown()
		return
	}
	w := g.words[i]
	if _, said := options[w.option]; said { // of which the last counts, or ip complains
		l.unknown()
		return
	}
	l.next()
	if value := w.take(l, word); value != "" {
		options[w.option] = value
	}
}

// The ways to take a value.

func sized(most uint64, format string) func(*line, string) string {
	return func(l *line, word string) string {
		why := format
		if why == "" {
			why = "invalid " + word
		}
		return strconv.Itoa(l.number(0, most, why))
	}
}

var (
	asByte  = sized(math.MaxUint8, "")
	asShort = sized(math.MaxUint16, "")
	asWord  = sized(math.MaxUint32, "")
)

func asState(l *line, word string) string { return parseOnOff(l, word) }

// asOn takes a bit that is told by a number.
func asOn(l *line, word string) string {
	if l.number(0, math.MaxUint8, "invalid "+word) != 0 {
		return "on"
	}
	return "off"
}

// asPortSwitch takes what bridge ports are told, whose mistakes ip tells otherwise.
func asPortSwitch(l *line, word string) string { return onOffOr(l, word, 1) }

func onOffOr(l *line, word string, status interp.ExitStatus) string {
	state := l.next()
	switch { // which may be cut short, "o" being off
	case state == "":
		l.unknownWord(state)
	case strings.HasPrefix("off", state):
		return "off"
	case strings.HasPrefix("on", state):
		return "on"
	default:
		l.fail(status, "Error: argument of %q must be one of \"off\", \"on\", not %q", word, state)
	}
	return state
}

// told is the value of a word that stands alone.
func told(value string) func(*line, string) string {
	return func(*line, string) string { return value }
}

func asStation(l *line, _ string) string { return string(l.mac()) }
func asLink(l *line, _ string) string {
	name := l.name()
	l.early = name
	return name
}

// asOuter takes an address of a tunnel's end.
func asOuter(family int) func(*line, string) string {
	return func(l *line, _ string) string { return l.address(family).String() }
}

// oneOf takes one of some words; refuse tells what is wrong with others.
func oneOf(refuse func(l *line, value string), words ...string) func(*line, string) string {
	return func(l *line, _ string) string {
		value := l.next()
		if !slices.Contains(words, value) && l.err == nil {
			refuse(l, value)
		}
		return value
	}
}

func handOn(l *line, value string) { l.unknownWord(value) }

func badDF(l *line, value string) { l.wrong(value, "DF must be 'unset', 'set' or 'inherit'") }

// asTunnelTOS takes a type of service, or "inherit".
func asTunnelTOS(l *line, _ string) string {
	if l.take("inherit") {
		return "inherit"
	}
	return hex0x(parseTOS(l, "bad TOS value"))
}

func hex0x(n int) string { return fmt.Sprintf("%#x", n) }

// asTTLOr takes a time to live, for which some words stand.
func asTTLOr(words map[string]string, why string) func(*line, string) string {
	return func(l *line, _ string) string {
		if value, ok := words[l.peek()]; ok {
			l.next()
			return value
		}
		return strconv.Itoa(l.number(0, math.MaxUint8, why))
	}
}

// asFlowLabel takes a flow label of 20 bits.
func asFlowLabel(l *line, _ string) string {
	return strconv.Itoa(l.number(0, 1<<20-1, "invalid flowlabel"))
}

// asVNI takes a virtual network's number of 24 bits.
func asVNI(l *line, _ string) string { return strconv.Itoa(l.number(0, 1<<24-1, "invalid id")) }

// asGREKey takes a key, as a number or an IPv4 address.
func asGREKey(l *line, word string) string {
	value := l.next()
	if a, err := netip.ParseAddr(value); err == nil && a.Is4() {
		b := a.As4()
		return strconv.Itoa(int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
	}
	n, ok := number(value, 0, math.MaxUint32)
	if !ok {
		l.unknownWord(value)
	}
	return strconv.Itoa(n)
}
