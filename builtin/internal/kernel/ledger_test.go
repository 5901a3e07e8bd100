package kernel

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/journal"
)

// fill makes objects of every kind in two scopes.
func fill(t *testing.T, scopes *Scopes) {
	t.Helper()
	node, peer := scopes.Begin("node"), scopes.Begin("10.50.7.0/24")
	do(t, node, Op{Add, vx}, Op{Set, vxUp}, Op{Add, own}, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	do(t, peer, Op{Add, toPeer}, Op{Add, toPeer6}, Op{Append, via(toPeer, "10.50.8.0")}, Op{Replace, neigh}, Op{Add, remote}, Op{Set, wgPeer})
	node.Keep()
	peer.Keep()
}

func TestOwnershipSurvivesAReopenedLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	k := NewFake()
	before := scopesOn(t, k, path)
	fill(t, before)
	// As after a kill: nothing was closed, and a run was open. What it deleted is remembered, for a hook that runs again.
	open := before.Begin("10.50.7.0/24")
	do(t, open, Op{Add, flood}, Op{Del, neigh})
	after := scopesOn(t, k, path)
	do(t, open, Op{Add, neigh})
	if diff := cmp.Diff(owned(before), owned(after)); diff != "" {
		t.Fatalf("owned (-before +after):\n%s", diff)
	}
	run := after.Begin("10.50.7.0/24")
	do(t, run, Op{Add, toPeer}, Op{Replace, neigh}, Op{Add, remote})
	if err := run.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := after.Begin("10.50.7.0/24").Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := after.Begin("node").Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.String(); got != "" || len(after.Names()) != 0 {
		t.Errorf("after clearing all:\n%sowned by %v, want nothing", got, after.Names())
	}
}

// A process that is killed after a removal, and before it has written down that it was one, removes once more.
func TestWhatARunHasDeletedCanBeDeletedAgainUntilTheNextRunOfItsScope(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	k := NewFake()
	before := scopesOn(t, k, path)
	fill(t, before)
	const peer = "10.50.7.0/24"
	if err := before.Begin(peer).Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := scopesOn(t, k, path)
	again := after.Begin(peer)
	do(t, again, Op{Del, toPeer})
	again.Keep()
	after.Begin(peer).Keep()
	err := scopesOn(t, k, path).Begin(peer).Do(t.Context(), Op{Del, toPeer})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleting it once more after the next run: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestALedgerOfAnotherBootIsVoid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	fill(t, scopesOn(t, NewFake(), path))
	s, err := newScopes(NewFake(), path, journal.Life{Boot: "next", Namespace: "here"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Names(); len(got) != 0 {
		t.Errorf("scopes %v own something, want none", got)
	}
}

func TestDamagedLinesAreSetAside(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	scopes := scopesOn(t, NewFake(), whole)
	fill(t, scopes)
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for _, tt := range []struct {
		name, text string
		damaged    string
		kept       bool
	}{
		{"a line cut short at the end", string(text) + `{"scope":"node","pla`, `{"scope":"node","pla` + "\n", true},
		{"noise in the middle", lines[0] + "\x00\xff{}\n" + strings.Join(lines[1:], ""), "\x00\xff{}\n", true},
		{"a header that is none", "hello\n", "hello\n\n", false},
		{"an empty file", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s, err := newScopes(NewFake(), path, journal.Life{Boot: "this", Namespace: "here"}, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if tt.kept {
				if diff := cmp.Diff(owned(scopes), owned(s)); diff != "" {
					t.Errorf("owned (-want +got):\n%s", diff)
				}
			} else if got := owned(s); got != "" {
				t.Errorf("owned:\n%swant nothing", got)
			}
			aside, _ := os.ReadFile(path + ".damaged")
			if diff := cmp.Diff(tt.damaged, string(aside)); diff != "" {
				t.Errorf("set aside (-want +got):\n%s", diff)
			}
			if warned := strings.Contains(log.String(), "set aside"); warned != (tt.damaged != "") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestALedgerThatGrowsIsWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	scopes := scopesOn(t, NewFake(), path)
	fill(t, scopes)
	run := scopes.Begin("churn")
	for range 2000 {
		do(t, run, Op{Add, flood}, Op{Del, flood})
	}
	run.Keep()
	do(t, run, Op{Add, flood})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(text, []byte("\n")); got > 1200 {
		t.Errorf("%d lines after 4000 changes, want it to stay small", got)
	}
	if diff := cmp.Diff(owned(scopes), owned(scopesOn(t, NewFake(), path))); diff != "" {
		t.Errorf("owned (-before +after):\n%s", diff)
	}
}

func TestWhatIsBesideAnotherIsStillWhenItHasMoved(t *testing.T) {
	k := NewFake()
	do(t, k, Op{Add, vx}, Op{Set, vxUp})
	s := scopesOn(t, k, filepath.Join(t.TempDir(), "ledger"))
	run := s.Begin("from")
	do(t, run, Op{Add, toPeer}, Op{Append, via(toPeer, "10.50.9.0")})
	run.Keep()
	if err := s.Move("from", "to"); err != nil {
		t.Fatal(err)
	}
	if all := s.ledger.sharing(toPeer.Key()); len(all) != 2 || all[0].scope != "to" || all[1].scope != "to" {
		t.Errorf("of the routes at one key are known: %v", all)
	}
	if err := s.Begin("to").Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.ledger.sharing(toPeer.Key()); len(left) > 0 || strings.Contains(k.String(), "route") {
		t.Errorf("cleared, there is left %v in\n%s", left, k)
	}
}

func TestRecordsAreTheSameHoweverTheyAreWritten(t *testing.T) {
	ours := Spread(toPeer)
	ours.Protocol = Protocol
	odd := neigh
	odd.Dev = `a<"b`
	for _, tt := range []struct {
		object Object
		fast   bool
	}{
		{toPeer, true}, {toPeer6, true}, {ours, true}, {neigh, true}, {neigh6, true}, {remote, true}, {flood, true}, {direct, false}, {odd, false},
		{route(ours, func(r *Route) { r.Hops = []Hop{{Via: ip("192.0.2.7"), Dev: "eth0"}} }), true},
		{route(ours, func(r *Route) { r.TOS = 16 }), false}, {route(ours, func(r *Route) { r.Table = 7 }), false},
		{FDB{Address: station, Dev: "vx", Dst: ip("192.0.2.7"), State: "static"}, false}, {vx, false},
	} {
		for _, keyed := range []bool{true, false} {
			r := entry{scope: "10.50.7.0/24", place: tt.object.Key(), object: tt.object, keyed: keyed}.record()
			want, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := r.AppendJSON(nil)
			if ok != tt.fast || ok && string(got) != string(want) {
				t.Errorf("got  %s, %t\nwant %s, %t", got, ok, want, tt.fast)
			}
			var read record
			if err := json.Unmarshal(want, &read); err != nil || read.entry().place != tt.object.Key() || read.entry().keyed != keyed {
				t.Errorf("%s is read as %+v, %v", want, read.entry(), err)
			}
		}
	}
}

func TestRecordsKeepAllButSecrets(t *testing.T) {
	keepalive := 25 * time.Second
	link := vx
	link.VXLAN = &VXLAN{ID: 1, Port: 8472, Local: ip("192.0.2.1"), Remote: ip("ff02::1"), Learning: true, GBP: true, TTL: 9, Checksum: new(true)}
	for _, o := range []Object{
		link,
		Addr{Dev: "vx", Prefix: prefix("10.50.3.1/24"), Peer: prefix("10.50.3.2/32"), Broadcast: ip("10.50.3.255"), Label: "vx:three", Scope: "link", NoPrefix: true},
		Route{Type: "unicast", Dst: toPeer.Dst, Hops: []Hop{{Via: ip("fe80::1"), Dev: "vx", Onlink: true, Weight: 2}}, Src: ip("10.1.1.1"), Metric: 1, Table: 2, Protocol: 4, Scope: "link", MTU: 1400, AdvMSS: 1300},
		neigh6, remote,
		Peer{Dev: "wg", PublicKey: PublicKey{7}, Endpoint: wgPeer.Endpoint, Keepalive: &keepalive, AllowedIPs: []netip.Prefix{toPeer.Dst}, ReplaceIPs: true},
	} {
		line, err := json.Marshal(entry{scope: "s", place: "p", object: o}.record())
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if diff := cmp.Diff(Op{Add, o}.String(), Op{Add, r.object}.String()); diff != "" {
			t.Errorf("%T (-want +got):\n%s", o, diff)
		}
	}
	line, err := json.Marshal(entry{object: Peer{Preshared: &Secret{1}}}.record())
	if err != nil || strings.Contains(string(line), "reshared") {
		t.Errorf("a secret is in the ledger: %s, %v", line, err)
	}
}

// The ledger is told first. A process that is killed then leaves what the object was to replace.
func TestWhatWasToBeReplacedWhenTheProcessWasKilledIsClearedToo(t *testing.T) {
	for _, tt := range []struct{ was, now Object }{
		{toPeer, via(toPeer, "10.50.9.0")},
		{remote, behind(remote, "192.0.2.9")},
		{flood, behind(flood, "192.0.2.9")},
		{neigh, Neigh{IP: neigh.IP, Dev: "vx", Address: "02:00:00:00:00:98"}},
	} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			before := state(t, k)
			path := filepath.Join(t.TempDir(), "ledger")
			scopes := scopesOn(t, k, path)
			run := scopes.Begin("s")
			do(t, run, Op{Add, tt.was})
			run.Keep()
			killed := scopes.Begin("s")
			if _, err := killed.claim(Op{Replace, tt.now}, tt.now.Key()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // killed once more, at once
				scopes = scopesOn(t, k, path)
			}
			if err := scopes.Begin("s").Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, state(t, k)); diff != "" {
				t.Errorf("%s (-before +cleared):\n%s", tt.was.Key(), diff)
			}
		})
	}
}

func TestTheLedgerKnowsNoMoreOfScopesThatAreGone(t *testing.T) {
	s := scopesOn(t, NewFake(), filepath.Join(t.TempDir(), "ledger"))
	fill(t, s)
	for _, scope := range []string{"node", "10.50.7.0/24"} {
		if err := s.Begin(scope).Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.ledger.owners); n != 2 {
		t.Errorf("it knows of %d scopes, want both until the journal is told what they have freed", n)
	}
	s.Begin("node").Keep()
	s.Begin("10.50.7.0/24").Keep()
	if n := len(s.ledger.owners); n != 0 {
		t.Errorf("it knows of %d scopes, want none", n)
	}
}

// Two runs in one scope are somebody's mistake, and not the ledger's end.
func TestRunsThatOverlapKeepWhatTheyMade(t *testing.T) {
	s := scopesOn(t, NewFake(), "")
	first, second := s.Begin("s"), s.Begin("s")
	do(t, first, Op{Add, vx})
	do(t, first, Op{Del, vx})
	first.Keep()
	do(t, second, Op{Add, vx}, Op{Add, remote})
	second.Keep()
	if got := s.Owned("s"); len(got) != 2 {
		t.Errorf("it owns %v, want both", got)
	}
	if err := s.Begin("s").Clear(t.Context()); err != nil || len(s.Names()) > 0 {
		t.Errorf("after clearing it: %v, %v own something", err, s.Names())
	}
}
