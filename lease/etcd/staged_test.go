package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/overlayd/overlayd/lease/etcd"
)

// configsNow are those that there are.
func configsNow(t *testing.T, store *etcd.Store) etcd.Configs {
	t.Helper()
	c, err := store.Configs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// watchConfigs returns what WatchConfig of a user hands over, in words.
func watchConfigs(t *testing.T, store *etcd.Store) (next func() string) {
	t.Helper()
	said := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- store.WatchConfig(ctx, etcd.ConfigRead{}, func(c etcd.Configs) error {
			said <- inWords(c)
			return nil
		}, func(err error) { t.Error(err) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v", err)
		}
	})
	return func() string { return <-said }
}

func inWords(c etcd.Configs) string {
	text := string(c.Value)
	if c.Staged != nil {
		text += fmt.Sprintf(", %s staged for %v", c.Staged.Value, c.Staged.Nodes)
	}
	if c.InForce() != nil {
		text += ", in force"
	}
	return text
}

func TestAStagedConfigIsSeenContinuedAndAbandoned(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	if err := store.PublishConfig(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	next := watchConfigs(t, store)
	want := func(want string) {
		t.Helper()
		if got := next(); got != want {
			t.Errorf("watched %q, want %q", got, want)
		}
	}
	stage := func(value string, nodes ...string) etcd.Configs {
		t.Helper()
		revision, err := store.Stage(t.Context(), configsNow(t, store), []byte(value), nodes, etcd.Author{By: "ada"})
		c := configsNow(t, store)
		if err != nil || c.Staged.Revision != revision || c.Staged.By != "ada" {
			t.Fatalf("staged %+v, %v, want revision %d by ada", c.Staged, err, revision)
		}
		return c
	}
	want("one")
	first := stage("two", "a")
	want("one, two staged for [a], in force")
	second := stage("two", "a", "b")
	want("one, two staged for [a b], in force")

	for what, err := range map[string]error{
		"continue": func() error { _, err := store.Continue(t.Context(), first, etcd.Author{}); return err }(),
		"abandon":  store.Abandon(t.Context(), first),
		"stage": func() error {
			_, err := store.Stage(t.Context(), first, []byte("three"), nil, etcd.Author{})
			return err
		}(),
	} {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s what has been replaced: got %v, want fs.ErrExist", what, err)
		}
	}
	if _, err := store.Continue(t.Context(), second, etcd.Author{By: "bob"}); err != nil {
		t.Fatal(err)
	}
	want("two, two staged for [a b]")
	if diff := cmp.Diff([]string{`two by "bob"`, `one by ""`}, said(t, store)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if _, err := store.Continue(t.Context(), second, etcd.Author{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("continued twice: got %v, want fs.ErrExist", err)
	}

	third := stage("three", "a")
	want("two, three staged for [a], in force")
	if _, err := client.Put(t.Context(), store.ConfigKey(), "four"); err != nil { // by other means
		t.Fatal(err)
	}
	want("four, three staged for [a]")
	if _, err := store.Continue(t.Context(), third, etcd.Author{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("continued over another config: got %v, want fs.ErrExist", err)
	}
	if err := store.Abandon(t.Context(), configsNow(t, store)); err != nil {
		t.Fatal(err)
	}
	want("four")
	if _, err := client.Put(t.Context(), store.StagedKey(), "no record"); err != nil {
		t.Fatal(err)
	}
	want("four")
	stage("five", "a")
	want("four, five staged for [a], in force")
}

func TestReportsAreOfWhatIsStagedNow(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	if err := store.PublishConfig(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	report := func(revision int64) map[string]etcd.Report {
		t.Helper()
		if err := store.Report(t.Context(), "a", etcd.Report{Staged: revision, State: "running"}); err != nil {
			t.Fatal(err)
		}
		c := configsNow(t, store)
		all, err := store.Reports(t.Context(), *c.Staged)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	stage := func() int64 {
		t.Helper()
		revision, err := store.Stage(t.Context(), configsNow(t, store), []byte("two"), []string{"a"}, etcd.Author{})
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	first := stage()
	if got := report(first); got["a"].State != "running" || len(got) != 1 {
		t.Errorf("got %v, want that of a", got)
	}
	second := stage()
	if got := report(first); len(got) != 0 {
		t.Errorf("a report of what was staged before counts: %v", got)
	}
	if kept, err := client.Get(t.Context(), prefix+"/overlayd/config/reports/a"); err != nil || len(kept.Kvs) > 0 {
		t.Errorf("it is written, or that of before is kept: %v, %v", kept, err)
	}
	if got := report(second); len(got) != 1 {
		t.Errorf("got %v, want that of a", got)
	}
}

func TestTheNodesRoleReadsWhatIsStagedAndReports(t *testing.T) {
	root, node := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], etcd.NodeGrants(prefix)...)
	operator, nodes := newStore(t, root), newStore(t, node)
	if err := operator.PublishConfig(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	next := watchConfigs(t, nodes)
	if got := next(); got != "one" {
		t.Errorf("watched %q", got)
	}
	revision, err := operator.Stage(t.Context(), configsNow(t, operator), []byte("two"), []string{"a"}, etcd.Author{})
	if err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "one, two staged for [a], in force" {
		t.Errorf("watched %q", got)
	}
	if err := nodes.Report(t.Context(), "a", etcd.Report{Staged: revision}); err != nil {
		t.Error(err)
	}
	_, err = nodes.Stage(t.Context(), configsNow(t, nodes), []byte("three"), nil, etcd.Author{})
	if !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a node stages: got %v, want it denied", err)
	}
	if err := nodes.Abandon(t.Context(), configsNow(t, nodes)); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a node abandons: got %v, want it denied", err)
	}
}

// The roles of before there were staged configs are good for all else.
func TestARoleThatMayNotReadWhatIsStagedFollowsTheConfig(t *testing.T) {
	root, node := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], etcd.NodeGrants(prefix)[:2]...)
	operator, nodes := newStore(t, root), newStore(t, node)
	if err := operator.PublishConfig(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	next := watchConfigs(t, nodes)
	if got := next(); got != "one" {
		t.Errorf("watched %q", got)
	}
	read, err := nodes.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = nodes.WatchConfig(ctx, read, func(c etcd.Configs) error {
		cancel()
		return nil
	}, func(err error) { t.Error(err) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("begun with what was read, the watch ended with %v", err)
	}
	if _, err := operator.Stage(t.Context(), configsNow(t, operator), []byte("two"), []string{"a"}, etcd.Author{}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Put(t.Context(), operator.ConfigKey(), "three"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "three" {
		t.Errorf("watched %q", got)
	}
	if err := nodes.Report(t.Context(), "a", etcd.Report{}); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a report: got %v, want it denied", err)
	}
}
