package command

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A count is one counter: JSON's word for it, the head of its column, and its value.
type count struct {
	key, head string
	value     uint64
}

// A way is one direction of a link's traffic. Counters without a head have no column, those without a key are not in JSON.
type way struct {
	key, head    string
	main, errors []count
}

func ways(d *kernel.Details) [2]way {
	c := d.Counters
	return [2]way{
		{"rx", "RX", []count{
			{"bytes", "bytes", c.RxBytes}, {"packets", "packets", c.RxPackets}, {"errors", "errors", c.RxErrors},
			{"dropped", "dropped", c.RxDropped}, {"over_errors", "", c.RxOver}, {"", "missed", c.RxMissed}, {"multicast", "mcast", c.Multicast},
		}, []count{
			{"length_errors", "length", c.RxLength}, {"crc_errors", "crc", c.RxCRC}, {"frame_errors", "frame", c.RxFrame},
			{"fifo_errors", "fifo", c.RxFIFO}, {"missed_errors", "", c.RxMissed}, {"", "overrun", c.RxOver},
		}},
		{"tx", "TX", []count{
			{"bytes", "bytes", c.TxBytes}, {"packets", "packets", c.TxPackets}, {"errors", "errors", c.TxErrors},
			{"dropped", "dropped", c.TxDropped}, {"carrier_errors", "carrier", c.TxCarrier}, {"collisions", "collsns", c.Collisions},
		}, []count{
			{"aborted_errors", "aborted", c.TxAborted}, {"fifo_errors", "fifo", c.TxFIFO}, {"window_errors", "window", c.TxWindow},
			{"heartbeat_errors", "heartbt", c.TxHeartbeat}, {"carrier_changes", "transns", uint64(d.CarrierChanges)},
		}},
	}
}

// counters prints what went through a link.
func (s *sheet) counters(d *kernel.Details) {
	both := ways(d)
	if s.json {
		s.object("stats64", func() {
			for _, w := range both {
				s.object(w.key, func() { s.wayKeys(w) })
			}
		})
		return
	}
	widths := s.countWidths(both)
	for i, w := range both {
		s.wayColumns(w, widths)
		if i == 0 {
			s.text("%s", s.end())
		}
	}
}

func (s *sheet) wayKeys(w way) {
	counts := w.main
	if s.stats > 1 {
		counts = append(counts, w.errors...)
	}
	for _, c := range counts {
		if c.key != "" {
			s.say(c.key, c.value, "")
		}
	}
}

// The least widths of the columns, those of "*X errors:", "packets", "errors", "dropped", "heartbt", "overrun" and
// "compressed".
var leastWidths = []int{10, 7, 6, 7, 7, 7, 10}

func (s *sheet) countWidths(both [2]way) []int {
	widths := append([]int(nil), leastWidths...)
	widen := func(at int, counts []count) {
		for _, c := range counts {
			if c.head != "" {
				widths[at] = max(widths[at], len(strconv.FormatUint(c.value, 10)))
				at++
			}
		}
	}
	for i, w := range both {
		widen(0, w.main)
		if s.stats > 1 {
			widen(1+i, w.errors) // of what is sent one column further than it is printed
		}
	}
	return widths
}

func (s *sheet) wayColumns(w way, widths []int) {
	var heads, values strings.Builder
	at := 0
	for _, c := range w.main {
		if c.head == "" {
			continue
		}
		width := widths[at]
		fmt.Fprintf(&values, "%*d ", width, c.value)
		if at == 0 {
			width -= 4
		}
		fmt.Fprintf(&heads, "%*s ", width, c.head)
		at++
	}
	s.text("    %s: %s%*s%s    %s", w.head, heads.String(), widths[6], "", s.end(), values.String())
	if s.stats < 2 {
		return
	}
	heads.Reset()
	values.Reset()
	at = 1
	for _, c := range w.errors {
		if c.head == "" {
			continue
		}
		fmt.Fprintf(&heads, " %*s", widths[at], c.head)
		fmt.Fprintf(&values, "%*d ", widths[at], c.value)
		at++
	}
	s.text("%s    %s errors:%*s%s%s%*s%s", s.end(), w.head, widths[0]-10, "", heads.String(), s.end(), widths[0]+5, "", values.String())
}
