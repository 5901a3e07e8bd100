package control

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

//go:embed page
var pageFiles embed.FS

// pageEvents is how many events a page has when it is loaded.
const pageEvents = 50

// A page is what its template knows.
type page struct {
	Title, Brief string
	Now          time.Time
	Status       Status
	Picture      template.HTML
	Events       []Event // the newest first
	After        uint64  // the newest's number

	Peer         *Peer // nil on the page of the node
	Effects      []Effect
	EffectsError string
}

// pageTemplate makes pages for the time now.
func pageTemplate(now time.Time) *template.Template {
	words := template.FuncMap{
		"since": func(t time.Time) string { return Span(now.Sub(t)) },
		"took":  Duration,
		"trip":  milliseconds,
		"clock": func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
		"name":  label,
		"word":  func(s hooks.PeerState) string { return strings.ReplaceAll(string(s), " ", "-") },
	}
	return template.Must(template.New("page.html").Funcs(words).ParseFS(pageFiles, "page/page.html"))
}

// newPage is the page of the node.
func newPage(g Graph, events []Event, now time.Time) (page, error) {
	var picture bytes.Buffer
	if err := g.SVG(&picture); err != nil {
		return page{}, err
	}
	p := page{Title: "overlayd on " + g.own(), Brief: g.Status.Brief(), Now: now, Status: g.Status, Picture: template.HTML(picture.String())} // escaped by SVG
	if len(events) > 0 {
		p.After = events[len(events)-1].Number
	}
	p.Events = slices.Clone(events[max(0, len(events)-pageEvents):])
	slices.Reverse(p.Events)
	return p, nil
}

// HTML writes the graph as a page that is complete in itself: with a style sheet, and nothing that it would have to load.
func (g Graph) HTML(w io.Writer, now time.Time) error {
	p, err := newPage(g, nil, now)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := pageTemplate(now).Execute(&text, p); err != nil {
		return err
	}
	style, err := pageFiles.ReadFile("page/style.css")
	if err != nil {
		return err
	}
	whole := strings.NewReplacer(
		`<link rel="stylesheet" href="style.css">`, "<style>\n"+string(style)+"</style>",
		`<script src="script.js" defer></script>`+"\n", "",
	)
	_, err = whole.WriteString(w, text.String())
	return err
}

// servePage answers with a page of the node, or of the peer whose subnet is in the query.
func (s *State) servePage(w http.ResponseWriter, r *http.Request) {
	events, _ := s.events.after(0)
	status, now := s.Snapshot(), time.Now()
	p, err := newPage(Graph{Status: status}, events, now)
	if err == nil && r.URL.Path == "/peer" {
		if !s.fillPeer(r, &p) {
			http.NotFound(w, r)
			return
		}
	}
	var text bytes.Buffer
	if err == nil {
		err = pageTemplate(now).Execute(&text, p)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text.Bytes()) // an error means that the client is gone
}

// fillPeer makes the page that of the peer in the query, and reports whether there is one.
func (s *State) fillPeer(r *http.Request, p *page) bool {
	subnet, err := netip.ParsePrefix(r.URL.Query().Get("subnet"))
	if err != nil {
		return false
	}
	i := slices.IndexFunc(p.Status.Peers, func(peer Peer) bool {
		return slices.ContainsFunc(peer.Paths, func(path Path) bool { return path.Subnet == subnet })
	})
	if i < 0 {
		return false
	}
	p.Peer = &p.Status.Peers[i]
	p.Title = "overlayd: peer " + label(*p.Peer)
	effects, err := s.Effects(r.Context(), Lease(p.Peer.Paths).String())
	if !errors.Is(err, errNoEffects) {
		p.Effects, p.EffectsError = effects, errText(err)
	}
	return true
}

func pageFile(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(text) // an error means that the client is gone
	}
}
