package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// A logbook is a log that may be read while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, dir, listen string) (*embedded.Member, *logbook) {
	t.Helper()
	log := &logbook{}
	m, err := embedded.Start(t.Context(), embedded.Options{
		Dir: dir, ListenClient: listen, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, log
}

func connect(t *testing.T, m *embedded.Member) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: m.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestMemberKeepsItsDataOnAnotherPortAndSaysNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	first, log := start(t, dir, "http://127.0.0.1:0")
	if _, err := connect(t, first).Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, log2 := start(t, dir, "http://[::1]:0")
	resp, err := connect(t, second).Get(t.Context(), "key")
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "value" {
		t.Errorf("got %v, %v, want the value written before", resp, err)
	}
	second.Close()
	if text := log.String() + log2.String(); text != "" {
		t.Errorf("log of healthy members:\n%s", text)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: got %v, %v, want mode 0700", info.Mode(), err)
	}
}

func TestMemberListensOnAllAddressesAndIsReachedByLoopback(t *testing.T) {
	m, _ := start(t, t.TempDir(), "http://0.0.0.0:0")
	if e := m.Endpoints(); len(e) != 1 || !strings.HasPrefix(e[0], "http://127.0.0.1:") {
		t.Errorf("endpoints: got %v, want one on 127.0.0.1", e)
	}
	if _, err := connect(t, m).Get(t.Context(), "key"); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForWatches(t *testing.T) {
	m, _ := start(t, t.TempDir(), "http://127.0.0.1:0")
	c := connect(t, m)
	if _, err := c.Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	watch := c.Watch(t.Context(), "key", clientv3.WithRev(1))
	<-watch
	begun := time.Now()
	m.Close()
	m.Close()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("close with an open watch took %s", took)
	}
	select {
	case err := <-m.Err():
		t.Errorf("close is reported as an error: %v", err)
	default:
	}
}

func TestStartRefuses(t *testing.T) {
	running := t.TempDir()
	m, _ := start(t, running, "http://127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		options embedded.Options
		want    string
	}{
		{"a port that is taken", embedded.Options{Dir: t.TempDir(), ListenClient: m.Endpoints()[0]}, m.Endpoints()[0] + ": address already in use"},
		{"data that another member uses", embedded.Options{Dir: running, ListenClient: "http://127.0.0.1:0"}, running + ": in use by another process"},
		{"data of a newer etcd", embedded.Options{Dir: newerData(t), ListenClient: "http://127.0.0.1:0"}, "written by etcd 9.1, newer than 3."},
		{"data that is none", embedded.Options{Dir: brokenData(t), ListenClient: "http://127.0.0.1:0"}, "data directory"},
		{"a directory that is a file", embedded.Options{Dir: file, ListenClient: "http://127.0.0.1:0"}, "not a directory"},
		{"an address of another machine", embedded.Options{Dir: t.TempDir(), ListenClient: "http://192.0.2.1:0"}, "cannot assign requested address"},
		{"https", embedded.Options{Dir: t.TempDir(), ListenClient: "https://127.0.0.1:0"}, "not of the form http://IP:PORT"},
		{"a name", embedded.Options{Dir: t.TempDir(), ListenClient: "http://localhost:0"}, "not of the form http://IP:PORT"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			m, err := embedded.Start(t.Context(), test.options)
			if err == nil {
				m.Close()
				t.Fatal("started")
			}
			if !strings.HasPrefix(err.Error(), "start etcd member: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
}

// newerData is the directory of a member that ran with an etcd of the far future.
func newerData(t *testing.T) string {
	dir := t.TempDir()
	snap := filepath.Join(dir, "member", "snap")
	if err := os.MkdirAll(snap, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(snap, "db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("cluster"))
		return errors.Join(err, b.Put([]byte("clusterVersion"), []byte("9.1.0")))
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func brokenData(t *testing.T) string {
	dir := t.TempDir()
	snap := filepath.Join(dir, "member", "snap")
	if err := errors.Join(os.MkdirAll(snap, 0o700), os.WriteFile(filepath.Join(snap, "db"), []byte("no database"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStartEndsWithItsContextAndLeavesThePortFree(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if m, err := embedded.Start(ctx, embedded.Options{Dir: t.TempDir(), ListenClient: "http://" + addr}); err == nil {
		m.Close() // it was ready before the context was looked at
	}
	l, err = net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	l.Close()
}
