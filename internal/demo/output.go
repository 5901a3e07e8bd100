package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overlayd/overlayd/internal/control"
)

// All that the demo says passes through this file. The rules: no line is longer than 80 columns, unless a config or a log
// makes it so; lines come in the order of events and are complete in themselves, so that they read well in a log file too;
// no colours. Only a terminal sees one line of progress in place, which the next line overwrites.

// A printer writes lines. It may be used concurrently.
type printer struct {
	mu    sync.Mutex
	w     io.Writer
	live  bool
	dirty bool // whether progress stands on the line
	start time.Time
}

func newPrinter(w io.Writer, live bool) *printer {
	return &printer{w: w, live: live, start: time.Now()}
}

// line writes a line.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// step writes a line about something that has just happened, with the time since the demo's start.
func (p *printer) step(format string, args ...any) {
	p.line("%6.2f s  %s", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// progress shows what is waited for, on a terminal.
func (p *printer) progress(format string, args ...any) {
	if !p.live {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintf(p.w, "          "+format+" ...", args...)
	p.dirty = true
}

func (p *printer) wipe() {
	if p.dirty {
		io.WriteString(p.w, "\r\x1b[K")
		p.dirty = false
	}
}

// widest is how many nodes a matrix of 80 columns has room for.
const widest = 9

// matrix is the table of round-trip times between the nodes of these numbers, in milliseconds. A pair without a time did
// not answer. For more nodes than 80 columns show, each row is summed up.
func matrix(numbers []int, times map[[2]int]time.Duration) string {
	if len(numbers) > widest {
		return summary(numbers, times)
	}
	var b strings.Builder
	b.WriteString("         ")
	for _, to := range numbers {
		fmt.Fprintf(&b, "%7s", fmt.Sprint("to ", to))
	}
	for _, from := range numbers {
		fmt.Fprintf(&b, "\n  node %-2d", from)
		for _, to := range numbers {
			cell := "none"
			if rtt, ok := times[[2]int{from, to}]; ok {
				cell = millis(rtt)
			} else if from == to {
				cell = "-"
			}
			fmt.Fprintf(&b, "%7s", cell)
		}
	}
	return b.String()
}

func summary(numbers []int, times map[[2]int]time.Duration) string {
	var b strings.Builder
	b.WriteString("            answered    least   median     most")
	for _, from := range numbers {
		var row []time.Duration
		for _, to := range numbers {
			if rtt, ok := times[[2]int{from, to}]; ok {
				row = append(row, rtt)
			}
		}
		slices.Sort(row)
		fmt.Fprintf(&b, "\n  node %-3d  %3d of %-3d", from, len(row), len(numbers)-1)
		if len(row) > 0 {
			fmt.Fprintf(&b, "%8s %8s %8s", millis(row[0]), millis(row[len(row)/2]), millis(row[len(row)-1]))
		}
	}
	return b.String()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

// hookLine sums up a node's hooks: how long each took the last time, and how often it ran.
func hookLine(uses []control.HookUse) string {
	var texts []string
	for _, u := range uses {
		digits := 1
		if u.Last.Took >= 0.1 {
			digits = 0
		}
		text := fmt.Sprintf("%s %.*f ms", u.Hook, digits, 1000*u.Last.Took)
		if u.Runs > 1 {
			text += fmt.Sprintf(" (last of %d)", u.Runs)
		}
		if u.Failures > 0 {
			text += fmt.Sprintf(" (%d failed)", u.Failures)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}
