package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// A listener counts log records that say something.
type listener struct {
	slog.Handler
	says  string
	times atomic.Int64
}

func listenFor(says string) *listener { return &listener{Handler: slog.DiscardHandler, says: says} }

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }
func (l *listener) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.says) {
		l.times.Add(1)
	}
	return nil
}

// Packets are dropped, and nobody says so: no connection ends by itself. etcd forgets what happens meanwhile.
func TestNodesGetOverASilentPartition(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	person := c.person(c.members[0])
	for _, key := range []string{"10.3.101.0-24", "10.3.102.0-24", "10.3.103.0-24", "10.3.104.0-24"} {
		put(t, person, key, "before")
	}
	n := network(t, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0"}`)
	defer c.eachWire((*wire).speak)
	troubled := listenFor("watch leases: trying on")
	c.log = slog.New(troubled)
	c.join(n)
	c.join(n)
	c.converge(c.members[0])
	c.eachWire((*wire).hush)
	c.join(n)
	c.change(c.members[0], fault{name: "silence", forget: true})
	await(t, "both nodes to notice", func() bool { return troubled.times.Load() >= 2 })
	c.eachWire((*wire).speak)
	c.converge(c.members[0])
}

// A frozen member takes connections and says nothing. Whoever is connected to it has to notice.
func TestNodesGetOverFrozenAndKilledMembers(t *testing.T) {
	t.Parallel()
	members := startProcesses(t, 3)
	c := &cluster{T: t}
	for _, m := range members {
		c.direct = append(c.direct, m.Client.String())
	}
	person := dial(t, c.direct...)
	for _, key := range []string{"10.3.101.0-24", "10.3.102.0-24", "10.3.103.0-24", "10.3.104.0-24"} {
		put(t, person, key, "before")
	}
	n := network(t, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0"}`)
	c.join(n)
	c.join(n)
	c.convergeOn(newStore(t, person))

	leader, others := leads(t, members)
	rest := dial(t, others[0].Client.String(), others[1].Client.String())
	leader.freeze()
	c.join(n)
	c.changeBy(rest, fault{name: "frozen"})
	c.convergeOn(newStore(t, rest))
	leader.thaw()
	c.changeBy(rest, fault{name: "thawed", forget: true})
	c.convergeOn(newStore(t, rest))

	leader, others = leads(t, members)
	rest = dial(t, others[0].Client.String(), others[1].Client.String())
	leader.kill()
	c.join(n)
	c.changeBy(rest, fault{name: "killed"})
	c.convergeOn(newStore(t, rest))
	leader.start(t)
	c.changeBy(rest, fault{name: "started"})
	c.convergeOn(newStore(t, rest))
}

// leads waits until a member leads, and returns it and the others.
func leads(t *testing.T, members []*memberProcess) (leader *memberProcess, others []*memberProcess) {
	t.Helper()
	await(t, "a leader", func() bool {
		leader, others = nil, nil
		for _, m := range members {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			status, err := dial(t, m.Client.String()).Status(ctx, m.Client.String())
			cancel()
			if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
				leader = m
			} else {
				others = append(others, m)
			}
		}
		return leader != nil && len(others) == len(members)-1
	})
	return leader, others
}

// A node whose machine was suspended, or that was stopped in a debugger, finds its lease ended long ago by the clock of all
// others, though for itself no time has passed.
func TestALeaseThatEndedInNoTimeIsTakenAgain(t *testing.T) {
	t.Parallel()
	person := dial(t, startCluster(t, 1).endpoints()...)
	n := network(t, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.4.0"}`)
	m := lease.NewManager(newStore(t, person), n, lease.ManagerOptions{NodeID: "a", TTL: time.Hour})
	own, err := m.Acquire(t.Context(), lease.Lease{V4: lease.Path{PublicIP: netip.MustParseAddr("192.0.2.1")}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStore(t, person).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := person.Revoke(t.Context(), clientv3.LeaseID(s.List()[0].ID)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- m.Hold(ctx) }()
	go func() { ended <- m.Peers(ctx, func(lease.Peers) error { return nil }) }()
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		}
	}()
	await(t, "the lease to be there again", func() bool {
		s, err := newStore(t, person).Load(t.Context())
		return err == nil && slices.ContainsFunc(s.List(), func(r lease.Record) bool { return r.Equal(own) && !r.Reserved() })
	})
}

// dialNode is a node's client, which uses etcd through the wires if the cluster has any.
func (c *cluster) dialNode() *clientv3.Client {
	c.Helper()
	endpoints := c.direct
	if endpoints == nil {
		endpoints = c.endpoints()
	}
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: endpoints})
	if err != nil {
		c.Fatal(fmt.Errorf("dial: %w", err))
	}
	return client
}
