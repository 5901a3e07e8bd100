package control

import (
	"fmt"
	"html"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A Graph is the overlay as this node sees it: the node, and each peer with its state.
type Graph struct {
	Status Status
	Trips  map[netip.Prefix]time.Duration // round-trip times to peers, by subnet, where they were measured
}

// label names a peer.
func label(p Peer) string {
	if len(p.Paths) == 0 || !p.Paths[0].Subnet.IsValid() {
		return "?"
	}
	return p.Paths[0].Subnet.String()
}

// trip is the round-trip time to a peer in words, "" where it was not measured.
func (g Graph) trip(p Peer) string {
	for _, path := range p.Paths {
		if t, ok := g.Trips[path.Subnet]; ok {
			return milliseconds(t.Seconds())
		}
	}
	if p.Reach != nil && p.Reach.SilentSince.IsZero() {
		return milliseconds(p.Reach.RoundTrip)
	}
	return ""
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.2f ms", seconds*1000) }

func (g Graph) own() string {
	for _, p := range g.Status.Node.Paths {
		if p.Subnet.IsValid() {
			return p.Subnet.String()
		}
	}
	return "this node"
}

// DOT writes the graph in the language of Graphviz.
func (g Graph) DOT(w io.Writer) error {
	var b strings.Builder
	b.WriteString("graph overlay {\n\tlayout=neato\n\toverlap=false\n\tnode [shape=box]\n")
	fmt.Fprintf(&b, "\tself [label=%s, style=bold]\n", strconv.Quote(g.own()+"\n"+string(g.Status.Health.State)))
	for i, p := range g.Status.Peers {
		fmt.Fprintf(&b, "\tpeer%d [label=%s]\n", i, strconv.Quote(label(p)+"\n"+string(p.State)))
		style := "solid"
		if p.State != "up" {
			style = "dashed"
		}
		fmt.Fprintf(&b, "\tself -- peer%d [style=%s, label=%s]\n", i, style, strconv.Quote(g.trip(p)))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// SVG writes the graph as a picture that can be a part of an HTML page, or a file of its own. Its look is that of classes by the
// states' names, for a style sheet; without one it is black and grey.
func (g Graph) SVG(w io.Writer) error {
	const (
		perRing = 16
		width   = 900
		gap     = 130 // from one ring to the next
		dot     = 9
	)
	rings := max(1, (len(g.Status.Peers)+perRing-1)/perRing)
	height := 2*(100+gap*rings/2) + 60
	centre := [2]float64{width / 2, float64(height) / 2}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s, %d peers">`+"\n",
		width, height, html.EscapeString(g.own()), len(g.Status.Peers))
	for i, p := range g.Status.Peers {
		ring, place := i/perRing, i%perRing
		inRing := min(perRing, len(g.Status.Peers)-ring*perRing)
		radius := 100 + gap*float64(ring)/2
		angle := 2*math.Pi*(float64(place)+0.5*float64(ring%2))/float64(inRing) - math.Pi/2
		x, y := centre[0]+radius*2.6*math.Cos(angle), centre[1]+radius*math.Sin(angle)
		title := strings.Trim(string(p.State)+": "+p.Error, ": ")
		fmt.Fprintf(&b, `<g class="%s"><title>%s</title><line x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f" stroke="grey"/>`,
			stateWord(p), html.EscapeString(printable(label(p)+" "+title)), centre[0], centre[1], x, y)
		fmt.Fprintf(&b, `<circle cx="%.0f" cy="%.0f" r="%d"/><text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`,
			x, y, dot, x, y+24, html.EscapeString(label(p)))
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text></g>`+"\n",
			x, y+38, html.EscapeString(strings.TrimSpace(string(p.State)+" "+g.trip(p))))
	}
	fmt.Fprintf(&b, `<g class="self %s"><circle cx="%.0f" cy="%.0f" r="%d"/><text x="%.0f" y="%.0f" text-anchor="middle">%s</text></g>`+"\n",
		g.Status.Health.State, centre[0], centre[1], dot+5, centre[0], centre[1]+30, html.EscapeString(g.own()))
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// stateWord is a peer's state as one word.
func stateWord(p Peer) string { return strings.ReplaceAll(string(p.State), " ", "-") }
