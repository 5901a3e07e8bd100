package command

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A metricWord is how ip is told a metric of a route.
type metricWord struct {
	word     string
	short    bool // may be cut short
	lockable bool
	wrong    string // what ip calls it when it is wrong
	most     uint64
	time     bool
}

var metricWords = []metricWord{
	{word: "mtu", lockable: true, most: math.MaxUint32},
	{word: "hoplimit", lockable: true, most: 255},
	{word: "advmss", lockable: true, wrong: "mss", most: math.MaxUint32},
	{word: "reordering", short: true, lockable: true, most: math.MaxUint32},
	{word: "rtt", lockable: true, time: true},
	{word: "rto_min", time: true},
	{word: "window", short: true, lockable: true, most: math.MaxUint32},
	{word: "cwnd", short: true, lockable: true, most: math.MaxUint32},
	{word: "initcwnd", short: true, lockable: true, most: math.MaxUint32},
	{word: "initrwnd", short: true, lockable: true, most: math.MaxUint32},
	{word: "features", short: true},
	{word: "quickack", short: true, most: math.MaxUint32},
	{word: "congctl", short: true, lockable: true},
	{word: "rttvar", short: true, lockable: true, time: true},
	{word: "ssthresh", short: true, lockable: true, most: math.MaxUint32},
}

// metric takes a metric of a route.
func (p *routeParser) metric() bool {
	i := slices.IndexFunc(metricWords, func(m metricWord) bool {
		return p.take(m.word) || m.short && len(p.peek()) > 2 && p.takeShort(m.word)
	})
	if i < 0 {
		return false
	}
	m := metricWords[i]
	if p.seenMetric == nil {
		p.seenMetric = map[string]bool{}
	}
	if p.seenMetric[m.word] { // of which the kernel takes the last
		p.unknownWord(m.word)
	}
	p.seenMetric[m.word] = true
	if m.lockable && p.take("lock") || m.word == "rto_min" {
		p.say("lock "+m.word, "on")
	}
	wrong := fmt.Sprintf("%q value is invalid\n", cmp.Or(m.wrong, m.word))
	switch m.word {
	case "mtu":
		p.route.MTU = p.number(1, m.most, wrong)
	case "advmss":
		p.route.AdvMSS = p.number(1, m.most, wrong)
	case "congctl":
		p.say(m.word, p.next())
	case "features":
		if word := p.next(); word != "ecn" {
			p.wrong(word, "\"features\" value not valid\n")
		}
		p.say(m.word, "1")
	default:
		p.say(m.word, p.metricValue(m, wrong))
	}
	return true
}

// say sets a metric that has no field of its own.
func (p *routeParser) say(word, value string) {
	if p.route.Metrics == nil {
		p.route.Metrics = kernel.Options{}
	}
	p.route.Metrics[word] = value
}

// metricValue takes the value of a metric. Times without a unit are in the kernel's, which is left to the real tool.
func (p *routeParser) metricValue(m metricWord, wrong string) string {
	if !m.time {
		word := p.peek()
		n := p.number(0, m.most, wrong)
		if m.word == "quickack" && n > 1 {
			p.wrong(word, "\"quickack\" value should be 0 or 1\n")
		}
		return strconv.Itoa(n)
	}
	word := p.next()
	digits, unit := word, 0
	for suffix, times := range map[string]int{"ms": 1, "msec": 1, "msecs": 1, "s": 1000, "sec": 1000, "secs": 1000} {
		if rest, ok := strings.CutSuffix(word, suffix); ok && strings.Trim(rest, "0123456789") == "" && rest != "" {
			digits, unit = rest, times
		}
	}
	n, ok := decimal(digits, math.MaxInt32/8000)
	if !ok || unit == 0 && m.word != "rto_min" {
		p.unknownWord(word)
	}
	return strconv.Itoa(n * max(unit, 1))
}

// parseTOS takes a type of service: a name, or a number in hexadecimal.
func parseTOS(l *line, why string) int {
	word := l.next()
	for number, name := range tosNames.read() {
		if name == word {
			return number
		}
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(word, "0x"), "0X"), 16, 8)
	switch {
	case err == nil:
	case strings.HasPrefix(word, "-") || strings.HasPrefix(word, "+"):
		l.unknownWord(word)
	default:
		l.wrong(word, why)
	}
	return int(n)
}

// parseRealms takes "TO" or "FROM/TO", by number or name.
func parseRealms(l *line) int {
	word := l.next()
	from, to, both := strings.Cut(word, "/")
	if !both {
		from, to = "0", word
	}
	f, okFrom := realmNames.number(from)
	t, okTo := realmNames.number(to)
	if !okFrom || !okTo || f > math.MaxUint16 || t > math.MaxUint16 || f+t == 0 {
		l.unknownWord(word)
	}
	return f<<16 | t
}
