package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease/etcd"
)

// An etcdCluster is the one that the flags name. Nothing is sent to it before await.
type etcdCluster struct {
	*etcd.Store
	close func() error
}

// newEtcdCluster refuses options that do not fit together and files that cannot be read.
func newEtcdCluster(o etcd.DialOptions, prefix string, log *slog.Logger) (*etcdCluster, error) {
	client, err := etcd.Dial(o)
	if err != nil {
		return nil, refuse(exitConfig, err)
	}
	return &etcdCluster{etcd.New(client, prefix, log), client.Close}, nil
}

// A waiting is how long to wait for an etcd that does not answer.
type waiting struct {
	silent  time.Duration // for one that may be down; 0 for without end
	noRoute time.Duration // for one to which this machine knows no way, and has known none in this time
}

// await makes sure of the cluster with one request, repeated while nobody answers for as long as the waiting lasts. Each time
// that nobody did goes to say. It returns the network config that it has seen.
func (c *etcdCluster) await(ctx context.Context, w waiting, say func(error)) (etcd.ConfigRead, error) {
	began := time.Now()
	routed := began
	for delay := 500 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		asked := time.Now()
		read, err := c.Check(ctx)
		switch {
		case ctx.Err() != nil:
			return read, ctx.Err()
		case !errors.Is(err, etcd.ErrUnreachable):
			return read, err
		}
		waited, patience := time.Since(began), w.silent
		if !errors.Is(err, etcd.ErrNoRoute) {
			routed = asked
		} else {
			waited, patience = time.Since(routed), max(w.noRoute, time.Nanosecond)
		}
		if patience != 0 && waited >= patience {
			return read, refuse(exitFailed, err, fmt.Sprintf("it was waited for %s: start etcd, or name another cluster with --etcd-endpoints", waited.Round(time.Second)))
		}
		say(err)
		_ = sleep.For(ctx, delay-rand.N(delay/4)) // nodes that wait together are not to ask together
	}
}

// An etcdOption is a flag by which a command reaches etcd, and its value.
type etcdOption struct{ name, value string }

// etcdOptions are all of them but the endpoints.
func (s *settings) etcdOptions() []etcdOption {
	return []etcdOption{
		{"etcd-prefix", s.etcdPrefix}, {"etcd-cafile", s.etcd.CAFile}, {"etcd-certfile", s.etcd.CertFile},
		{"etcd-keyfile", s.etcd.KeyFile}, {"etcd-username", s.etcd.Username}, {"etcd-password-file", s.etcd.PasswordFile},
	}
}

// putCommand is what a person may paste to publish the network config of a file where this daemon looks for it.
func (s *settings) putCommand(file string) string {
	words := []string{"overlayd", "config", "put", quote(file), "--etcd-endpoints", quote(strings.Join(s.etcd.Endpoints, ","))}
	for _, o := range s.etcdOptions() {
		if o.value != "" && o != (etcdOption{"etcd-prefix", defaultPrefix}) {
			words = append(words, "--"+o.name, quote(o.value))
		}
	}
	return strings.Join(words, " ")
}

// quote makes one word of a shell's command line of a text.
func quote(text string) string {
	special := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:,@+=", r))
	}
	if !strings.ContainsFunc(text, special) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
