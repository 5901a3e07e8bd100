package control

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

func observePeer(s *State, subnet string, state hooks.PeerState) {
	s.ObservePeer(hooks.PeerStatus{Lease: &lease.Lease{V4: path(subnet, "192.0.2.9")}, State: state, Since: time.Now()})
}

func TestHealth(t *testing.T) {
	const a, b = "10.50.1.0/24", "10.50.2.0/24"
	up := func(s *State) { s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp}) }
	for _, step := range []struct {
		name string
		fill func(*State)
		want string
	}{
		{"just started", func(*State) {}, "starting live"},
		{"its start fails", func(s *State) {
			s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeStarting, Err: errors.New("no")})
		}, "starting live node: no"},
		{"up, and nothing known of peers", up, "starting live"},
		{"no peers", func(s *State) { up(s); s.ObserveListed() }, "ok live ready"},
		{"a peer of the first list is pending", func(s *State) {
			up(s)
			observePeer(s, a, hooks.PeerPending)
			observePeer(s, b, hooks.PeerUp)
			s.ObserveListed()
		}, "starting live"},
		{"each has been tried", func(s *State) {
			up(s)
			observePeer(s, a, hooks.PeerPending)
			s.ObserveListed()
			observePeer(s, a, hooks.PeerRetrying)
		}, "degraded live ready 1 of 1 peers retrying"},
		{"the pending one leaves", func(s *State) {
			up(s)
			observePeer(s, a, hooks.PeerPending)
			s.ObserveListed()
			s.ObserveGone(lease.Lease{V4: path(a, "")})
		}, "ok live ready"},
		{"another joins later", func(s *State) {
			up(s)
			s.ObserveListed()
			observePeer(s, a, hooks.PeerPending)
		}, "ok live ready"},
		{"etcd is away, and a config is refused", func(s *State) {
			up(s)
			s.ObserveListed()
			s.SetEtcd(errors.New("no answer"))
			s.SetProblem("nonsense")
		}, "degraded live ready etcd: no answer, config: nonsense"},
		{"another config takes over", func(s *State) {
			up(s)
			s.ObserveListed()
			s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeStopping})
		}, "starting live node is stopping"},
		{"up again", func(s *State) {
			up(s)
			s.ObserveListed()
			s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeStarting})
			up(s)
		}, "starting live"},
		{"the loop turns", func(s *State) {
			up(s)
			s.ObserveListed()
			for range 10 {
				time.Sleep(hooks.TurnInterval)
				s.ObserveTurn()
			}
		}, "ok live ready"},
		{"a peer answers no more", func(s *State) {
			up(s)
			observePeer(s, a, hooks.PeerUp)
			observePeer(s, b, hooks.PeerUp)
			s.ObserveListed()
			s.SetAnswers(a, Answers{Overlay: time.Millisecond}, false)
			for range misses {
				s.SetAnswers(a, Answers{}, false)
			}
		}, "degraded live ready 1 of 2 peers unreachable"},
		{"the loop turns no more", func(s *State) {
			up(s)
			s.ObserveListed()
			time.Sleep(time.Minute)
		}, "stuck ready"},
		{"nothing turns while there is no lease", func(s *State) {
			s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeWaiting})
			time.Sleep(time.Hour)
		}, "starting live node is waiting for a lease"},
	} {
		t.Run(step.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewState(Facts{})
				step.fill(s)
				h := s.Snapshot().Health
				got := string(h.State)
				if h.Live {
					got += " live"
				}
				if h.Ready {
					got += " ready"
				}
				if len(h.Reasons) > 0 {
					got += " " + strings.Join(h.Reasons, ", ")
				}
				if got != step.want {
					t.Errorf("got %q, want %q", got, step.want)
				}
				outline, peers := s.outline()
				if counted, listed := outline.brief(peers), s.Snapshot().Brief(); counted != listed {
					t.Errorf("in brief it is %q with the peers counted, %q with them listed", counted, listed)
				}
			})
		})
	}
}

func TestMonitoringIsAnsweredOverTCP(t *testing.T) {
	state := NewState(Facts{})
	ctx, cancel := newContext(t)
	listener, err := ListenTCP(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	done := make(chan error, 1)
	go func() { done <- ServeTCP(ctx, listener, state) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(resource string) string {
		t.Helper()
		for {
			response, err := client.Get("http://" + address + resource)
			if err != nil {
				select {
				case err := <-done:
					t.Fatal(err)
				case <-time.After(time.Millisecond):
				}
				continue
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(response.StatusCode, " ", string(text))
		}
	}
	if diff := cmp.Diff("200 starting\n", get("/healthz")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("503 starting\n", get("/readyz")); diff != "" {
		t.Error(diff)
	}
	daemonUp(state)
	observePeer(state, "10.50.200.0/24", hooks.PeerUp)
	want := "200 degraded: 10.50.7.0/24, extension, 2 of 5 peers up, 1 of 5 peers retrying, 1 of 5 peers left over\n"
	if diff := cmp.Diff(want, get("/readyz")); diff != "" {
		t.Error(diff)
	}
	if text := get("/metrics"); !strings.Contains(text, "\noverlayd_ready 1\n") {
		t.Errorf("/metrics:\n%s", text)
	}
	for _, resource := range []string{"/v1", "/v1/lease"} {
		if text := get(resource); !strings.HasPrefix(text, "404 ") {
			t.Errorf("%s: %s", resource, text)
		}
	}
	if text := get("/v1/events?after=x"); !strings.HasPrefix(text, "400 ") {
		t.Errorf("events after nonsense: %s", text)
	}
	for host, want := range map[string]int{"localhost": 200, "LOCALHOST:9": 200, "[::1]:80": 200, "::1": 200, address: 200, "evil.example:80": 421, "127.0.0.1.evil.example": 421} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("asked by the name %s: %s, want %d", host, response.Status, want)
		}
	}
	if _, err := ListenTCP(ctx, address); err == nil || !strings.Contains(err.Error(), "address already in use: choose another --listen") {
		t.Errorf("listening where somebody else does: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
