package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/leasetest"
)

// A world is a store, and nodes of one network that use it, in a bubble of virtual time.
type world struct {
	*testing.T
	store   *leasetest.Memory
	network lease.Network
	log     bytes.Buffer
	logger  *slog.Logger
}

// inWorld runs a test on a network of four subnets, 10.3.1.0/24 to 10.3.4.0/24 unless more is said.
func inWorld(t *testing.T, more string, run func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		network, err := lease.ParseNetwork([]byte(`{"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0"` + more + `}`))
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, store: leasetest.NewMemory(), network: network}
		w.logger = slog.New(slog.NewTextHandler(&w.log, nil))
		run(w)
	})
}

func (w *world) manager(id string, previous ...netip.Prefix) *lease.Manager {
	return lease.NewManager(w.store, w.network, lease.ManagerOptions{
		NodeID: id, Previous: previous, Logger: w.logger, Rand: rand.New(rand.NewPCG(1, 2)),
	})
}

// node is what the node with that last byte in its public addresses wants.
func node(n byte) lease.Lease {
	return lease.Lease{
		V4:          lease.Path{PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, n}), Data: []byte(`"mac"`)},
		V6:          lease.Path{PublicIP: netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n))},
		BackendType: "extension",
	}
}

func (w *world) acquire(m *lease.Manager, want lease.Lease) lease.Lease {
	w.Helper()
	got, err := m.Acquire(w.Context(), want)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

// try acquires for a time, and reports whether that succeeded.
func (w *world) try(m *lease.Manager, want lease.Lease, patience time.Duration) bool {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	_, err := m.Acquire(ctx, want)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.Errorf("acquire: got %v, want only the context to end it", err)
	}
	return err == nil
}

// holding starts to hold and to watch; what it returns stops that and yields how Hold ended.
func (w *world) holding(m *lease.Manager, set func([]lease.Lease)) (stop func() error) {
	ctx, cancel := context.WithCancel(w.Context())
	held, watched := make(chan error, 1), make(chan error, 1)
	go func() { held <- m.Hold(ctx) }()
	go func() {
		watched <- m.Peers(ctx, func(peers lease.Peers) error { set(lease.List(peers)); return nil })
	}()
	synctest.Wait()
	return func() error {
		synctest.Wait()
		cancel()
		<-watched
		return <-held
	}
}

func ignore([]lease.Lease) {}

// holds compares what the store holds: "KEY NODEID", a reservation with a star.
func (w *world) holds(want ...string) {
	w.Helper()
	s, err := w.store.Load(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, r := range s.List() {
		text := r.Key() + " " + r.NodeID
		if r.Reserved() {
			text += "*"
		}
		got = append(got, text)
	}
	if d := cmp.Diff(got, want, cmpopts.EquateEmpty()); d != "" {
		w.Errorf("store (-got +want)\n%s", d)
	}
}

func (w *world) logged(parts ...string) {
	w.Helper()
	for _, p := range parts {
		if !strings.Contains(w.log.String(), p) {
			w.Errorf("nothing is logged with %q:\n%s", p, &w.log)
		}
	}
}
