package control

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/screen"
)

// Widths of what stands at the left of a line.
const (
	labelWidth = 12
	noteIndent = 4
)

// Text writes the status for a person: this node, then a table of its peers, each that is not up with what is wrong. With colours,
// those of a terminal, the states are in them. Everything that others wrote is printed quoted unless it is printable.
func (s Status) Text(w io.Writer, now time.Time, colours bool) error {
	var b bytes.Buffer
	paint := func(_, text string) string { return text }
	if colours {
		paint = coloured
	}
	s.writeNode(&b, now, paint)
	if len(s.Peers) > 0 {
		b.WriteByte('\n')
		s.writePeers(&b, now, paint)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// coloured is the text in the colour of a state, a node's or a peer's: green, red where something is wrong, else yellow.
func coloured(state, text string) string {
	colour := 33
	switch state {
	case string(OK), string(hooks.PeerUp):
		colour = 32
	case string(Stuck), string(hooks.PeerRetrying), string(hooks.PeerSetAside), string(hooks.PeerUnreachable), string(hooks.PeerLeftOver):
		colour = 31
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

func (s Status) writeNode(b *bytes.Buffer, now time.Time, paint func(state, text string) string) {
	n := s.Node
	state := fmt.Sprintf("%s for %s", n.State, Span(now.Sub(n.Since)))
	if n.State == "" {
		state = "no network config yet"
	}
	writeField(b, "node", fmt.Sprintf("%s (overlayd %s, pid %d, started %s ago)", state, printable(s.Daemon.Version), s.Daemon.PID, Span(now.Sub(s.Daemon.Started))))
	writeField(b, "health", paint(string(s.Health.State), string(s.Health.State))) // other lines say why
	writeField(b, "", problem(n.Error, n.NextTry, now, screen.Columns-labelWidth))
	for i, p := range n.Paths {
		if p.Subnet.IsValid() {
			writeField(b, "subnet", p.Subnet.String()+of(n, p))
		}
		said := i > 0 && n.Paths[i-1].PublicIP == p.PublicIP // both subnets are reached there
		if p.PublicIP.IsValid() && !said {
			writeField(b, "public IP", p.PublicIP.String()+prefixed(" on ", printable(n.Interface))+by(n))
		}
	}
	writeField(b, "backend", backendText(s))
	writeField(b, "etcd", printable(strings.Join(s.Etcd.Endpoints, " ")))
	writeField(b, "", printable(s.Etcd.Problem))
	if s.Config.Revision > 0 {
		writeField(b, "config", fmt.Sprintf("revision %d", s.Config.Revision))
	}
	if c := s.Config.Canary; c != nil {
		writeField(b, "canary", printable(c.String()))
	}
	writeField(b, "problem", printable(s.Config.Problem))
	writeField(b, "peers", s.countPeers())
	if u := s.Unreadable; u.Count > 0 {
		text := fmt.Sprintf("%d of the keys among the leases", u.Count)
		if len(u.First) > 0 {
			text += fmt.Sprintf(", as %s: %s", strconv.Quote(u.First[0].Key), printable(u.First[0].Error))
		}
		writeField(b, "unreadable", text)
	}
}

// of names the network that the path's subnet is a part of.
func of(n Node, p Path) string {
	for _, network := range n.Networks {
		if network.Contains(p.Subnet.Addr()) {
			return " of " + network.String()
		}
	}
	return ""
}

// by says what chose the interface.
func by(n Node) string {
	if n.InterfaceBy == "" {
		return ""
	}
	return " (" + printable(n.InterfaceBy) + ")"
}

func backendText(s Status) string {
	text := printable(s.Config.Backend)
	if s.Node.MTU > 0 {
		text += fmt.Sprintf(", MTU %d", s.Node.MTU)
	}
	switch s.Node.WireGuard {
	case "kernel":
		text += ", WireGuard in the kernel"
	case "userspace":
		text += ", WireGuard in this process"
	}
	if s.Node.Masquerade {
		text += ", masquerading"
	}
	return text
}

// peerStates are all of them, the best first.
var peerStates = [...]hooks.PeerState{
	hooks.PeerUp, hooks.PeerPending, hooks.PeerRetrying, hooks.PeerSetAside, hooks.PeerUnreachable, hooks.PeerRepairing,
	hooks.PeerRemoving, hooks.PeerLeftOver,
}

// countPeers says how many peers there are in each state.
func (s Status) countPeers() string {
	text := strconv.Itoa(len(s.Peers))
	separator := ": "
	peers := s.census()
	for _, state := range peerStates {
		if n := peers[state]; n > 0 {
			text += fmt.Sprintf("%s%d %s", separator, n, state)
			separator = ", "
		}
	}
	return text
}

func (s Status) writePeers(b *bytes.Buffer, now time.Time, paint func(state, text string) string) {
	const stateColumn = 2
	rows := [][]string{{"SUBNET", "PUBLIC IP", "STATE", "AGE", "LAST HOOK"}}
	for _, p := range s.Peers {
		rows = append(rows, peerRow(p, now))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		var line strings.Builder
		for c, cell := range row {
			text := fmt.Sprintf("%-*s", widths[c], cell)
			if i > 0 && c == stateColumn {
				text = paint(cell, text)
			}
			line.WriteString(text + "  ")
		}
		fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
		if i > 0 {
			writeNotes(b, s.Peers[i-1], now)
		}
	}
}

// peerRow is a peer's line in the table, with the first of its address families.
func peerRow(p Peer, now time.Time) []string {
	var subnet, publicIP, last string
	if len(p.Paths) > 0 {
		subnet, publicIP = p.Paths[0].Subnet.String(), address(p.Paths[0])
	}
	if p.LastHook != nil {
		last = fmt.Sprintf("%s %s", printable(string(p.LastHook.Hook)), Duration(p.LastHook.Took))
	}
	return []string{subnet, publicIP, printable(string(p.State)), Span(now.Sub(p.Since)), last}
}

// writeNotes writes what stands below a peer's line: its other address family, and what is wrong with it.
func writeNotes(b *bytes.Buffer, p Peer, now time.Time) {
	for _, path := range p.Paths[min(1, len(p.Paths)):] {
		fmt.Fprintf(b, "%*s%s%s\n", noteIndent, "", path.Subnet, prefixed(" at ", address(path)))
	}
	cause := p.Error
	if p.LastHook != nil { // which the line above says
		cause = strings.TrimPrefix(cause, fmt.Sprintf("%s %s: ", p.LastHook.Hook, p.LastHook.Scope))
	}
	if text := problem(cause, p.NextTry, now, screen.Columns-noteIndent); text != "" && p.State != hooks.PeerUp {
		fmt.Fprintf(b, "%*s%s\n", noteIndent, "", text)
	}
}

func address(p Path) string {
	if !p.PublicIP.IsValid() {
		return ""
	}
	return p.PublicIP.String()
}

// writeField writes a label and its value, broken between words where it is long. It writes nothing without a value.
func writeField(b *bytes.Buffer, label, value string) {
	words := strings.Fields(value)
	for i, word := range words {
		words[i] = shorten(word, screen.Columns-labelWidth)
	}
	b.WriteString(screen.Field(labelWidth, label, strings.Join(words, " ")))
}
