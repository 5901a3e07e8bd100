package etcd_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// copyFile overwrites a file with the text of another, as those do who renew certificates.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRenewedCertificatesCountFromTheNextConnectionOn(t *testing.T) {
	o := etcd.DialOptions{CAFile: writeFile(t, "ca", ""), CertFile: writeFile(t, "cert", ""), KeyFile: writeFile(t, "key", "")}
	url := "https://" + freePort(t)
	o.Endpoints = []string{url}
	// renew makes a new CA and new certificates of it, puts the client's in place, and returns etcd's arguments.
	renew := func() []string {
		ca := newIdentity(t, "ca", nil)
		server, client := newIdentity(t, "server", ca), newIdentity(t, "client", ca)
		copyFile(t, ca.certFile, o.CAFile)
		copyFile(t, client.certFile, o.CertFile)
		copyFile(t, client.keyFile, o.KeyFile)
		return []string{"--cert-file", server.certFile, "--key-file", server.keyFile, "--trusted-ca-file", ca.certFile, "--client-cert-auth"}
	}
	stop := runInstalled(t, url, renew()...)
	client := dialWith(t, o)
	store := newStore(t, client)
	next := renew()
	if _, err := store.Load(t.Context()); err != nil {
		t.Errorf("on the connection of before: %v", err)
	}
	stop()
	key := writeFile(t, "new-key", "")
	copyFile(t, o.KeyFile, key)
	copyFile(t, o.CertFile, o.KeyFile) // half renewed
	runInstalled(t, url, next...)
	if err := check(t, client); err == nil || !strings.Contains(err.Error(), o.KeyFile) {
		t.Errorf("with a certificate in the place of the key: got %v, want it to name the file", err)
	}
	copyFile(t, key, o.KeyFile)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := store.Load(ctx); err == nil {
			return
		}
	}
	_, err := store.Check(t.Context())
	t.Errorf("after the renewal: %v", err)
}

func TestEndpointsThatAreDownDelayNothing(t *testing.T) {
	up := startMember(t, "http://127.0.0.1:0").Endpoints()[0]
	down := func() string { return "http://" + freePort(t) }
	client := dialWith(t, etcd.DialOptions{Endpoints: []string{down(), down(), up, down()}})
	store := newStore(t, client)
	start := time.Now()
	if err := useStore(t, client); err != nil {
		t.Error(err)
	}
	found := errors.New("found")
	err := store.Watch(t.Context(), lease.Snapshot{}, func(s lease.Snapshot) error {
		if s.Records.Len() == 1 {
			return found
		}
		return nil
	}, func(err error) { t.Error(err) })
	if took := time.Since(start); took > 5*time.Second || !errors.Is(err, found) {
		t.Errorf("got %v after %s, want what was written at once", err, took)
	}
}
