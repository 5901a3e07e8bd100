package control

import (
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

func TestAPeerThatAnsweredAndDoesNotAnyMoreIsUnreachable(t *testing.T) {
	t.Parallel()
	const (
		nothing  = "-"
		underlay = "u"
		tunnel   = "ut"
		bridge   = "uto"
		inside   = "t" // the underlay lets no ping pass
	)
	answers := func(layers string) (a Answers) {
		if strings.Contains(layers, "u") {
			a.Underlay = time.Millisecond
		}
		if strings.Contains(layers, "t") {
			a.Tunnel = 2 * time.Millisecond
		}
		if strings.Contains(layers, "o") {
			a.Overlay = 3 * time.Millisecond
		}
		return a
	}
	rounds := func(layers string, n int) []string { return strings.Split(strings.Repeat(layers+" ", n-1)+layers, " ") }
	then := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for name, tt := range map[string]struct {
		tunnels bool
		rounds  []string
		want    hooks.PeerState
		events  string // unreachable (!) and answering again (+)
	}{
		"never asked":                           {true, nil, hooks.PeerUp, ""},
		"never answers":                         {true, rounds(nothing, 9), hooks.PeerUp, ""},
		"answers":                               {true, rounds(tunnel, 9), hooks.PeerUp, ""},
		"is silent twice":                       {true, then(rounds(tunnel, 1), rounds(nothing, 2)), hooks.PeerUp, ""},
		"is silent twice, and twice":            {true, then(rounds(tunnel, 1), rounds(nothing, 2), rounds(tunnel, 1), rounds(nothing, 2)), hooks.PeerUp, ""},
		"is gone":                               {true, then(rounds(tunnel, 1), rounds(nothing, 3)), hooks.PeerUnreachable, "!"},
		"is back":                               {true, then(rounds(tunnel, 1), rounds(nothing, 5), rounds(tunnel, 1)), hooks.PeerUp, "!+"},
		"its tunnel is broken":                  {true, then(rounds(tunnel, 1), rounds(underlay, 3)), hooks.PeerUnreachable, "!"},
		"its tunnel never worked":               {true, rounds(underlay, 3), hooks.PeerUnreachable, "!"},
		"it has no bridge":                      {false, rounds(underlay, 9), hooks.PeerUp, ""},
		"its bridge is gone":                    {false, then(rounds("uo", 1), rounds(underlay, 9)), hooks.PeerUp, ""},
		"its bridge is gone, and there is more": {false, then(rounds(bridge, 1), rounds(tunnel, 9)), hooks.PeerUp, ""},
		"is gone, without a tunnel":             {false, then(rounds(underlay, 1), rounds(nothing, 3)), hooks.PeerUnreachable, "!"},
		"the underlay takes no pings":           {true, rounds(inside, 9), hooks.PeerUp, ""},
		"and then nothing passes":               {true, then(rounds(inside, 1), rounds(nothing, 3)), hooks.PeerUnreachable, "!"},
	} {
		s := NewState(Facts{})
		const peer = "10.50.1.0/24"
		observePeer(s, peer, hooks.PeerUp)
		for _, r := range tt.rounds {
			s.SetAnswers(peer, answers(r), tt.tunnels)
		}
		got := s.Snapshot().Peers[0]
		if got.State != tt.want || (got.State == hooks.PeerUnreachable) != strings.Contains(got.Error, "overlayd ping 10.50.1.0/24") {
			t.Errorf("%s: it is %s (%s), want %s", name, got.State, got.Error, tt.want)
		}
		events := ""
		list, _ := s.events.after(0)
		for _, e := range list {
			switch e.Text {
			case "unreachable":
				events += "!"
			case "answers again":
				events += "+"
			}
		}
		if events != tt.events {
			t.Errorf("%s: events %q, want %q", name, events, tt.events)
		}
	}
}

func TestWhatIsKnownOfAPeersAnswersGoesWithIt(t *testing.T) {
	t.Parallel()
	s := NewState(Facts{})
	const peer = "10.50.1.0/24"
	observePeer(s, peer, hooks.PeerUp)
	s.SetAnswers(peer, Answers{Tunnel: 2 * time.Millisecond, Underlay: time.Millisecond}, true)
	if r := s.Snapshot().Peers[0].Reach; r == nil || r.RoundTrip != 0.002 {
		t.Errorf("its reach is %+v, want the tunnel's 2 ms", r)
	}
	for range misses {
		s.SetAnswers(peer, Answers{}, true)
	}
	observePeer(s, peer, hooks.PeerPending) // it has changed
	observePeer(s, peer, hooks.PeerUp)
	if p := s.Snapshot().Peers[0]; p.State != hooks.PeerUp || p.Reach != nil {
		t.Errorf("a peer that changed is %s, %+v", p.State, p.Reach)
	}
	observePeer(s, peer, hooks.PeerRetrying)
	s.SetAnswers(peer, Answers{}, true)
	if len(s.reached) > 0 || len(s.PeerNames()) > 0 {
		t.Errorf("what is not up is asked: %v, %v", s.reached, s.PeerNames())
	}
}
