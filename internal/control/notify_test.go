package control

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

func TestSystemdIsToldHowTheDaemonStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000")
	ctx, cancel := newContext(t)
	defer cancel()
	state := NewState(Facts{})
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Notify(running, state, slog.New(slog.DiscardHandler))
	}()
	told := map[string]bool{}
	await := func(want string) {
		t.Helper()
		deadline, _ := ctx.Deadline()
		if err := socket.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		for buffer := make([]byte, 4096); !told[want]; {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatalf("%s was not told: %v", want, err)
			}
			for line := range strings.SplitSeq(string(buffer[:n]), "\n") {
				told[line] = true
			}
		}
	}
	await("STATUS=starting")
	await("WATCHDOG=1")
	state.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp})
	observePeer(state, "10.50.1.0/24", hooks.PeerPending)
	state.ObserveListed()
	await("STATUS=starting: 0 of 1 peers up")
	if told["READY=1"] {
		t.Error("it is ready before the first peer's hook has run")
	}
	observePeer(state, "10.50.1.0/24", hooks.PeerUp)
	await("READY=1")
	await("STATUS=ok: 1 of 1 peers up")

	// A daemon whose loop hangs lets the watchdog have it.
	state.mu.Lock()
	state.turned = time.Now().Add(-time.Hour)
	state.mu.Unlock()
	await("STATUS=stuck: 1 of 1 peers up")
	told["WATCHDOG=1"] = false
	stop()
	await("STOPPING=1")
	if told["WATCHDOG=1"] {
		t.Error("a stuck daemon feeds the watchdog")
	}
	<-done
}

func TestWithoutSystemdNobodyIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	ctx, cancel := newContext(t)
	defer cancel()
	Notify(ctx, NewState(Facts{}), slog.New(slog.DiscardHandler)) // returns
	if ctx.Err() != nil {
		t.Error("it went on until the end")
	}
}
