package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

func newContext(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 30*time.Second)
}

func TestEventsTellWhatHappened(t *testing.T) {
	s := NewState(Facts{})
	const a = "10.50.1.0/24"
	s.SetEtcd(errors.New("refused"))
	s.SetEtcd(errors.New("refused"))
	s.SetEtcd(nil)
	s.SetEtcd(nil)
	s.Configure("vxlan", 7)
	s.SetProblem("nonsense")
	s.SetProblem("nonsense")
	s.SetProblem("")
	s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp})
	s.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp})
	observePeer(s, a, hooks.PeerPending)
	observePeer(s, a, hooks.PeerPending)
	s.ObserveListed()
	s.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: a, Reason: hooks.Join, Took: time.Millisecond, Err: errors.New("exit status 1")})
	observePeer(s, a, hooks.PeerRetrying)
	s.ObserveGone(lease.Lease{V4: path(a, "")})
	s.SetUnreadable([]lease.Unreadable{{Key: "x", Err: errors.New("y")}})
	list, _ := s.events.after(0)
	var got []string
	for i, e := range list {
		if e.Number != uint64(i+1) || e.Time.IsZero() {
			t.Errorf("event %d has number %d and time %s", i+1, e.Number, e.Time)
		}
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s: %s: %s", e.Kind, e.Subject, e.Text, e.Error), ": "))
	}
	want := []string{
		"etcd : does not answer: refused", "etcd : answers again",
		"config : revision 7 in use, backend vxlan", "config : nonsense",
		"node node: up", "peer 10.50.1.0/24: pending",
		"hook 10.50.1.0/24: SubnetAdd ran for reason join in 1.0 ms: exit status 1",
		"peer 10.50.1.0/24: retrying", "node node: ready", "peer 10.50.1.0/24: gone", "lease : unreadable keys among the leases: 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestEventsThatAreForgottenAreCounted(t *testing.T) {
	var e events
	for range kept + 5 {
		e.add(Event{})
	}
	numbers := func(after uint64) string {
		list, _ := e.after(after)
		if len(list) == 0 {
			return "none"
		}
		return fmt.Sprintf("%d: %s %d to %d", len(list), list[0].Text, list[0].Number, list[len(list)-1].Number)
	}
	for after, want := range map[uint64]string{
		0:    fmt.Sprintf("%d:  6 to %d", kept, kept+5), // who has read nothing misses nothing
		2:    fmt.Sprintf("%d: 3 events 5 to %d", kept+1, kept+5),
		5:    fmt.Sprintf("%d:  6 to %d", kept, kept+5),
		1004: "1:  1005 to 1005",
		1005: "none",
		9999: "none", // of a daemon before this one
	} {
		if got := numbers(after); got != want {
			t.Errorf("after %d: got %q, want %q", after, got, want)
		}
	}
}

func TestEventsAreFollowed(t *testing.T) {
	socket := SocketPath(t.TempDir())
	state := NewState(Facts{})
	stop := serve(t, socket, state)
	ctx, cancel := newContext(t)
	defer cancel()
	state.SetProblem("one")
	seen := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, socket, true, func(e Event) error { seen <- e.Text; return nil })
	}()
	for _, text := range []string{"one", "two", "three"} {
		if text != "one" {
			state.SetProblem(text)
		}
		select {
		case got := <-seen:
			if got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		case err := <-done:
			t.Fatal(err)
		}
	}
	var texts []string
	err := Follow(ctx, socket, false, func(e Event) error { texts = append(texts, e.Text); return nil })
	if diff := cmp.Diff([]string{"one", "two", "three"}, texts); diff != "" || err != nil {
		t.Errorf("all that are remembered: %v (-want +got):\n%s", err, diff)
	}
	stop()
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("the daemon has ended: got %v, want io.EOF", err)
	}
}

func TestAnEventIsALine(t *testing.T) {
	var b strings.Builder
	at := time.Date(2026, 11, 23, 12, 0, 0, 5e6, time.UTC)
	for _, e := range []Event{
		{Time: at, Kind: PeerEvent, Subject: "10.50.1.0/24", Text: "retrying", Error: "exit \x1b[2J status"},
		{Time: at, Kind: EtcdEvent, Text: "answers again"},
	} {
		if err := e.WriteText(&b); err != nil {
			t.Fatal(err)
		}
	}
	want := `2026-11-23T12:00:00.005Z  peer    10.50.1.0/24        retrying: "exit \x1b[2J status"
2026-11-23T12:00:00.005Z  etcd    -                   answers again
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
