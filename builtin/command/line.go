package command

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A line is the rest of a command line that is being read. Its first error ends the reading: from then on there are no
// more words, so grammars need not look at it.
type line struct {
	words  []string
	family int // as -4 or -6 demand: 4, 6, or 0 for either
	layout
	seen  map[string]bool // words that may stand once
	early string          // a word that the real tool looks up while it still reads
	err   error
}

func (l *line) more() bool { return l.err == nil && len(l.words) > 0 }

// next takes the next word. At the end of the line it fails as iproute2 does.
func (l *line) next() string {
	if !l.more() {
		l.fail(statusUsage, "Command line is not complete. Try option \"help\"")
		return ""
	}
	word := l.words[0]
	l.words = l.words[1:]
	return word
}

// peek is the next word, "" at the end.
func (l *line) peek() string {
	if !l.more() {
		return ""
	}
	return l.words[0]
}

// take takes the next word if it is one of these.
func (l *line) take(words ...string) bool {
	if !l.more() || !slices.Contains(words, l.words[0]) {
		return false
	}
	l.words = l.words[1:]
	return true
}

// takeShort takes the next word if it is one of these or the beginning of one, as iproute2 lets words be cut short.
func (l *line) takeShort(words ...string) bool {
	begins := func(word string) bool { return strings.HasPrefix(word, l.words[0]) }
	if !l.more() || l.words[0] == "" || !slices.ContainsFunc(words, begins) {
		return false
	}
	l.words = l.words[1:]
	return true
}

// A choice is a word that decides what follows it. A nil grammar is a word that is not known here: it is among the choices
// so that no short word is taken for another one than iproute2 takes it for.
type choice struct {
	word    string
	grammar func(*line) action
}

// choose takes the next word, which may be cut short, and reads on as the first of the choices that begins with it.
func (l *line) choose(choices ...choice) action {
	for _, c := range choices {
		if c.grammar != nil && l.takeShort(c.word) {
			return c.grammar(l)
		}
		if c.grammar == nil && l.peek() != "" && strings.HasPrefix(c.word, l.peek()) {
			break
		}
	}
	l.unknown()
	return action{}
}

// twice ends the reading at a word that stood before, in this spelling or another: iproute2 has more than one way to take
// that. Otherwise it takes nothing.
func (l *line) twice(spellings ...string) bool {
	word := l.peek()
	if word == "" || !slices.Contains(spellings, word) {
		return false
	}
	if l.seen[spellings[0]] {
		l.unknown()
		return true
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[spellings[0]] = true
	return false
}

// elsewhere ends the reading when the next word is one of these, or the beginning of one: words that iproute2 knows and
// this package does not.
func (l *line) elsewhere(words ...string) bool {
	word := l.peek()
	if word == "" || !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, word) }) {
		return false
	}
	l.unknown()
	return true
}

// with is the grammar that reads an object for one verb.
func with(verb kernel.Verb, grammar func(*line, kernel.Verb) action) func(*line) action {
	return func(l *line) action { return grammar(l, verb) }
}

// unknown ends the reading at a word, the next one, that is not known here.
func (l *line) unknown() { l.unknownWord(l.peek()) }

func (l *line) unknownWord(word string) {
	if l.err == nil {
		l.err = unknown(word)
	}
}

// statusUsage is how iproute2 and net-tools answer most command lines that they do not understand.
const statusUsage = 255

// fail ends the reading. When an earlier word may be wrong too, the real tool knows which it complains of.
func (l *line) fail(status interp.ExitStatus, format string, args ...any) {
	if l.early != "" {
		l.unknownWord(l.early)
	}
	if l.err == nil {
		l.err = &failure{text: fmt.Sprintf(format, args...), status: status}
	}
}

// wrong refuses the value of an argument in iproute2's words, which in most places end in a newline of their own.
func (l *line) wrong(value, why string) {
	l.fail(statusUsage, "Error: argument %q is wrong: %s", value, why)
}

// number takes an unsigned number of the size, decimal, 0x hexadecimal or 0 octal; why tells what is wrong with others.
func (l *line) number(lowest, highest uint64, why string) int {
	word := l.next()
	n, ok := number(word, 0, highest)
	switch {
	case strings.HasPrefix(word, "-") || strings.HasPrefix(word, "+"): // C counts down from the greatest
		l.unknownWord(word)
	case !ok:
		l.wrong(word, why)
	case uint64(n) < lowest: // says what an object of ours cannot
		l.unknownWord(word)
	}
	return n
}

func number(text string, lowest, highest uint64) (int, bool) {
	// C knows no digits in groups, and no 0b and 0o.
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "0x"), "0X")
	var base int
	switch {
	case rest != text:
		base = 16
	case len(text) > 1 && text[0] == '0':
		base = 8
	default:
		base = 10
	}
	n, err := strconv.ParseUint(rest, base, 32)
	return int(n), err == nil && n >= lowest && n <= highest
}

// decimal reads a number as wg and coreutils do.
func decimal(text string, highest uint64) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n <= highest
}

// address takes an IP address of the family, or of any for 0.
func (l *line) address(family int) netip.Addr {
	word := l.next()
	a, err := netip.ParseAddr(word)
	switch {
	case err == nil && a.Zone() == "" && fits(a, family):
		return a
	case unclear(word) && family != 6, slices.Contains(anyWords, word), word != "" && strings.HasPrefix("help", word):
		l.unknownWord(word)
	default:
		l.fail(1, "Error: %s address is expected rather than %q.", familyName(family), word)
	}
	return netip.Addr{}
}

// prefix takes an IP prefix, host bits kept; without a length it is one address.
func (l *line) prefix(family int) netip.Prefix {
	word := l.next()
	addr, bits, hasBits := strings.Cut(word, "/")
	a, err := netip.ParseAddr(addr)
	if err == nil && a.Zone() == "" && fits(a, family) {
		n, ok := number(bits, 0, uint64(a.BitLen()))
		switch {
		case !hasBits:
			return netip.PrefixFrom(a, a.BitLen())
		case ok:
			return netip.PrefixFrom(a, n)
		case strings.ContainsAny(bits, ".:"): // a netmask
			l.unknownWord(word)
		}
	} else if unclear(addr) && family != 6 || slices.Contains(anyWords, word) || word != "" && strings.HasPrefix("help", word) {
		l.unknownWord(word)
	}
	l.fail(1, "Error: %s prefix is expected rather than %q.", familyName(family), word)
	return netip.Prefix{}
}

// anyWords are those for all addresses.
var anyWords = []string{"default", "any", "all"}

// unclear reports whether the text may mean an IPv4 address to iproute2 that it does not mean here, such as 10.1.
func unclear(text string) bool {
	return text != "" && '0' <= text[0] && text[0] <= '9' && strings.Trim(text, "0123456789.xXabcdefABCDEF") == ""
}

func fits(a netip.Addr, family int) bool { return family == 0 || family == familyOf(a) }

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

func familyName(family int) string {
	return map[int]string{0: "any valid", 4: "inet", 6: "inet6"}[family]
}

// mac takes a link-layer address of six bytes.
func (l *line) mac() kernel.MAC {
	word := l.next()
	m, bad := parseMAC(word)
	switch {
	case m != "" || l.err != nil:
	case bad != "" && !strings.Contains(word, ".") && !strings.ContainsAny(bad[:1], "0123456789abcdefABCDEF+- "): // C reads as far as it can
		l.fail(1, "%q is invalid lladdr.", bad)
	default:
		l.unknownWord(word)
	}
	return m
}

// parseMAC returns the address in lower case with two digits a byte, else "" and the part that is no byte, if any.
func parseMAC(text string) (m kernel.MAC, bad string) {
	parts := strings.Split(text, ":")
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return "", part
		}
		parts[i] = fmt.Sprintf("%02x", n)
	}
	if len(parts) != 6 {
		return "", ""
	}
	return kernel.MAC(strings.Join(parts, ":")), ""
}

// name takes the name of a link.
func (l *line) name() string {
	word := l.next()
	if word == "" || len(word) > 15 || strings.ContainsAny(word, "/ \t\n\v\f\r:") || word == "." || word == ".." {
		l.unknownWord(word)
	}
	return word
}
