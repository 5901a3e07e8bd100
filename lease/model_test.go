package lease_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/leasetest"
)

// OVERLAYD_MODEL_CHECKS is how many sequences of up to 50 steps to try, 400 if it is not set.
func TestNodesStayRightWhateverHappensToTheirStore(t *testing.T) {
	checks := os.Getenv("OVERLAYD_MODEL_CHECKS")
	if checks == "" {
		checks = "400"
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.nofailfile": "true"} {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatalf("OVERLAYD_MODEL_CHECKS: %v", err)
		}
		defer flag.Set(name, before)
	}
	rapid.Check(t, func(rt *rapid.T) {
		first := rapid.SampledFrom(networks).Draw(rt, "network")
		steps := rapid.SliceOfN(rapid.Custom(drawStep), 1, 50).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = runModel(t.Context(), first, steps) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// A step is an action, and all that one may need to know. Its values are drawn without a look at the store, so that rapid
// can shorten a sequence.
type step struct {
	Action  string
	Node    int
	Key     int
	Host    byte
	Subnet4 string
	Subnet6 string
	Data    string
	Garbage string
	Network string
	Wait    time.Duration
	Yes     bool
}

// What is drawn. Subnets in the pools come up often, so that things meet.
var (
	networks = []string{
		`{"Network":"10.3.0.0/16","SubnetMax":"10.3.5.0"}`,
		`{"Network":"10.3.0.0/16","SubnetMin":"10.3.3.0","SubnetMax":"10.3.7.0"}`,
		`{"EnableIPv6":true,"Network":"10.3.0.0/16","SubnetMax":"10.3.5.0","IPv6Network":"fc00::/48","IPv6SubnetMax":"fc00:0:0:5::"}`,
	}
	hosts    = []byte{1, 2, 3, 101, 102, 103}
	subnets4 = []string{
		"10.3.1.0/24", "10.3.2.0/24", "10.3.3.0/24", "10.3.4.0/24", "10.3.5.0/24",
		"10.3.6.0/24", "10.3.0.0/24", "10.3.4.0/23", "10.3.3.128/25", "192.168.1.0/24",
	}
	subnets6 = []string{"", "", "fc00:0:0:1::/64", "fc00:0:0:2::/64", "fc00:0:0:3::/64", "fd00::/64"}
	data     = []string{"", `{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:01"}`, `{"VtepMAC":"aa:bb:cc:dd:ee:02"}`, `"key"`}
	garbage  = []string{"garbage", "", "null", `{"PublicIP":"$(reboot)"}`, `{"PublicIP":1}`, "{}x"}
	waits    = []time.Duration{0, time.Millisecond, time.Second, 20 * time.Second, 10 * time.Minute, 30 * time.Hour}
)

// actions are what happens to the nodes and to their store, the simplest first.
var actions = []struct {
	name string
	do   func(*model, step)
}{
	{"time passes", (*model).wait},
	{"flannel takes a subnet", (*model).flannel},
	{"a subnet is reserved", func(m *model, s step) { m.put(s.lease().Key(), s.lease()) }},
	{"a lease is reserved for another node", (*model).reserveOver},
	{"garbage is written", func(m *model, s step) { m.touch(m.key(s)); m.store.Put(m.key(s), s.Garbage) }},
	{"a lease is overwritten", (*model).overwrite},
	{"a lease changes", (*model).change},
	{"a key is removed", func(m *model, s step) { m.touch(m.key(s)); m.store.Remove(m.key(s)) }},
	{"a lease expires", (*model).expire},
	{"the store goes down", func(m *model, _ step) { m.down = true; m.store.Break(errors.New("nobody there")) }},
	{"the store comes back", func(m *model, _ step) { m.down = false; m.store.Break(nil) }},
	{"a node restarts", (*model).restart},
	{"the network changes", (*model).changeNetwork},
}

func drawStep(t *rapid.T) step {
	return step{
		Action:  actions[rapid.IntRange(0, len(actions)-1).Draw(t, "action")].name,
		Node:    rapid.IntRange(0, 2).Draw(t, "node"),
		Key:     rapid.IntRange(0, 9).Draw(t, "key"),
		Host:    rapid.SampledFrom(hosts).Draw(t, "host"),
		Subnet4: rapid.SampledFrom(subnets4).Draw(t, "IPv4 subnet"),
		Subnet6: rapid.SampledFrom(subnets6).Draw(t, "IPv6 subnet"),
		Data:    rapid.SampledFrom(data).Draw(t, "data"),
		Garbage: rapid.SampledFrom(garbage).Draw(t, "garbage"),
		Network: rapid.SampledFrom(networks).Draw(t, "network"),
		Wait:    rapid.SampledFrom(waits).Draw(t, "time"),
		Yes:     rapid.Bool().Draw(t, "yes"),
	}
}

// A model is a store, nodes that use it, and what was in the store when all was last looked at.
type model struct {
	ctx     context.Context
	store   *leasetest.Memory
	network lease.Network // of nodes that start
	nodes   []*modelNode
	down    bool
	log     bytes.Buffer
	err     error // the first thing that was wrong

	before  lease.Snapshot
	touched map[string]bool // keys that an action has written or removed since
	waited  bool            // so long that leases may have expired since
}

// runModel does the steps, in a bubble of virtual time. The first two nodes are behind one public address.
func runModel(ctx context.Context, network string, steps []step) error {
	m := &model{ctx: ctx, store: leasetest.NewMemory(), touched: map[string]bool{}}
	m.setNetwork(network)
	log := slog.New(slog.NewTextHandler(&m.log, nil))
	for i, host := range []byte{1, 1, 2} {
		n := &modelNode{store: m.store, id: fmt.Sprint("node", i), host: host}
		n.log = log.With("node", n.id)
		m.nodes = append(m.nodes, n)
		n.start(m.network)
		defer n.stop()
	}
	end := []step{{Action: "the store comes back"}, {Action: "time passes", Wait: 10 * time.Minute}}
	for i, s := range append(steps, end...) {
		for _, a := range actions {
			if a.name == s.Action {
				a.do(m, s)
			}
		}
		if m.check(); m.err != nil {
			return fmt.Errorf("after step %d, %q: %w; log:\n%s", i, s.Action, m.err, &m.log)
		}
	}
	return nil
}

func (m *model) failf(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}

func (m *model) setNetwork(text string) {
	network, err := lease.ParseNetwork([]byte(text))
	if err != nil {
		m.failf("%w", err)
	}
	m.network = network
}

// lease is one of a node that runs flannel.
func (s step) lease() lease.Lease {
	l := node(s.Host)
	l.V4.Subnet, l.V6.Subnet, l.V4.Data = prefix(s.Subnet4), prefix(s.Subnet6), nil
	if s.Data != "" {
		l.V4.Data = []byte(s.Data)
	}
	return l
}

// key is one that was in the store, mostly.
func (m *model) key(s step) string {
	if s.Key < m.before.Records.Len() {
		return m.before.List()[s.Key].Key()
	}
	return s.lease().Key()
}

// touch allows that the key is not as it was.
func (m *model) touch(key string) { m.touched[key] = true }

func (m *model) put(key string, l lease.Lease) {
	value, err := lease.EncodeValue(l)
	if err != nil {
		m.failf("%w", err)
	}
	m.touch(key)
	m.store.Put(key, string(value))
}

func (m *model) flannel(s step) {
	if _, err := m.store.Create(m.ctx, m.before, 24*time.Hour, s.lease()); err == nil {
		m.touch(s.lease().Key())
	}
}

// overwrite is what flannel's renewal does, and a person with etcdctl.
func (m *model) overwrite(s step) {
	key, l := m.key(s), s.lease()
	if s.Yes {
		l.NodeID = "somebody"
	}
	l.V4.Subnet, l.V6.Subnet, _ = lease.ParseKey(key)
	m.put(key, l)
}

// reserveOver is what a person does who follows flannel's recipe for reservations without a look at who has the subnet.
func (m *model) reserveOver(s step) {
	key, l := m.key(s), s.lease()
	l.V4.PublicIP = node(s.Host % 100).V4.PublicIP
	l.V4.Subnet, l.V6.Subnet, _ = lease.ParseKey(key)
	m.put(key, l)
}

// change is what flannel does at a restart.
func (m *model) change(s step) {
	if s.Key >= m.before.Records.Len() || m.before.List()[s.Key].NodeID != "" {
		return
	}
	old, l := m.before.List()[s.Key], s.lease()
	l.V4.Subnet, l.V6.Subnet = old.V4.Subnet, old.V6.Subnet
	if _, err := m.store.Update(m.ctx, old, 24*time.Hour, l); err == nil {
		m.touch(old.Key())
	}
}

func (m *model) expire(s step) {
	if s.Key < m.before.Records.Len() {
		m.touch(m.before.List()[s.Key].Key())
		m.store.Expire(m.before.List()[s.Key])
	}
}

func (m *model) restart(s step) {
	n := m.nodes[s.Node]
	n.stop()
	if s.Yes && n.manager.Release(m.ctx) == nil {
		m.touch(n.last.Key())
	}
	n.host = s.Host % 100
	n.start(m.network)
}

// changeNetwork lets some nodes hear of it late, when they restart.
func (m *model) changeNetwork(s step) {
	m.setNetwork(s.Network)
	for _, n := range m.nodes[s.Node:] {
		n.stop()
		n.start(m.network)
	}
}

func (m *model) wait(s step) {
	m.waited = m.waited || s.Wait > time.Hour
	time.Sleep(s.Wait)
	if m.check(); !m.down && s.Wait >= 10*time.Minute {
		m.settled()
	}
}
