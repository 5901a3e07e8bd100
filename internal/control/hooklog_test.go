package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
)

func TestTheHookLogHasWhatHooksDidAndPrinted(t *testing.T) {
	socket := SocketPath(t.TempDir())
	s := NewState(Facts{})
	defer serve(t, socket, s)()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	run := hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.7.0/24", Reason: hooks.Join, Started: at, Took: time.Millisecond}
	s.ReportHook(hooks.SubnetAdd, "10.50.7.0/24", "one\ntwo\n", "", []string{"ip route add 10.50.7.0/24 via 192.0.2.7"})
	s.ReportHook(hooks.SubnetAdd, "10.50.8.0/24", "", "\x1b[2Jno\n", []string{"ip link add x"})
	s.ObserveHook(run)
	run.Scope, run.Err = "10.50.8.0/24", errors.New("exit status 1")
	s.ObserveHook(run)
	run.Scope, run.Err = "10.50.9.0/24", nil // of a native backend, which reports nothing
	s.ObserveHook(run)
	entries, err := FetchHookLog(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, e := range entries {
		if err := e.WriteText(&text); err != nil {
			t.Fatal(err)
		}
	}
	want := `2026-11-23T12:00:00.000Z  SubnetAdd 10.50.7.0/24, for reason join, in 1.0 ms: ok
    did     ip route add 10.50.7.0/24 via 192.0.2.7
    stdout  one
    stdout  two
2026-11-23T12:00:00.000Z  SubnetAdd 10.50.8.0/24, for reason join, in 1.0 ms: failed: exit status 1
    undone  ip link add x
    stderr  "\x1b[2Jno"
2026-11-23T12:00:00.000Z  SubnetAdd 10.50.9.0/24, for reason join, in 1.0 ms: ok
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatHooksPrintedIsOnTheSocketAlone(t *testing.T) {
	s := NewState(Facts{})
	s.ReportHook(hooks.SubnetAdd, "10.50.7.0/24", "a secret", "", nil)
	s.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.7.0/24"})
	for _, tt := range []struct {
		handler http.Handler
		status  int
		told    bool
	}{{socketHandler(s), http.StatusOK, true}, {newMux(s), http.StatusNotFound, false}} {
		w := httptest.NewRecorder()
		tt.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/hooks", nil))
		if told := strings.Contains(w.Body.String(), "a secret"); w.Code != tt.status || told != tt.told {
			t.Errorf("status %d, told %v, want %d, %v", w.Code, told, tt.status, tt.told)
		}
	}
}

func TestTheHookLogIsBounded(t *testing.T) {
	s := NewState(Facts{})
	for i := range loggedHooks + 7 {
		scope := fmt.Sprint(i)
		s.ReportHook(hooks.SubnetAdd, scope, strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20), make([]string, 1000))
		s.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: scope})
	}
	log := s.HookLog()
	if len(log) != loggedHooks || log[0].Scope != "7" || log[loggedHooks-1].Scope != fmt.Sprint(loggedHooks+6) {
		t.Errorf("%d entries from %s to %s", len(log), log[0].Scope, log[len(log)-1].Scope)
	}
	if e := log[0]; len(e.Stdout) > loggedText+3 || len(e.Stderr) > loggedText+3 || len(e.Effects) != loggedEffects+1 || e.Effects[loggedEffects] != "… and 950 more" {
		t.Errorf("%d and %d bytes, %d effects", len(e.Stdout), len(e.Stderr), len(e.Effects))
	}
}
