package etcd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease/etcd"
)

// said are the values of the history, newest first, each with its author.
func said(t *testing.T, store *etcd.Store) (texts []string) {
	t.Helper()
	versions, err := store.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(versions, func(a, b etcd.Version) int { return int(b.Revision - a.Revision) }) {
		t.Errorf("not newest first: %v", versions)
	}
	for _, v := range versions {
		texts = append(texts, fmt.Sprintf("%s by %q", v.Value, v.By))
	}
	return texts
}

func TestHistoryRemembersWhatWasReplacedAndFindsWhatEtcdKeeps(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	if _, err := store.History(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a config: got %v, want fs.ErrNotExist", err)
	}
	if err := store.PublishConfig(t.Context(), []byte("published")); err != nil {
		t.Fatal(err)
	}
	ada := etcd.Author{By: "ada", At: time.Now()}
	replace := func(value string) {
		t.Helper()
		_, revision, err := store.Config(t.Context())
		if err == nil {
			_, err = store.ReplaceConfig(t.Context(), []byte(value), revision, ada)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace("by hand 1")
	for _, value := range []string{"etcdctl 1", "etcdctl 2"} {
		if _, err := client.Put(t.Context(), store.ConfigKey(), value); err != nil {
			t.Fatal(err)
		}
	}
	if got := said(t, store); got[2] != `by hand 1 by "ada"` {
		t.Errorf("replaced by other means, its author is forgotten: %v", got)
	}
	replace("by hand 2")

	want := []string{`by hand 2 by "ada"`, `etcdctl 2 by ""`, `etcdctl 1 by ""`, `by hand 1 by ""`, `published by ""`}
	if diff := cmp.Diff(want, said(t, store)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	_, revision, err := store.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	// What etcd alone had is gone. What ReplaceConfig replaced is not.
	want = []string{`by hand 2 by "ada"`, `etcdctl 2 by ""`, `published by ""`}
	if diff := cmp.Diff(want, said(t, store)); diff != "" {
		t.Errorf("history after compaction (-want +got):\n%s", diff)
	}
	replace("by hand 3")
	if got := said(t, store)[:2]; !slices.Equal(got, []string{`by hand 3 by "ada"`, `by hand 2 by "ada"`}) {
		t.Errorf("the author is not remembered with what is replaced: %v", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	var revision int64
	for i := range 60 {
		var err error
		if revision, err = store.ReplaceConfig(t.Context(), fmt.Append(nil, i), revision, etcd.Author{}); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := client.Get(t.Context(), prefix+"/overlayd/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || resp.Count != 51 { // and the author
		t.Errorf("%d keys remember, %v, want 51", resp.Count, err)
	}
	if got := said(t, store)[50]; got != `9 by ""` {
		t.Errorf("the oldest that is remembered says %s, want 9", got)
	}
}

func TestAConfigTooLargeToBeRememberedCanBeReplaced(t *testing.T) {
	client := dial(t, startMember(t, "http://127.0.0.1:0").Endpoints()...)
	store := newStore(t, client)
	huge, err := client.Put(t.Context(), store.ConfigKey(), string(make([]byte, 1<<20)))
	if err == nil {
		_, err = store.ReplaceConfig(t.Context(), []byte("{}"), huge.Header.Revision, etcd.Author{})
	}
	if err != nil {
		t.Error(err)
	}
}
