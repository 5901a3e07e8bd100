package control

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestTheWayToEtcdIsToldOnTheSocketAlone(t *testing.T) {
	want := EtcdAccess{
		Endpoints: []string{"https://192.0.2.254:2379"}, Prefix: "/net", CAFile: "/etc/ca.pem", CertFile: "/etc/node.pem", KeyFile: "/etc/node-key.pem",
		Username: "node", PasswordFile: "/etc/password",
	}
	path, state := SocketPath(t.TempDir()), NewState(Facts{Etcd: want})
	defer serve(t, path, state)()
	got, err := FetchEtcd(t.Context(), path)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	w := httptest.NewRecorder()
	newMux(state).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/etcd", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("over TCP it answers %d: %s", w.Code, w.Body)
	}
	status := httptest.NewRecorder()
	newMux(state).ServeHTTP(status, httptest.NewRequest(http.MethodGet, "/v1/status", nil))
	if text := status.Body.String(); !strings.Contains(text, "https://192.0.2.254:2379") || strings.Contains(text, "/etc/") {
		t.Errorf("the status is %s", text)
	}
}

func TestWithoutADaemonNobodyTellsTheWayToEtcd(t *testing.T) {
	if _, err := FetchEtcd(t.Context(), SocketPath(t.TempDir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want an fs.ErrNotExist", err)
	}
}

// Somebody else's daemon could have root read any file as a password, and send what is in it to an etcd of theirs.
func TestADaemonOfAnotherUserIsNotBelieved(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()) && d != os.TempDir(); d = d[:strings.LastIndexByte(d, '/')] {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	path := SocketPath(dir)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with what it has become
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 12345, ^uintptr(0)); e != 0 {
			ended <- e
			return
		}
		listener, err := listen(ctx, path)
		if err != nil {
			ended <- err
			return
		}
		ended <- serveOn(ctx, listener, socketHandler(NewState(Facts{})))
	}()
	for {
		_, err := FetchEtcd(t.Context(), path)
		if !errors.Is(err, fs.ErrNotExist) { // it listens
			if err == nil || !strings.Contains(err.Error(), "user with ID 12345 answers there") {
				t.Errorf("got %v, want it refused", err)
			}
			return
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatal(err)
		case <-t.Context().Done():
			t.Fatal("nobody listens")
		default:
		}
	}
}
