package etcd_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease/etcd"
)

// The tests named TestDefect, here and in other packages, show that a node does not do what flannel v0.28 does, which is said
// above each.

// Any event below the prefix that could not be read removed all peers.
func TestDefect01UnparsableEventRemovesNobody(t *testing.T) {
	t.Parallel()
	client := dial(t, startCluster(t, 1).endpoints()...)
	put(t, client, "10.3.101.0-24", "stays")
	sets := watchPeers(t, newStore(t, client), nil)
	awaitPeers(t, sets, fmt.Sprintf(flannelSays, "stays"))
	for key, value := range map[string]string{
		subnets + "foo":                    `{}`,
		"/coreos.com/network/subnets-x":    `{}`,
		subnets:                            `{}`,
		subnets + "10.3.7.1-32":            `{"PublicIP":"192.0.2.7"}`,
		subnets + "10.3.8.0-24":            `not json`,
		subnets + "10.3.9.0-24":            `{"PublicIP":null}{`,
		subnets + "10.3.10.0-24/10.3.11.0": `{}`,
	} {
		if _, err := client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	put(t, client, "10.3.101.0-24", "later")
	await(t, "what happened last", func() bool {
		set := says(<-sets)
		if !strings.Contains(set, "10.3.101.0/24") {
			t.Fatalf("told of peers %q", set)
		}
		return set == fmt.Sprintf(flannelSays, "later")
	})
}

// What changed in a lease while history was forgotten was never applied, since lists were compared by subnet alone.
func TestDefect04ChangesWhileHistoryIsForgottenAreSeen(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	person := c.person(c.members[0])
	put(t, person, "10.3.101.0-24", "before")
	sets := watchPeers(t, newStore(t, dial(t, c.endpoints()...)), nil)
	awaitPeers(t, sets, fmt.Sprintf(flannelSays, "before"))
	c.eachWire((*wire).cut)
	put(t, person, "10.3.101.0-24", "after")
	resp, err := person.Get(t.Context(), subnets)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := person.Compact(t.Context(), resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	c.eachWire((*wire).mend)
	awaitPeers(t, sets, fmt.Sprintf(flannelSays, "after"))
}

// The password was in the log.
func TestDefect15ThePasswordIsNeitherInErrorsNorInTheLog(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	o := etcd.DialOptions{Endpoints: []string{"http://" + freePort(t)}, Username: "node", PasswordFile: writeFile(t, "file", password)}
	client, err := etcd.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var log bytes.Buffer
	store := etcd.New(client, "/coreos.com/network", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = store.Load(ctx)
	if text := fmt.Sprintf("%+v %v %s", o, err, &log); err == nil || strings.Contains(text, password) {
		t.Errorf("got %s", text)
	}
}

// Each key and each event cost a request of its own.
func TestDefect17RequestsDoNotGrowWithTheCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	person := c.person(c.members[0])
	for i := range 500 {
		put(t, person, fmt.Sprintf("10.3.%d.%d-31", 16+i/100, i%100*2), "flannel")
	}
	client := dial(t, c.endpoints()...)
	before := c.requests.Load()
	sets := watchPeers(t, newStore(t, client), nil)
	if peers := <-sets; len(peers) != 500 {
		t.Errorf("%d peers, want 500", len(peers))
	}
	if n := c.requests.Load() - before; n > 5 {
		t.Errorf("a start took %d requests, want at most 5", n)
	}
}

// A watch of all that begins with the leases' prefix took neighbours in.
func TestDefect19NeighboursOfThePrefixAreNotSeen(t *testing.T) {
	t.Parallel()
	client := dial(t, startCluster(t, 1).endpoints()...)
	sets := watchPeers(t, newStore(t, client), nil)
	for _, neighbour := range []string{"subnets-old/", "subnets", "subnetsx/"} {
		if _, err := client.Put(t.Context(), "/coreos.com/network/"+neighbour+"10.3.103.0-24", `{"PublicIP":"192.0.2.3"}`); err != nil {
			t.Fatal(err)
		}
	}
	put(t, client, "10.3.101.0-24", "")
	awaitPeers(t, sets, fmt.Sprintf(flannelSays, ""))
	s, err := newStore(t, client).Load(t.Context())
	if err != nil || s.Records.Len() != 2 || s.Unreadable.Len() != 0 {
		t.Errorf("got %v, %v, want the own lease and one more", s, err)
	}
}
