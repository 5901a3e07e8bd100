package control

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/overlayd/overlayd/internal/screen"
)

// An Event is one thing that happened to the daemon. Its JSON keys are lowerCamel and stable.
type Event struct {
	Number  uint64    `json:"number"` // counts up from 1 while the daemon runs
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`
	Subject string    `json:"subject,omitzero"` // the peer's subnets or "node", where it is about one
	Text    string    `json:"text"`
	Error   string    `json:"error,omitzero"`
}

// An EventKind is what an Event is about.
type EventKind string

// The kinds of events.
const (
	NodeEvent   EventKind = "node"   // this node does something else
	PeerEvent   EventKind = "peer"   // a peer's state is another, or it has gone
	HookEvent   EventKind = "hook"   // a hook has run
	ConfigEvent EventKind = "config" // the network config in use, or why another is not
	EtcdEvent   EventKind = "etcd"   // whether etcd answers
	LeaseEvent  EventKind = "lease"  // what stands among the leases and is none
	LostEvent   EventKind = "lost"   // events that the reader was too slow for
)

// kept is how many events are remembered.
const kept = 1000

// events are the last of them. The zero value has none.
type events struct {
	mu      sync.Mutex
	ring    []Event       // the newest is number count, at (count-1) modulo kept
	count   uint64        // of all that there were
	changed chan struct{} // closed at the next event; nil while nobody waits
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Number, ev.Time = e.count+1, time.Now()
	if len(e.ring) < kept {
		e.ring = append(e.ring, ev)
	} else {
		e.ring[e.count%kept] = ev
	}
	e.count++
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// after returns what came after the event of that number, and a channel that is closed when there is more. Where older ones
// are forgotten already, an event of the kind LostEvent stands for them.
func (e *events) after(number uint64) (list []Event, more <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.count - uint64(len(e.ring)) // the last that is forgotten
	if number > e.count {
		number = e.count
	}
	if number < first {
		if number > 0 {
			list = append(list, Event{Number: first, Time: time.Now(), Kind: LostEvent, Text: fmt.Sprintf("%d events", first-number)})
		}
		number = first
	}
	for n := number; n < e.count; n++ {
		list = append(list, e.ring[n%kept])
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return list, e.changed
}

// WriteText writes the event as a line for people and for programs that read lines.
func (e Event) WriteText(w io.Writer) error {
	head, text := e.words()
	_, err := fmt.Fprintf(w, "%s  %s\n", head, text)
	return err
}

// WriteScreen writes the event for a terminal: in a line where it has room there, else with what happened below.
func (e Event) WriteScreen(w io.Writer) error {
	head, text := e.words()
	if utf8.RuneCountInString(head+"  "+text) <= screen.Columns {
		return e.WriteText(w)
	}
	_, err := io.WriteString(w, screen.Line(0, "", strings.TrimRight(head, " "))+screen.Field(4, "", text))
	return err
}

// words are when it happened to whom, and what.
func (e Event) words() (head, text string) {
	subject := e.Subject
	if subject == "" {
		subject = "-"
	}
	text = printable(e.Text)
	if e.Error != "" {
		text += ": " + printable(e.Error)
	}
	return fmt.Sprintf("%s  %-6s  %-18s", e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.Kind, printable(subject)), text
}
