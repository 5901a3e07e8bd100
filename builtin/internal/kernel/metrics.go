package kernel

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A RouteMetric is one metric of a route. Locked ones stay whatever is found out on the way.
type RouteMetric struct {
	Word, Value string
	Locked      bool
}

// metrics are the metrics of routes, in the order of their numbers. What ip tells in milliseconds the kernel has in parts
// of them.
var metrics = []struct {
	number int
	word   string
	parts  int
}{
	{unix.RTAX_MTU, "mtu", 1}, {unix.RTAX_WINDOW, "window", 1}, {unix.RTAX_RTT, "rtt", 8}, {unix.RTAX_RTTVAR, "rttvar", 4},
	{unix.RTAX_SSTHRESH, "ssthresh", 1}, {unix.RTAX_CWND, "cwnd", 1}, {unix.RTAX_ADVMSS, "advmss", 1},
	{unix.RTAX_REORDERING, "reordering", 1}, {unix.RTAX_HOPLIMIT, "hoplimit", 1}, {unix.RTAX_INITCWND, "initcwnd", 1},
	{unix.RTAX_FEATURES, "features", 1}, {unix.RTAX_RTO_MIN, "rto_min", 1}, {unix.RTAX_INITRWND, "initrwnd", 1},
	{unix.RTAX_QUICKACK, "quickack", 1}, {unix.RTAX_CC_ALGO, "congctl", 0}, {unix.RTAX_FASTOPEN_NO_COOKIE, "fastopen_no_cookie", 1},
}

// RouteMetrics are all metrics of the route.
func RouteMetrics(r Route) (list []RouteMetric) {
	if r.Metrics == nil && r.MTU == 0 && r.AdvMSS == 0 {
		return nil
	}
	for _, m := range metrics {
		value := r.Metrics[m.word]
		switch {
		case m.word == "mtu" && r.MTU != 0:
			value = strconv.Itoa(r.MTU)
		case m.word == "advmss" && r.AdvMSS != 0:
			value = strconv.Itoa(r.AdvMSS)
		}
		locked := r.Metrics["lock "+m.word] == "on"
		if value != "" || locked {
			list = append(list, RouteMetric{m.word, value, locked})
		}
	}
	return list
}

// metricAttrs are the metrics as attributes.
func (r *Route) metricAttrs() (a attrs, err error) {
	locks := 0
	for _, said := range RouteMetrics(*r) {
		for _, m := range metrics {
			if m.word != said.Word {
				continue
			}
			if said.Locked {
				locks |= 1 << m.number
			}
			if m.parts == 0 {
				a.text(m.number, said.Value)
				continue
			}
			n, err := strconv.ParseUint(said.Value, 0, 32)
			if err != nil {
				return nil, err
			}
			a.u32(m.number, int(n)*m.parts)
		}
	}
	if locks != 0 {
		a.u32(unix.RTAX_LOCK, locks)
	}
	return a, nil
}

// readMetrics reads what the kernel says of metrics, and returns one that is not known here, "" for none.
func (r *Route) readMetrics(b []byte) (unknown string) {
	visit(b, func(kind int, value []byte) {
		known := kind == unix.RTAX_LOCK
		for _, m := range metrics {
			switch {
			case kind == unix.RTAX_LOCK && number(value)&(1<<m.number) != 0:
				r.Metrics = r.Metrics.with(Options{"lock " + m.word: "on"})
			case kind != m.number:
			case m.number == unix.RTAX_MTU:
				r.MTU, known = number(value), true
			case m.number == unix.RTAX_ADVMSS:
				r.AdvMSS, known = number(value), true
			case m.parts == 0:
				r.Metrics, known = r.Metrics.with(Options{m.word: strings.TrimRight(string(value), "\x00")}), true
			case m.number == unix.RTAX_HOPLIMIT && int32(number(value)) == -1: // none
				known = true
			default:
				r.Metrics, known = r.Metrics.with(Options{m.word: strconv.Itoa(number(value) / m.parts)}), true
			}
		}
		if !known {
			unknown = "metric " + strconv.Itoa(kind)
		}
	})
	return unknown
}
