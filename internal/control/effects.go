package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/hooks"
)

// errNoEffects says that nobody knows what was made.
var errNoEffects = errors.New("this daemon does not know what hooks have made")

// Effects returns what was made for the scope, hooks.NodeScope or a peer's subnets, and by which run of a hook.
func (s *State) Effects(ctx context.Context, scope string) ([]Effect, error) {
	if s.facts.Effects == nil {
		return nil, errNoEffects
	}
	effects, err := s.facts.Effects(ctx, scope)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range effects {
		effects[i].MadeBy = s.maker(scope, effects[i].Command)
	}
	return append([]Effect{}, effects...), nil
}

// maker is the run that made an object. Runs of commands say what they did. A built-in backend does not, and what a scope has is of
// its last run there.
func (s *State) maker(scope, command string) *HookRun {
	entries := s.hookLog.all()
	for _, e := range slices.Backward(entries) {
		if e.Scope == scope && e.Error == "" && slices.ContainsFunc(e.Effects, func(did string) bool { return makes(did, command) }) {
			return &e.HookRun
		}
	}
	if s.reports {
		return nil
	}
	last := s.hooks[hooks.PostStartup].Last
	if run := s.peers[scope].Last; scope != hooks.NodeScope && run.Hook != "" {
		last = hookRun(run)
	}
	if last.Scope != scope || last.Error != "" || last.Hook == hooks.SubnetRemove {
		return nil
	}
	return &last
}

// makes reports whether a command that was carried out makes what the other one does, which adds it.
func makes(did, adds string) bool {
	if did == adds {
		return true
	}
	words, want := strings.Fields(did), strings.Fields(adds)
	return len(words) == len(want) && len(words) > 2 && slices.Contains([]string{"replace", "append", "change"}, words[2]) &&
		slices.Equal(words[:2], want[:2]) && slices.Equal(words[3:], want[3:])
}

// serveEffects sends what was made for the scope in the query.
func (s *State) serveEffects(w http.ResponseWriter, r *http.Request) {
	effects, err := s.Effects(r.Context(), r.URL.Query().Get("scope"))
	reply(w, effects, err)
}

// serveLease sends what etcd holds of the lease with the subnet in the query.
func (s *State) serveLease(w http.ResponseWriter, r *http.Request) {
	subnet, err := netip.ParsePrefix(r.URL.Query().Get("subnet"))
	switch {
	case s.facts.Record == nil:
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		record, err := s.facts.Record(r.Context(), subnet)
		reply(w, record, err)
	}
}

// reply sends a value as JSON, or what went wrong.
func reply(w http.ResponseWriter, value any, err error) {
	switch {
	case errors.Is(err, errNoEffects):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // an error means that the client is gone
	}
}
