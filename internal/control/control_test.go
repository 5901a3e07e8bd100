package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// holdLock is the environment variable that makes this test binary a daemon that holds the lock of a directory.
const holdLock = "CONTROL_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdLock); dir != "" {
		if _, err := Lock(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		time.Sleep(time.Minute) // until killed
	}
	goleak.VerifyTestMain(m)
}

// serve runs a server for the state in the directory until the test ends, and returns once it answers.
func serve(t *testing.T, path string, state *State) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, path, state) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for {
		_, err := Fetch(ctx, path)
		if err == nil {
			return stop
		}
		select {
		case err := <-done:
			cancel()
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestFetchReturnsWhatTheDaemonKnows(t *testing.T) {
	dir := t.TempDir()
	state := NewState(Facts{Version: "v0.1.0", NodeID: "node-7", Etcd: EtcdAccess{Endpoints: []string{"http://192.0.2.254:2379"}}})
	daemonUp(state)
	state.ObserveHook(hooks.HookRun{Hook: hooks.PreStartup, Scope: hooks.NodeScope, Reason: hooks.Start, Took: time.Second})
	state.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.3.0/24", Reason: hooks.Join, Err: errors.New("broken")})
	state.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.3.0/24", Reason: hooks.Retry})
	state.ObserveGone(lease.Lease{V4: path("10.50.6.0/24", "")})
	stop := serve(t, SocketPath(dir), state)
	defer stop()
	got, err := Fetch(t.Context(), SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jsonText(t, state.Snapshot()), jsonText(t, got)); diff != "" {
		t.Errorf("status (-daemon +fetched):\n%s", diff)
	}
	var peers []string
	for _, p := range got.Peers {
		peers = append(peers, fmt.Sprintf("%s %s", p.Paths[0].Subnet, p.State))
	}
	want := []string{"10.50.3.0/24 up", "10.50.4.0/24 retrying", "10.50.5.0/24 removing", "10.50.200.0/24 pending"}
	if diff := cmp.Diff(want, peers); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	if add := got.Hooks[1]; add.Runs != 2 || add.Failures != 1 || add.Last.Reason != hooks.Retry {
		t.Errorf("SubnetAdd is summed up as %+v", add)
	}
}

func TestJSONKeysAreStable(t *testing.T) {
	state := NewState(Facts{Version: "v0.1.0", NodeID: "node-7", Etcd: EtcdAccess{Endpoints: []string{"http://192.0.2.254:2379"}}})
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	state.status.Daemon.PID, state.status.Daemon.Started = 4711, at
	state.Configure("extension", 17)
	run := hooks.HookRun{Hook: hooks.SubnetAdd, Scope: "10.50.3.0/24", Reason: hooks.Join, Started: at, Took: 1500 * time.Microsecond, Err: errors.New("no")}
	state.ObserveHook(run)
	state.ObservePeer(hooks.PeerStatus{
		Lease: &lease.Lease{V4: path("10.50.3.0/24", "192.0.2.3"), NodeID: "\x1b"},
		State: hooks.PeerRetrying, Since: at, Err: run.Err, Attempts: 1, NextTry: at, Last: run,
	})
	want := `{
  "version": 1,
  "daemon": {
    "version": "v0.1.0",
    "pid": 4711,
    "started": "2026-11-23T12:00:00Z",
    "nodeID": "node-7"
  },
  "health": {
    "state": "starting",
    "live": true,
    "ready": false,
    "reasons": [
      "1 of 1 peers retrying"
    ]
  },
  "node": {
    "state": "",
    "networks": [],
    "paths": [],
    "masquerade": false
  },
  "config": {
    "revision": 17,
    "backend": "extension"
  },
  "etcd": {
    "endpoints": [
      "http://192.0.2.254:2379"
    ],
    "prefix": ""
  },
  "hooks": [
    {
      "hook": "SubnetAdd",
      "runs": 1,
      "failures": 1,
      "last": {
        "hook": "SubnetAdd",
        "scope": "10.50.3.0/24",
        "reason": "join",
        "started": "2026-11-23T12:00:00Z",
        "tookSeconds": 0.0015,
        "error": "no"
      }
    }
  ],
  "peers": [
    {
      "paths": [
        {
          "subnet": "10.50.3.0/24",
          "publicIP": "192.0.2.3"
        }
      ],
      "nodeID": "\u001b",
      "state": "retrying",
      "since": "2026-11-23T12:00:00Z",
      "error": "no",
      "failures": 1,
      "nextTry": "2026-11-23T12:00:00Z",
      "lastHook": {
        "hook": "SubnetAdd",
        "scope": "10.50.3.0/24",
        "reason": "join",
        "started": "2026-11-23T12:00:00Z",
        "tookSeconds": 0.0015,
        "error": "no"
      }
    }
  ],
  "unreadable": {
    "count": 0
  }
}
`
	if diff := cmp.Diff(want, jsonText(t, state.Snapshot())); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextsOfOthersAreBounded(t *testing.T) {
	state := NewState(Facts{})
	garbage := lease.Unreadable{Key: strings.Repeat("\xff", 1<<20), Err: errors.New(strings.Repeat("x", 1<<20))}
	state.SetUnreadable(slices.Repeat([]lease.Unreadable{garbage}, 1000))
	u := state.Snapshot().Unreadable
	if n := len(jsonText(t, u)); u.Count != 1000 || n > 100_000 {
		t.Errorf("%d keys in %d bytes of JSON", u.Count, n)
	}
}

func TestSocketIsTheGroupsFromTheFirstMomentOn(t *testing.T) {
	path := SocketPath(t.TempDir())
	for name, tt := range map[string]struct {
		umask int
		make  func(context.Context, string) (net.Listener, error)
		want  fs.FileMode
	}{
		"bound without an umask":        {0, bind, 0o660},
		"bound with the daemon's umask": {0o077, bind, 0o600},
		"listening without an umask":    {0, listen, 0o660},
		"listening with daemon's umask": {0o077, listen, 0o660},
	} {
		t.Run(name, func(t *testing.T) {
			old := syscall.Umask(tt.umask)
			listener, err := tt.make(t.Context(), path)
			syscall.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != tt.want {
				t.Errorf("mode is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSocketGoesWithTheServer(t *testing.T) {
	path := SocketPath(t.TempDir())
	serve(t, path, NewState(Facts{}))()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Serve: %v", err)
	}
}

func TestSocketOfADeadDaemonIsReplaced(t *testing.T) {
	path := SocketPath(t.TempDir())
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	if _, err := Fetch(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Fetch from a dead daemon: %v", err)
	}
	serve(t, path, NewState(Facts{}))()
}

func TestServeLeavesAloneWhatIsNoSocket(t *testing.T) {
	path := SocketPath(t.TempDir())
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), path, NewState(Facts{})); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Serve: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("file holds %q: %v", text, err)
	}
}

func TestServeRefusesAPathTooLongForASocket(t *testing.T) {
	path := SocketPath("/" + strings.Repeat("x", 120))
	if err := Serve(t.Context(), path, NewState(Facts{})); err == nil || !strings.Contains(err.Error(), "shorter --run-dir") {
		t.Errorf("Serve: %v", err)
	}
}

func TestOnlyStatusIsServed(t *testing.T) {
	path := SocketPath(t.TempDir())
	defer serve(t, path, NewState(Facts{}))()
	for request, want := range map[string]string{
		"GET /v1/status":  "200 OK",
		"GET /v2/status":  "404 Not Found",
		"POST /v1/status": "405 Method Not Allowed",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s HTTP/1.0\r\n\r\n", request)
		answer := make([]byte, len("HTTP/1.0 ")+len(want))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.0 "+want {
			t.Errorf("%s: %s (%v), want %s", request, answer, err, want)
		}
	}
}

func TestFetchSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.sock")
	answer(t, old, `{"version": 2}`)
	garbled := filepath.Join(dir, "garbled.sock")
	answer(t, garbled, `{`)
	for name, tt := range map[string]struct {
		path, want string
		is         error
	}{
		"no daemon": {
			SocketPath(dir), "no overlayd runs with run directory " + dir + ": start it with overlayd run --run-dir " + dir, fs.ErrNotExist,
		},
		"another version": {
			old, "read status from " + old + ": it has version 2, and this program reads 1: use the daemon's own version of overlayd", nil,
		},
		"garbage": {garbled, "read /v1/status from " + garbled + ": unexpected EOF", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fetch(t.Context(), tt.path)
			if err == nil || err.Error() != tt.want || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	err := explain("/run/overlayd/overlayd.sock", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	want := "ask overlayd at /run/overlayd/overlayd.sock: permission denied: run as root, or as a member of the socket's group"
	if err.Error() != want || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// answer makes a server that answers every request with the text.
func answer(t *testing.T, path, text string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}
