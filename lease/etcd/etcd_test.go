package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
	"github.com/overlayd/overlayd/lease/leasetest"
)

func TestStoreOnTheEmbeddedMember(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	leasetest.TestStore(t, harnesses(client, client, nil))
}

func TestStoreOnAnInstalledEtcd(t *testing.T) {
	client := dial(t, startInstalled(t))
	leasetest.TestStore(t, harnesses(client, client, nil))
}

// harnesses returns stores that use one etcd as a node does, each with a prefix of its own, which is told to grant, if not nil.
func harnesses(client, node *clientv3.Client, grant func(prefix string)) func(*testing.T) leasetest.Harness {
	var opened atomic.Int64
	return func(t *testing.T) leasetest.Harness {
		prefix := fmt.Sprintf("/test/%d/network", opened.Add(1))
		if grant != nil {
			grant(prefix)
		}
		key := func(k string) string { return prefix + "/subnets/" + k }
		check := func(_ any, err error) {
			if err != nil {
				t.Error(err)
			}
		}
		check(client.Put(t.Context(), prefix+"/subnets-old/10.5.1.0-24", "{}")) // a neighbour, not to be seen
		return leasetest.Harness{
			Store:  etcd.New(node, prefix, slog.New(slog.DiscardHandler)),
			Put:    func(k, value string) { check(client.Put(t.Context(), key(k), value)) },
			Remove: func(k string) { check(client.Delete(t.Context(), key(k))) },
			Expire: func(r lease.Record) { check(client.Revoke(t.Context(), clientv3.LeaseID(r.ID))) },
			Compact: func() {
				resp, err := client.Get(t.Context(), "x")
				check(resp, err)
				if _, err := client.Compact(t.Context(), resp.Header.Revision); !errors.Is(err, rpctypes.ErrCompacted) {
					check(nil, err)
				}
			},
		}
	}
}

func startMember(t *testing.T, listen string) *embedded.Member {
	t.Helper()
	return startMemberIn(t, t.TempDir(), listen)
}

func startMemberIn(t *testing.T, dir, listen string) *embedded.Member {
	t.Helper()
	m, err := embedded.Start(t.Context(), embedded.Options{Dir: dir, ListenClient: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// startInstalled runs the machine's own etcd, with more arguments, and returns its client URL.
func startInstalled(t *testing.T, args ...string) string {
	t.Helper()
	url := "http://" + freePort(t)
	if slices.Contains(args, "--cert-file") {
		url = "https" + url[4:]
	}
	runInstalled(t, url, args...)
	return url
}

// runInstalled runs the machine's own etcd at a client URL until it is told to stop or the test ends.
func runInstalled(t *testing.T, url string, args ...string) (stop func()) {
	t.Helper()
	program, err := exec.LookPath("etcd")
	if err != nil {
		t.Skip("this machine has no etcd program")
	}
	peer := "http://" + freePort(t)
	cmd := exec.Command(program, append([]string{
		"--data-dir", t.TempDir(), "--log-level", "panic",
		"--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
	}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial returns a client once etcd answers.
func dial(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	return dialWith(t, etcd.DialOptions{Endpoints: endpoints})
}

func dialWith(t *testing.T, o etcd.DialOptions) *clientv3.Client {
	t.Helper()
	client, err := etcd.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := check(t, client); err != nil {
		t.Fatal(err)
	}
	return client
}

// check waits until somebody answers, and returns what Check then says. On a busy machine a login alone may take longer than Check
// waits for an answer: etcd hashes passwords slowly on purpose.
func check(t *testing.T, client *clientv3.Client) error {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for {
		_, err := newStore(t, client).Check(t.Context())
		if !errors.Is(err, etcd.ErrUnreachable) {
			return err
		}
		select {
		case <-tick.C:
		case <-timeout:
			return err
		}
	}
}

func newStore(t *testing.T, client *clientv3.Client) *etcd.Store {
	return etcd.New(client, "/coreos.com/network/", slog.New(slog.DiscardHandler))
}

func TestKeysAndValuesAreFlannels(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	l, err := lease.DecodeValue("10.5.1.0-24", []byte(`{"PublicIP":"1.2.3.4","PublicIPv6":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), lease.Snapshot{}, 24*time.Hour, l); err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(t.Context(), "/", clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatalf("got %v, %v, want one key", resp, err)
	}
	kv := resp.Kvs[0]
	if string(kv.Key) != "/coreos.com/network/subnets/10.5.1.0-24" || string(kv.Value) != `{"PublicIP":"1.2.3.4","PublicIPv6":null}` {
		t.Errorf("got %s = %s", kv.Key, kv.Value)
	}
	left, err := client.TimeToLive(t.Context(), clientv3.LeaseID(kv.Lease))
	if err != nil || left.GrantedTTL != 86400 {
		t.Errorf("granted for %d s, %v, want 86400", left.GrantedTTL, err)
	}
}

func TestNoEtcdLeaseIsLeftBehindByFailures(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	seen, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, _ := lease.DecodeValue("10.5.1.0-24", []byte(`{}`))
	r, err := store.Create(t.Context(), seen, time.Hour, l)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), seen, time.Hour, l); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("second create: got %v, want ErrTaken", err)
	}
	r.Revision--
	if _, err := store.Update(t.Context(), r, 2*time.Hour, l); !errors.Is(err, lease.ErrLost) {
		t.Errorf("update: got %v, want ErrLost", err)
	}
	all, err := client.Leases(t.Context())
	if err != nil || len(all.Leases) != 1 {
		t.Errorf("etcd leases: got %v, %v, want the one in use", all.Leases, err)
	}
}

func TestAWatchOutlivesAnEtcd(t *testing.T) {
	dir, listen := t.TempDir(), "http://"+freePort(t)
	first := startMemberIn(t, dir, listen)
	client := dial(t, listen)
	store := newStore(t, client)
	l, _ := lease.DecodeValue("10.5.1.0-24", []byte(`{}`))
	if _, err := store.Create(t.Context(), lease.Snapshot{}, time.Hour, l); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sets, troubles, done := make(chan lease.Snapshot, 100), make(chan error, 100), make(chan error, 1)
	go func() {
		done <- store.Watch(ctx, lease.Snapshot{}, func(s lease.Snapshot) error { sets <- s; return nil }, func(err error) { troubles <- err })
	}()
	<-sets
	first.Close()
	if err := <-troubles; err == nil {
		t.Error("trouble without an error")
	}
	startMemberIn(t, dir, listen)
	again := <-sets
	if again.Records.Len() != 1 {
		t.Errorf("after the restart: got %v, want the lease of before", again.List())
	}
	l2, _ := lease.DecodeValue("10.5.2.0-24", []byte(`{}`))
	if _, err := store.Create(t.Context(), again, time.Hour, l2); err != nil {
		t.Fatal(err)
	}
	if s := <-sets; s.Records.Len() != 2 {
		t.Errorf("after another create: got %v, want two leases", s.List())
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v", err)
	}
}

func TestARequestToADeadEtcdSaysWhoDoesNotAnswer(t *testing.T) {
	m := startMember(t, "http://127.0.0.1:0")
	store := newStore(t, dial(t, m.Endpoints()...))
	m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := store.Load(ctx)
	if want := "connect: connection refused"; !errors.Is(err, etcd.ErrUnreachable) || err == nil {
		t.Errorf("got %v, want it to be unreachable and say %q", err, want)
	}
}

func TestConfig(t *testing.T) {
	store := newStore(t, dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...))
	if _, _, err := store.Config(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a config: got %v, want fs.ErrNotExist", err)
	}
	type change struct {
		value    string
		revision int64
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan change, 10), make(chan error, 1)
	go func() {
		done <- store.WatchConfig(ctx, etcd.ConfigRead{}, func(c etcd.Configs) error {
			if c.Value == nil {
				c.Value = []byte("absent")
			}
			changes <- change{string(c.Value), c.Revision}
			return nil
		}, nil)
	}()
	if c := <-changes; c.value != "absent" {
		t.Errorf("at once: got %v, want it absent", c)
	}
	if err := store.PublishConfig(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	first := <-changes
	if err := store.PublishConfig(t.Context(), []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second publication: got %v, want fs.ErrExist", err)
	}
	value, revision, err := store.Config(t.Context())
	if string(value) != "one" || revision != first.revision || first.value != "one" || err != nil {
		t.Errorf("got %s@%d, %v, watched %v", value, revision, err, first)
	}
	second, err := store.ReplaceConfig(t.Context(), []byte("two"), revision, etcd.Author{})
	if c := <-changes; err != nil || c != (change{"two", second}) {
		t.Errorf("replaced: got %v, %v, want two@%d", c, err, second)
	}
	if _, err := store.ReplaceConfig(t.Context(), []byte("three"), revision, etcd.Author{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replacing an old revision: got %v, want fs.ErrExist", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v", err)
	}
}
