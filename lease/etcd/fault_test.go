package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const subnets = "/coreos.com/network/subnets/"

// A node takes a lease, holds it and watches the others, as a daemon does.
type node struct {
	id    string
	moves bool // to another lease, when it loses the one it has

	mu    sync.Mutex
	own   lease.Lease
	peers []lease.Lease
	lost  []string // of those that were in etcd all the time, how often a set was without one
}

// join starts a node that uses etcd through the wires, until the test ends.
func (c *cluster) join(n lease.Network) {
	c.Helper()
	client := c.dialNode()
	nd := &node{id: fmt.Sprint("node", len(c.nodes))}
	m := lease.NewManager(newStore(c.T, client), n, lease.ManagerOptions{NodeID: nd.id, TTL: time.Minute, Logger: c.log})
	ctx, cancel := context.WithCancel(c.Context())
	host, ended := byte(len(c.nodes)+1), make(chan error, 1)
	go func() { ended <- nd.run(ctx, m, host) }()
	c.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			c.Errorf("%s ended with %v", nd.id, err)
		}
		client.Close()
	})
	c.nodes = append(c.nodes, nd)
}

func (nd *node) run(ctx context.Context, m *lease.Manager, host byte) error {
	for {
		own, err := m.Acquire(ctx, lease.Lease{V4: lease.Path{PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, host})}})
		if err != nil {
			return err
		}
		nd.setOwn(own)
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return m.Hold(ctx) })
		g.Go(func() error { return m.Peers(ctx, nd.tell) })
		if err := g.Wait(); !nd.moves || !errors.Is(err, lease.ErrLost) {
			return err
		}
		nd.setOwn(lease.Lease{})
	}
}

func (nd *node) setOwn(own lease.Lease) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.own = own
}

func (nd *node) tell(set lease.Peers) error {
	peers := lease.List(set)
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.peers = peers
	for _, stays := range []string{"10.3.101.0/24", "10.3.102.0/24"} {
		if !slices.ContainsFunc(peers, func(p lease.Lease) bool { return p.String() == stays }) {
			nd.lost = append(nd.lost, stays)
		}
	}
	return nil
}

func (nd *node) lease() lease.Lease {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	return nd.own
}

// says is the peers as text, their data too.
func says(peers []lease.Lease) string {
	var text strings.Builder
	for _, p := range peers {
		fmt.Fprintf(&text, "%s %s %s\n", p, p.V4.PublicIP, p.V4.Data)
	}
	return text.String()
}

// sees reports whether the node knows just what etcd says.
func (nd *node) sees(records []lease.Record) bool {
	var want []lease.Lease
	for _, r := range records {
		if r.NodeID != nd.id {
			want = append(want, r.Lease)
		}
	}
	nd.mu.Lock()
	defer nd.mu.Unlock()
	return says(nd.peers) == says(want)
}

// A fault is something that happens to a cluster. The functions return the members that a person can still use.
type fault struct {
	name   string
	begin  func(*cluster) *member // nil if nothing can be written
	end    func(*cluster)
	forget bool // history while it lasts
}

var faults = []fault{
	{name: "the leader dies", begin: func(c *cluster) *member {
		leader, others := c.leader()
		c.stop(leader)
		return others[0]
	}, end: (*cluster).startStopped},
	{name: "a member restarts", begin: func(c *cluster) *member {
		leader, others := c.leader()
		c.stop(others[0])
		return leader
	}, end: (*cluster).startStopped},
	{name: "the majority is down", begin: func(c *cluster) *member {
		c.stop(c.members[:2]...)
		return nil
	}, end: (*cluster).startStopped},
	{name: "the leader is cut off from the others", begin: func(c *cluster) *member {
		leader, others := c.leader()
		cut(leader, others)
		await(c.T, "another leader", func() bool {
			return others[0].etcd.Server.Leader() == others[1].etcd.Server.MemberID() ||
				others[0].etcd.Server.Leader() == others[0].etcd.Server.MemberID()
		})
		return others[0]
	}, end: func(c *cluster) {
		for i, m := range c.members {
			mend(m, c.members[i+1:])
		}
	}},
	{name: "nodes reach one member only", begin: func(c *cluster) *member {
		c.members[0].wire.cut()
		c.members[1].wire.cut()
		return c.members[2]
	}, end: func(c *cluster) { c.eachWire((*wire).mend) }},
	{name: "nodes reach no member", begin: func(c *cluster) *member {
		c.eachWire((*wire).cut)
		return c.members[0]
	}, end: func(c *cluster) { c.eachWire((*wire).mend) }},
	{name: "nodes reach no member while history is forgotten", forget: true, begin: func(c *cluster) *member {
		c.eachWire((*wire).cut)
		return c.members[0]
	}, end: func(c *cluster) { c.eachWire((*wire).mend) }},
	{name: "streams are dropped", begin: func(c *cluster) *member {
		c.eachWire((*wire).cut)
		c.eachWire((*wire).mend)
		return c.members[0]
	}, end: func(*cluster) {}},
	{name: "members are defragmented", begin: func(c *cluster) *member {
		for _, m := range c.members {
			if _, err := c.person(m).Defragment(c.Context(), m.config.ListenClientUrls[0].String()); err != nil {
				c.Fatal(err)
			}
		}
		return c.members[0]
	}, end: func(*cluster) {}},
	{name: "the disk is full", begin: func(c *cluster) *member {
		person, mebibyte := c.person(c.members[0]), strings.Repeat("x", 1<<20)
		await(c.T, "a full disk", func() bool {
			_, err := person.Put(c.Context(), "x", mebibyte)
			return errors.Is(err, rpctypes.ErrNoSpace)
		})
		return nil
	}, end: (*cluster).makeRoom},
}

func (c *cluster) startStopped() {
	c.start(slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m.etcd != nil })...)
}

// makeRoom is what an operator does whose etcd has reached its limit.
func (c *cluster) makeRoom() {
	c.Helper()
	person := c.person(c.members[0])
	resp, err := person.Get(c.Context(), "x")
	if err == nil {
		_, err = person.Compact(c.Context(), resp.Header.Revision, clientv3.WithCompactPhysical())
	}
	for _, m := range c.members {
		if err == nil {
			_, err = c.person(m).Defragment(c.Context(), m.config.ListenClientUrls[0].String())
		}
	}
	if err == nil {
		_, err = person.AlarmDisarm(c.Context(), &clientv3.AlarmMember{})
	}
	if err != nil {
		c.Fatal(err)
	}
}

// All faults happen to one cluster and the same nodes, one after the other. During each, one more node joins.
func TestNodesGetOverAllFaultsOfACluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	person := c.person(c.members[0])
	for _, key := range []string{"10.3.101.0-24", "10.3.102.0-24", "10.3.103.0-24", "10.3.104.0-24"} {
		put(t, person, key, "before")
	}
	n := network(t, fmt.Sprintf(`{"Network":"10.3.0.0/16","SubnetMax":"10.3.%d.0"}`, 1+len(faults))) // none to spare
	c.join(n)
	for _, f := range faults {
		ok := t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			inner := *c
			inner.T = t
			m := f.begin(&inner)
			c.join(n)
			if m != nil {
				inner.change(m, f)
				f.end(&inner)
			} else {
				f.end(&inner)
				m, _ = inner.leader()
				inner.change(m, f)
			}
			inner.nodes = c.nodes
			inner.converge(m)
		})
		if !ok {
			break
		}
	}
}

// converge waits until all nodes know what etcd says, which must have a lease for each.
func (c *cluster) converge(m *member) {
	c.Helper()
	c.convergeOn(newStore(c.T, c.person(m)))
}

func (c *cluster) convergeOn(store *etcd.Store) {
	c.Helper()
	var s lease.Snapshot
	await(c.T, "each node to see what etcd says", func() bool {
		var err error
		s, err = store.Load(c.Context())
		return err == nil && !slices.ContainsFunc(c.nodes, func(nd *node) bool { return !nd.sees(s.List()) })
	})
	for _, nd := range c.nodes {
		if !slices.ContainsFunc(s.List(), func(r lease.Record) bool { return r.Equal(nd.lease()) }) {
			c.Errorf("%s holds %s, of which etcd knows nothing", nd.id, nd.lease())
		}
		nd.mu.Lock()
		if len(nd.lost) > 0 {
			c.Errorf("%s was told of peers without %v", nd.id, nd.lost)
		}
		nd.mu.Unlock()
	}
}

// change changes what one node that runs flannel says, and lets another leave or join again.
func (c *cluster) change(m *member, f fault) {
	c.Helper()
	c.changeBy(c.person(m), f)
}

func (c *cluster) changeBy(person *clientv3.Client, f fault) {
	c.Helper()
	put(c.T, person, "10.3.103.0-24", f.name)
	resp, err := person.Delete(c.Context(), subnets+"10.3.104.0-24")
	if err != nil {
		c.Fatal(err)
	}
	if resp.Deleted == 0 {
		put(c.T, person, "10.3.104.0-24", "again")
	}
	if f.forget {
		if _, err := person.Compact(c.Context(), resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			c.Fatal(err)
		}
	}
}

// put writes flannel's lease with some data, and tries until etcd takes it.
func put(t *testing.T, client *clientv3.Client, key, data string) {
	t.Helper()
	value := fmt.Sprintf(`{"PublicIP":"192.0.2.99","PublicIPv6":null,"BackendType":"extension","BackendData":%q}`, data)
	await(t, "etcd to take "+key, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := client.Put(ctx, subnets+key, value)
		return err == nil
	})
}
