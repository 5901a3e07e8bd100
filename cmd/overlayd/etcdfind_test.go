package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease/etcd"
)

func TestCommandsFindTheDaemonsEtcd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := daemon{settings: settings{etcdPrefix: "/net", etcd: etcd.DialOptions{
		Endpoints: []string{"https://a:2379", "https://b:2379"}, CAFile: "/ca", CertFile: "/cert", KeyFile: "/key", Username: "node", PasswordFile: "/password",
	}}}
	answering(t, dir, control.NewState(control.Facts{Etcd: d.etcdAccess()}))
	changed := func(change func(*settings)) settings {
		s := d.settings
		change(&s)
		return s
	}
	for line, want := range map[string]settings{
		"":                      d.settings,
		"--etcd-prefix /other":  changed(func(s *settings) { s.etcdPrefix = "/other" }),
		"--etcd-cafile /own-ca": changed(func(s *settings) { s.etcd.CAFile = "/own-ca" }),
		"--etcd-username operator --etcd-password-file /own": changed(func(s *settings) { s.etcd.Username, s.etcd.PasswordFile = "operator", "/own" }),
		"--etcd-certfile /own --etcd-keyfile /own-key":       changed(func(s *settings) { s.etcd.CertFile, s.etcd.KeyFile = "/own", "/own-key" }),
		"--etcd-username half":                               changed(func(s *settings) { s.etcd.Username, s.etcd.PasswordFile = "half", "" }),
		"--etcd-endpoints http://c:1":                        {etcdPrefix: defaultPrefix, etcd: etcd.DialOptions{Endpoints: []string{"http://c:1"}}},
	} {
		got := found(t, append(strings.Fields(line), "--run-dir", dir))
		if diff := cmp.Diff(want.etcd, got.etcd); diff != "" || got.etcdPrefix != want.etcdPrefix {
			t.Errorf("%s: prefix %s (-want +got):\n%s", line, got.etcdPrefix, diff)
		}
	}
	got := found(t, []string{"--run-dir", t.TempDir()})
	if diff := cmp.Diff(etcd.DialOptions{Endpoints: []string{defaultListen}}, got.etcd); diff != "" || got.etcdPrefix != defaultPrefix {
		t.Errorf("without a daemon: prefix %s (-want +got):\n%s", got.etcdPrefix, diff)
	}
}

// found are the settings that a command with these flags goes by.
func found(t *testing.T, args []string) settings {
	t.Helper()
	var s settings
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.etcdFlags(f)
	must(t, f.Parse(args))
	must(t, s.findEtcd(t.Context(), f))
	return s
}

func TestErrorsNameTheEtcdThatWasAsked(t *testing.T) {
	t.Parallel()
	explicit, byDaemon := settings{}, settings{etcdWhy: "as the daemon does"}
	explicit.etcd.Endpoints = []string{"http://a:1", "http://b:2"}
	byDaemon.etcd = explicit.etcd
	plain := errors.New("no such lease")
	for _, tt := range []struct {
		s      settings
		err    error
		status int
		want   string
	}{
		{explicit, plain, exitFailed, "overlayd: no such lease\noverlayd: hint: etcd http://a:1,http://b:2 was asked\n"},
		{explicit, errors.New("http://a:1,http://b:2 is silent"), exitFailed, "overlayd: http://a:1,http://b:2 is silent\n"},
		{byDaemon, plain, exitFailed, "overlayd: no such lease\noverlayd: hint: etcd http://a:1,http://b:2 was asked, as the daemon does\n"},
		{byDaemon, refuse(exitConfig, plain, "try it"), exitConfig,
			"overlayd: no such lease\noverlayd: hint: try it\noverlayd: hint: etcd http://a:1,http://b:2 was asked, as the daemon does\n"},
		{byDaemon, refuse(exitUsage, plain), exitUsage, "overlayd: no such lease\n"},
		{byDaemon, &refusal{err: plain, status: exitFailed, said: true}, exitFailed, ""},
		{byDaemon, nil, exitOK, ""},
	} {
		var b strings.Builder
		if status := report(&b, tt.s.naming(tt.err)); status != tt.status || b.String() != tt.want {
			t.Errorf("%v: status %d\n%s", tt.err, status, &b)
		}
	}
	if report(io.Discard, hint(refuse(exitDegraded, plain), "x")) != exitDegraded {
		t.Error("a hint changes the status")
	}
}
