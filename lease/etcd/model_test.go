package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
)

// OVERLAYD_MODEL_SEQUENCES is how many sequences to try, 2 if it is not set, and OVERLAYD_MODEL_SEED which.
//
// Each is a dozen things that happen to three nodes, to their leases and to the three members of their etcd, in any order and
// without waiting. When all is whole again, each node holds a lease that is its alone and sees all others; and at no time was
// one of them told of peers without those that were there all the time.
func TestNodesStayRightWhateverHappensToARealEtcd(t *testing.T) {
	t.Parallel()
	number := func(name string, byDefault uint64) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			return byDefault
		}
		return n
	}
	c := startCluster(t, 3)
	seed := number("OVERLAYD_MODEL_SEED", uint64(time.Now().UnixNano()))
	for range number("OVERLAYD_MODEL_SEQUENCES", 2) {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inner := *c
			inner.T = t
			(&happenings{cluster: &inner, rnd: rand.New(rand.NewPCG(seed, 0))}).run()
		})
		if !ok {
			return
		}
		seed++
	}
}

// happenings are one sequence.
type happenings struct {
	*cluster
	rnd  *rand.Rand
	done []string
}

// whatHappens tries once each, and may fail where something else has broken the cluster.
var whatHappens = []struct {
	name string
	do   func(*happenings, context.Context, *clientv3.Client) error
}{
	{"flannel says something new", func(h *happenings, ctx context.Context, person *clientv3.Client) error {
		_, err := person.Put(ctx, subnets+"10.3.103.0-24", fmt.Sprintf(`{"PublicIP":"192.0.2.%d"}`, 100+h.rnd.IntN(100)))
		return err
	}},
	{"flannel leaves", func(_ *happenings, ctx context.Context, person *clientv3.Client) error {
		_, err := person.Delete(ctx, subnets+"10.3.103.0-24")
		return err
	}},
	{"a lease is deleted", func(h *happenings, ctx context.Context, person *clientv3.Client) error {
		_, err := person.Delete(ctx, subnets+h.someone().lease().Key())
		return err
	}},
	{"a lease expires", func(h *happenings, ctx context.Context, person *clientv3.Client) error {
		resp, err := person.Get(ctx, subnets+h.someone().lease().Key())
		if err != nil || len(resp.Kvs) == 0 || resp.Kvs[0].Lease == 0 {
			return err
		}
		_, err = person.Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))
		return err
	}},
	{"a lease is overwritten", func(h *happenings, ctx context.Context, person *clientv3.Client) error {
		if own := h.someone().lease(); own.String() != "" {
			_, err := person.Put(ctx, subnets+own.Key(), []string{"garbage", `{"PublicIP":"192.0.2.77"}`, `{"NodeID":"other"}`}[h.rnd.IntN(3)])
			return err
		}
		return nil
	}},
	{"history is forgotten", func(_ *happenings, ctx context.Context, person *clientv3.Client) error {
		resp, err := person.Get(ctx, "x")
		if err == nil {
			_, err = person.Compact(ctx, resp.Header.Revision)
		}
		return err
	}},
	{"nodes lose a member", func(h *happenings, _ context.Context, _ *clientv3.Client) error {
		h.members[h.rnd.IntN(3)].wire.cut()
		return nil
	}},
	{"nodes find all members again", func(h *happenings, _ context.Context, _ *clientv3.Client) error {
		h.eachWire((*wire).mend)
		return nil
	}},
	{"a member stops", func(h *happenings, _ context.Context, _ *clientv3.Client) error {
		h.stop(h.members[1+h.rnd.IntN(2)]) // the other one is the person's
		return nil
	}},
	{"members that stopped start again", func(h *happenings, _ context.Context, _ *clientv3.Client) error {
		h.startStopped()
		return nil
	}},
	{"some time passes", func(h *happenings, _ context.Context, _ *clientv3.Client) error {
		time.Sleep(time.Duration(h.rnd.IntN(500)) * time.Millisecond)
		return nil
	}},
}

func (h *happenings) run() {
	person := h.person(h.members[0])
	if _, err := person.Delete(h.Context(), subnets, clientv3.WithPrefix()); err != nil {
		h.Fatal(err)
	}
	for _, key := range []string{"10.3.101.0-24", "10.3.102.0-24"} {
		put(h.T, person, key, "stays")
	}
	n := network(h.T, `{"Network":"10.3.0.0/16","SubnetMax":"10.3.20.0"}`)
	for range 3 {
		h.join(n)
		h.nodes[len(h.nodes)-1].moves = true
	}
	for range 12 {
		one := whatHappens[h.rnd.IntN(len(whatHappens))]
		ctx, cancel := context.WithTimeout(h.Context(), time.Second)
		err := one.do(h, ctx, person)
		cancel()
		h.done = append(h.done, fmt.Sprintf("%s: %v", one.name, err))
	}
	h.eachWire((*wire).mend)
	h.startStopped()
	h.Cleanup(func() {
		if h.Failed() {
			h.Logf("what happened:\n%s", strings.Join(h.done, "\n"))
		}
	})
	h.settle(person)
}

func (h *happenings) someone() *node { return h.nodes[h.rnd.IntN(len(h.nodes))] }

// settle waits until all is as it should be.
func (h *happenings) settle(person *clientv3.Client) {
	h.Helper()
	store := newStore(h.T, person)
	wrong := errors.New("nothing was looked at")
	defer func() {
		if h.Failed() {
			h.Log("last: ", wrong)
		}
	}()
	await(h.T, "each node to have a lease and to see all others", func() bool {
		s, err := store.Load(h.Context())
		if wrong = err; err == nil {
			wrong = h.wrong(s)
		}
		return wrong == nil
	})
	for _, nd := range h.nodes {
		nd.mu.Lock()
		if len(nd.lost) > 0 {
			h.Errorf("%s was told of peers without %v", nd.id, nd.lost)
		}
		nd.mu.Unlock()
	}
}

func (h *happenings) wrong(s lease.Snapshot) error {
	for i, nd := range h.nodes {
		own := nd.lease()
		if !slices.ContainsFunc(s.List(), func(r lease.Record) bool { return r.Equal(own) }) {
			return fmt.Errorf("%s holds %q, and etcd has %v", nd.id, own, s.List())
		}
		if !nd.sees(s.List()) {
			return fmt.Errorf("%s does not see what etcd has: %v", nd.id, s.List())
		}
		for _, o := range h.nodes[:i] {
			if o.lease().V4.Subnet.Overlaps(own.V4.Subnet) {
				return fmt.Errorf("%s and %s hold %s", nd.id, o.id, own)
			}
		}
	}
	return nil
}
