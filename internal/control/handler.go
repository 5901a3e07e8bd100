package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// writePatience is how long a client may take to read what it asked for.
const writePatience = 10 * time.Second

// socketHandler answers for the state to those who may use the control socket. What hooks printed is theirs alone, and so
// are where the daemon's certificates are and what costs a request to etcd.
func socketHandler(state *State) http.Handler {
	mux := newMux(state)
	mux.HandleFunc("GET /v1/hooks", asJSON(func() any { return state.HookLog() }))
	mux.HandleFunc("GET /v1/etcd", asJSON(func() any { return state.facts.Etcd }))
	mux.HandleFunc("GET /v1/lease", state.serveLease)
	return mux
}

// newMux answers for the state to everybody. Nothing can be changed by it.
func newMux(state *State) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", asJSON(func() any { return state.Snapshot() }))
	mux.HandleFunc("GET /v1/events", state.serveEvents)
	mux.HandleFunc("GET /v1/effects", state.serveEffects)
	mux.HandleFunc("GET /{$}", state.servePage)
	mux.HandleFunc("GET /peer", state.servePage)
	mux.HandleFunc("GET /style.css", pageFile("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /script.js", pageFile("script.js", "text/javascript; charset=utf-8"))
	mux.Handle("GET /metrics", state.metrics.handler())
	mux.HandleFunc("GET /healthz", state.serveHealth(func(h Health) bool { return h.Live }))
	mux.HandleFunc("GET /readyz", state.serveHealth(func(h Health) bool { return h.Live && h.Ready }))
	return mux
}

// asJSON sends what the function returns as JSON.
func asJSON(what func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(what()) // an error means that the client is gone
	}
}

// serveHealth answers 200 if the health is good, else 503, and in both cases with the status in one line.
func (s *State) serveHealth(good func(Health) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status, peers := s.outline()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if !good(status.Health) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, status.brief(peers))
	}
}

// serveEvents sends events as JSON, one a line: those after the number in the query's "after", 0 for all that are remembered,
// and with "follow" all that come, until the client goes.
func (s *State) serveEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number, err := strconv.ParseUint(query.Get("after"), 10, 64)
	if err != nil && query.Has("after") {
		http.Error(w, "after is not a number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	controller, enc := http.NewResponseController(w), json.NewEncoder(w)
	for {
		list, more := s.events.after(number)
		for _, e := range list {
			number = e.Number
			if enc.Encode(e) != nil {
				return
			}
		}
		if !query.Has("follow") || controller.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		}
		if controller.SetWriteDeadline(time.Now().Add(writePatience)) != nil {
			return
		}
	}
}
