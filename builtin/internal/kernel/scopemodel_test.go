package kernel

import (
	"context"
	"errors"
	commandline "flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/overlayd/overlayd/internal/journal"
)

// The objects that random hooks are about: few, so that they meet each other.
var universe = struct {
	links, sets, deletes  []Link
	addrs                 []Addr
	routes, looseRoutes   []Route
	neighs                []Neigh
	entries, looseEntries []FDB
	rules                 []Rule
	devices               []Device
	peers                 []Peer
	sysctls               []Sysctl
}{
	links: []Link{
		{Name: "vx", Kind: "vxlan", Address: "02:00:00:00:00:11", VXLAN: &VXLAN{ID: 1, Port: 8472}},
		{Name: "vx", Kind: "vxlan", Address: "02:00:00:00:00:11", MTU: 1400, VXLAN: &VXLAN{ID: 2, Port: 8472}},
		{Name: "br", Kind: "bridge", Address: "02:00:00:00:00:12"},
	},
	sets: []Link{
		{Name: "vx", State: Up}, {Name: "vx", State: Up}, {Name: "br", State: Up}, {Name: "br", State: Up}, {Name: "vx", State: Down}, {Name: "vx", MTU: 1300},
		{Name: "vx", Master: "br"}, {Name: "vx", NoMaster: true}, {Name: "vx", Alias: "x"}, {Name: "vx", NoAlias: true},
		{Name: "vx", Rename: "vy"}, {Name: "vy", Rename: "vx"}, {Name: "br", Address: "02:00:00:00:00:13"},
	},
	deletes: []Link{{Name: "vx"}, {Name: "br"}, {Name: "vy"}},
	addrs: []Addr{
		{Dev: "vx", Prefix: prefix("10.1.0.1/24")}, {Dev: "br", Prefix: prefix("10.1.0.1/24")}, {Dev: "br", Prefix: prefix("10.2.0.1/32")},
		{Dev: "vx", Prefix: prefix("fd00:1::1/64"), NoDAD: true}, {Dev: "br", Prefix: prefix("fd00:1::1/64"), NoDAD: true},
	},
	routes: []Route{
		{Dst: prefix("10.50.7.0/24"), Hops: []Hop{{Dev: "vx"}}},
		{Dst: prefix("10.50.7.0/24"), Hops: []Hop{{Via: ip("10.50.7.0"), Dev: "vx", Onlink: true}}},
		{Dst: prefix("10.50.7.0/24"), Hops: []Hop{{Via: ip("10.50.7.0"), Dev: "br", Onlink: true}}},
		{Dst: prefix("10.50.7.0/24"), Metric: 5, Hops: []Hop{{Via: ip("10.50.7.0"), Dev: "br", Onlink: true}}},
		{Dst: prefix("10.50.7.0/24"), Table: 100, Hops: []Hop{{Dev: "br"}}},
		{Dst: prefix("10.50.7.0/24"), Type: "blackhole"},
		{Dst: prefix("10.50.8.0/24"), Hops: []Hop{{Via: ip("10.50.7.0"), Dev: "vx", Onlink: true, Weight: 1}, {Via: ip("10.50.9.0"), Dev: "br", Onlink: true, Weight: 1}}},
		{Dst: prefix("fd00:7::/64"), Hops: []Hop{{Dev: "vx"}}},
		{Dst: prefix("fd00:7::/64"), Hops: []Hop{{Dev: "br"}}},
	},
	looseRoutes: []Route{{Dst: prefix("10.50.7.0/24")}, {Dst: prefix("10.50.8.0/24")}, {Dst: prefix("fd00:7::/64")}},
	neighs: []Neigh{
		{IP: ip("10.50.7.0"), Dev: "vx", Address: "02:00:00:00:00:21"}, {IP: ip("10.50.7.0"), Dev: "vx", Address: "02:00:00:00:00:22"},
		{IP: ip("10.50.7.0"), Dev: "br", Address: "02:00:00:00:00:21"}, {IP: ip("fd00:7::"), Dev: "vx", Address: "02:00:00:00:00:21"},
	},
	entries: []FDB{
		{Address: "02:00:00:00:00:21", Dev: "vx", Dst: ip("192.0.2.7")}, {Address: "02:00:00:00:00:21", Dev: "vx", Dst: ip("192.0.2.8")},
		{Address: "00:00:00:00:00:00", Dev: "vx", Dst: ip("192.0.2.7")}, {Address: "00:00:00:00:00:00", Dev: "vx", Dst: ip("192.0.2.8")},
	},
	looseEntries: []FDB{{Address: "02:00:00:00:00:21", Dev: "vx"}, {Address: "00:00:00:00:00:00", Dev: "vx"}},
	rules: []Rule{
		{Priority: 100, From: prefix("10.50.0.0/16"), Table: 100}, {Priority: 100, From: prefix("10.50.0.0/16"), Table: 101}, {Priority: 200, Mark: 7, Type: "blackhole"},
	},
	devices: []Device{
		{Name: "wg", PrivateKey: &Secret{1}}, {Name: "wg", PrivateKey: &Secret{2}, ListenPort: new(51820)}, {Name: "wg", Mark: new(7)}, {Name: "wg", ListenPort: new(51821)},
	},
	peers: []Peer{
		{Dev: "wg", PublicKey: PublicKey{1}, AllowedIPs: prefixes("10.50.7.0/24"), ReplaceIPs: true, Endpoint: netipPort("192.0.2.7:51820")},
		{Dev: "wg", PublicKey: PublicKey{2}, AllowedIPs: prefixes("10.50.7.0/24")},
		{Dev: "wg", PublicKey: PublicKey{2}, AllowedIPs: prefixes("10.50.8.0/24"), Preshared: &Secret{5}},
		{Dev: "wg", PublicKey: PublicKey{1}, Keepalive: nil, AllowedIPs: prefixes("10.50.8.0/24", "10.50.9.0/24"), ReplaceIPs: true},
	},
	sysctls: []Sysctl{
		{Name: "net/ipv4/conf/vx/rp_filter", Value: "1"}, {Name: "net/ipv4/conf/vx/rp_filter", Value: "2"}, {Name: "net/ipv4/conf/br/rp_filter", Value: "0"},
	},
}

// A move is an operation of a run, or the end of one.
type move struct {
	Scope int // 0 is the node, 1 and 2 are peers, 3 is somebody else
	Op    Op
	End   string // of the scope's run: undo, keep, sweep, clear or reopen; "" for an operation
}

func (m move) String() string {
	if m.End != "" {
		return fmt.Sprintf("%d: %s", m.Scope, m.End)
	}
	return fmt.Sprintf("%d: %s %s", m.Scope, m.Op.Verb, m.Op)
}

func pick[T any](t *rapid.T, list []T) T {
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "which")]
}

func drawOp(t *rapid.T, wireguard bool) Op {
	making := []Verb{Add, Add, Add, Replace, Append, Change, Del}
	kinds := 8
	if wireguard {
		kinds = 11
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return Op{Add, pick(t, universe.links)}
	case 1:
		return Op{Set, pick(t, universe.sets)}
	case 2:
		if rapid.Bool().Draw(t, "delete") {
			return Op{Del, pick(t, universe.deletes)}
		}
		return Op{Set, pick(t, universe.sysctls)}
	case 3:
		return Op{pick(t, []Verb{Add, Add, Replace, Del}), pick(t, universe.addrs)}
	case 4, 5:
		if rapid.IntRange(0, 7).Draw(t, "loose") == 0 {
			return Op{Del, pick(t, universe.looseRoutes)}
		}
		return Op{pick(t, making), pick(t, universe.routes)}
	case 6:
		return Op{pick(t, []Verb{Add, Replace, Change, Del}), pick(t, universe.neighs)}
	case 7:
		if rapid.IntRange(0, 5).Draw(t, "loose") == 0 {
			return Op{Del, pick(t, universe.looseEntries)}
		}
		return Op{pick(t, []Verb{Add, Add, Append, Replace, Del}), pick(t, universe.entries)}
	case 8:
		return Op{pick(t, []Verb{Add, Add, Del}), pick(t, universe.rules)}
	case 9:
		return Op{pick(t, []Verb{Add, Add, Add, Del}), Link{Name: "wg", Kind: "wireguard"}}
	case 10:
		return Op{Set, pick(t, universe.devices)}
	}
	return Op{pick(t, []Verb{Set, Set, Del}), pick(t, universe.peers)}
}

// drawMoves begins as networks do: with links that the node, or somebody else, has made.
func drawMoves(t *rapid.T, wireguard bool) (moves []move) {
	maker := pick(t, []int{0, 0, 3})
	first := []Op{{Add, universe.links[0]}, {Set, Link{Name: "vx", State: Up}}, {Add, universe.links[2]}, {Set, Link{Name: "br", State: Up}}}
	if wireguard {
		first = append(first, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	}
	for _, op := range first[:rapid.IntRange(0, len(first)).Draw(t, "links")] {
		moves = append(moves, move{Scope: maker, Op: op})
	}
	if rapid.Bool().Draw(t, "kept") {
		moves = append(moves, move{Scope: maker, End: "keep"})
	}
	return append(moves, rapid.SliceOfN(rapid.Custom(drawMove(wireguard)), 1, 40).Draw(t, "moves")...)
}

func drawMove(wireguard bool) func(t *rapid.T) move {
	return func(t *rapid.T) move {
		scope := pick(t, []int{0, 0, 0, 1, 1, 2, 2, 3})
		if scope < 3 && rapid.IntRange(0, 5).Draw(t, "ends") == 0 {
			return move{Scope: scope, End: pick(t, []string{"undo", "undo", "keep", "sweep", "clear", "reopen"})}
		}
		op := drawOp(t, wireguard)
		if _, sysctl := op.Object.(Sysctl); sysctl && scope == 3 {
			scope = 0 // what others have set of a link cannot be listed, and is lost when the link is made anew
		}
		return move{Scope: scope, Op: op}
	}
}

// A player makes moves on a kernel and says what is wrong.
type player struct {
	t      *testing.T
	k      Kernel
	path   string
	scopes *Scopes
	runs   [3]*Run
	before [3]string // the kernel's state and all ownership, when the run began
	alone  [3]bool   // whether nobody else did anything during the run
}

func (p *player) name(scope int) string { return []string{"node", "peer", "other"}[scope] }

func (p *player) all() string { return state(p.t, p.k) + "# owned\n" + owned(p.scopes) }

func (p *player) play(m move) error {
	ctx := p.t.Context()
	if m.Scope == 3 && m.End != "" {
		return nil
	}
	if m.Scope == 3 {
		p.alone = [3]bool{}
		_ = p.k.Do(ctx, m.Op)
		return nil
	}
	if m.End == "reopen" {
		return p.reopen()
	}
	run := p.runs[m.Scope]
	if run == nil {
		if m.End != "" && m.End != "clear" {
			return nil
		}
		p.before[m.Scope], p.alone[m.Scope] = p.all(), true
		run = p.scopes.Begin(p.name(m.Scope))
		p.runs[m.Scope] = run
	}
	for i := range p.alone {
		if i != m.Scope {
			p.alone[i] = false
		}
	}
	if m.End == "" {
		return p.do(ctx, run, m)
	}
	p.runs[m.Scope] = nil
	return p.end(ctx, run, m)
}

// do lets the scope do something. What somebody else made must not be taken for its own.
func (p *player) do(ctx context.Context, run *Run, m move) error {
	place := place(m.Op.Verb, m.Op.Object)
	was, _ := p.scopes.ledger.at(place)
	mine := slices.ContainsFunc(p.scopes.ledger.sharing(m.Op.Object.Key()), func(e entry) bool { return e.scope == run.scope })
	others := slices.ContainsFunc(p.scopes.ledger.sharing(m.Op.Object.Key()), func(e entry) bool { return e.scope != run.scope })
	there := false
	if list, err := run.List(ctx, narrow(m.Op.Object)); err == nil {
		there = slices.ContainsFunc(list, func(o Object) bool { return o.Key() == m.Op.Object.Key() })
	}
	err := run.Do(ctx, m.Op)
	_, peer := m.Op.Object.(Peer)
	_, link := m.Op.Object.(Link) // another may have what it wants to have as well
	switch {
	case m.Op.Verb == Add && there && !mine && !peer && err == nil:
		return fmt.Errorf("added what is there and another's (%v)", was)
	case m.Op.Verb == Add && there && was.scope == run.scope && !others && !link && errors.Is(err, fs.ErrExist):
		return fmt.Errorf("refused to add again what the scope owns: %w", err)
	}
	return nil
}

func (p *player) end(ctx context.Context, run *Run, m move) error {
	was, alone := p.before[m.Scope], p.alone[m.Scope]
	touched := run.touched
	switch m.End {
	case "undo":
		err := run.Undo(ctx)
		if !alone {
			return nil
		}
		if err != nil {
			return fmt.Errorf("undo: %w", err)
		}
		if got := p.all(); got != was {
			return fmt.Errorf("undone:\nbefore\n%s\nafter\n%s", was, got)
		}
	case "keep":
		run.Keep()
	case "sweep":
		if err := run.Sweep(ctx); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		for _, e := range p.scopes.ledger.of(run.scope) {
			if !touched.has(e.place) {
				return fmt.Errorf("swept, %s is still owned", e.place)
			}
		}
	case "clear":
		had := p.scopes.ledger.of(run.scope)
		if err := run.Clear(ctx); err != nil {
			return fmt.Errorf("clear: %w", err)
		}
		if left := p.scopes.Owned(run.scope); len(left) > 0 {
			return fmt.Errorf("cleared, %v are still owned", left)
		}
		for _, e := range had {
			if _, other := p.scopes.ledger.at(e.object.Key()); other || e.beside {
				continue
			}
			switch e.object.(type) {
			case Device, Sysctl:
				continue
			}
			have, err := p.k.List(ctx, narrow(e.object))
			if err != nil {
				return err
			}
			if slices.ContainsFunc(have, func(o Object) bool {
				return o.Key() == e.object.Key() && e.holds([]Object{o}) && e.object.Key() == e.place
			}) && !p.twins(e) {
				return fmt.Errorf("cleared, there is still %s", e.place)
			}
		}
	}
	return nil
}

// twins reports whether the kernel can have several of the entry's kind at one key, of which only one was the scope's.
func (p *player) twins(e entry) bool {
	switch o := e.object.(type) {
	case Route:
		return true
	case FDB:
		return o.floods()
	}
	return false
}

func (p *player) open() {
	var err error
	if p.scopes, err = newScopes(p.k, p.path, journal.Life{Boot: "this"}, quiet); err != nil {
		p.t.Fatal(err)
	}
}

// reopen is a crash: the file has to tell all that is owned, and at most what runs that were open have deleted.
func (p *player) reopen() error {
	before := p.scopes.ledger.all()
	died := p.scopes
	p.open()
	died.ledger.journal.Close()
	for i := range p.runs {
		p.runs[i] = nil
	}
	for _, e := range before {
		got, ok := p.scopes.ledger.at(e.place)
		if peer, is := e.object.(Peer); is {
			peer.Preshared = nil // no file gets to see it
			e.object = peer
		}
		if !ok || got.scope != e.scope || (Op{Add, got.object}).String() != (Op{Add, e.object}).String() {
			return fmt.Errorf("after a crash %s is %v, want %v", e.place, got, e)
		}
	}
	return nil
}

// checks sets how many sequences rapid tries, by an environment variable or else the number. Those of the number are the same in
// every run, so that what no change of the code has caused cannot fail it; new ones are for campaigns, which set the variable.
func checks(t *testing.T, otherwise string) {
	t.Helper()
	set := map[string]string{"rapid.checks": os.Getenv("OVERLAYD_MODEL_CHECKS"), "rapid.nofailfile": "true", "rapid.shrinktime": "5s"}
	if set["rapid.checks"] == "" {
		set["rapid.checks"] = otherwise
		if commandline.Lookup("rapid.seed").Value.String() == "0" {
			set["rapid.seed"] = "1"
		}
	}
	for name, value := range set {
		before := commandline.Lookup(name).Value.String()
		if err := commandline.Set(name, value); err != nil {
			t.Fatalf("OVERLAYD_MODEL_CHECKS: %v", err)
		}
		t.Cleanup(func() { commandline.Set(name, before) })
	}
}

func playAll(t *testing.T, rt *rapid.T, k Kernel, moves []move) {
	dir, err := os.MkdirTemp("", "overlayd-model-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := &player{t: t, k: k, path: filepath.Join(dir, "ledger")}
	p.open()
	defer func() { p.scopes.Close() }()
	var done []string
	for _, m := range moves {
		done = append(done, m.String())
		if err := p.play(m); err != nil {
			rt.Fatalf("%s\n%v", strings.Join(done, "\n"), err)
		}
	}
}

// OVERLAYD_MODEL_CHECKS is how many sequences of up to 40 moves to try.
func TestScopesKeepTheirPromisesWhateverHooksDo(t *testing.T) {
	checks(t, "300")
	rapid.Check(t, func(rt *rapid.T) {
		playAll(t, rt, NewFake(), drawMoves(rt, true))
	})
}

func TestScopesKeepTheirPromisesOnLinux(t *testing.T) {
	checks(t, "15")
	rapid.Check(t, func(rt *rapid.T) {
		k, done := opened(t)
		defer done()
		playAll(t, rt, k, drawMoves(rt, false))
	})
}
