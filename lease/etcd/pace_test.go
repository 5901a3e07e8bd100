package etcd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// pacedStore is a store on an etcd of its own whose watches make sure of themselves at the pace.
func pacedStore(t *testing.T, p pace) *Store {
	t.Helper()
	m, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), ListenClient: "http://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	client, err := Dial(DialOptions{Endpoints: m.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	s := New(client, "/network", slog.New(slog.DiscardHandler))
	s.pace = p
	return s
}

func (s *Store) putLease(t *testing.T, key string) {
	t.Helper()
	if _, err := s.client.Put(t.Context(), s.subnets()+key, "{}"); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeThatTheWatchMissedIsFound(t *testing.T) {
	s := pacedStore(t, pace{check: 100 * time.Millisecond, doubt: 10 * time.Millisecond, silence: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var v view
	lists, troubles, done := make(chan int, 100), make(chan error, 100), make(chan error, 1)
	deaf := topic{
		what: "watch deafly",
		key:  s.subnets(),
		opts: []clientv3.OpOption{clientv3.WithPrefix()},
		list: func(ctx context.Context) (int64, error) {
			listed, err := s.list(ctx, v)
			if err != nil {
				return 0, err
			}
			v = listed
			lists <- v.count()
			return v.Revision, nil
		},
		change: func([]*clientv3.Event, int64) {},
		set:    func() error { return nil },
		same:   func(count int, newest int64) bool { return v.is(count, newest) },
		count:  func() int { return 0 },
	}
	go func() { done <- s.follow(ctx, deaf, func(err error) { troubles <- err }) }()
	<-lists
	s.putLease(t, "10.5.1.0-24")
	for <-lists != 1 {
	}
	if err := <-troubles; !strings.Contains(err.Error(), "missed a change") {
		t.Errorf("trouble: got %v, want the missed change", err)
	}
	time.Sleep(300 * time.Millisecond) // three checks that find nothing
	if n := len(lists); n != 0 {
		t.Errorf("listed %d times again without a change", n)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestASilentWatchIsBegunAnew(t *testing.T) {
	s := pacedStore(t, pace{check: time.Hour, doubt: time.Hour, silence: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sets, troubles, done := make(chan int, 100), make(chan error, 100), make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, lease.Snapshot{}, func(now lease.Snapshot) error { sets <- now.Records.Len(); return nil },
			func(err error) { troubles <- err })
	}()
	if err := <-troubles; !strings.Contains(err.Error(), "no sign of life for 50ms") {
		t.Errorf("trouble: got %v, want the silence", err)
	}
	s.putLease(t, "10.5.1.0-24")
	for <-sets != 1 {
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatComesDuringASlowSetIsOneSet(t *testing.T) {
	s := pacedStore(t, pace{check: time.Hour, doubt: time.Hour, silence: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sets, proceed, done := make(chan int), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, lease.Snapshot{}, func(now lease.Snapshot) error {
			sets <- now.Records.Len()
			<-proceed
			return nil
		}, nil)
	}()
	<-sets
	const changes = 50
	pool := lease.Pool{Network: netip.MustParsePrefix("10.5.0.0/16"), SubnetLen: 24, Min: netip.MustParseAddr("10.5.0.0"), Max: netip.MustParseAddr("10.5.255.0")}
	for i := range changes {
		s.putLease(t, lease.Lease{V4: lease.Path{Subnet: pool.At(uint64(i))}}.Key())
	}
	// What the client got meanwhile is not known to this test, so the first set may lack some.
	told := 0
	for n := 0; n != changes; told++ {
		proceed <- struct{}{}
		n = <-sets
	}
	if told > changes/5 {
		t.Errorf("%d changes came as %d sets", changes, told)
	}
	cancel()
	proceed <- struct{}{}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestTheSpreadOfReturnsGrowsWithTheNetworkAndTheTrouble(t *testing.T) {
	for _, test := range []struct {
		failures, keys int
		want           time.Duration
	}{
		{0, 0, 200 * time.Millisecond}, {0, 5000, 5200 * time.Millisecond}, {1, 5000, 10400 * time.Millisecond},
		{3, 0, 1600 * time.Millisecond}, {100, 0, 30 * time.Second}, {0, 1 << 30, 30 * time.Second},
	} {
		if got := spread(test.failures, test.keys); got != test.want {
			t.Errorf("after %d failures, with %d keys: got %s, want %s", test.failures, test.keys, got, test.want)
		}
	}
}
