package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/overlayd/overlayd/internal/journal"
)

func faked(*testing.T) (Kernel, func()) { return NewFake(), func() {} }

// A story is what a peer's hook does, before and after the peer has changed, and how the first run of it ended.
type story struct {
	before, after []Op
	stop          int    // how many operations of before are done
	how           string // success, failure or crash
}

func drawStory(t *rapid.T, wireguard bool) story {
	second := universe.peers[3] // an endpoint cannot be unsaid
	second.Endpoint = netipPort("192.0.2.8:51820")
	making := rapid.Custom(func(t *rapid.T) Op {
		kinds := 5
		if wireguard {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds).Draw(t, "kind") {
		case 0:
			return Op{pick(t, []Verb{Add, Replace}), pick(t, universe.addrs)}
		case 1:
			return Op{pick(t, []Verb{Add, Replace, Append}), pick(t, universe.routes)}
		case 2:
			return Op{pick(t, []Verb{Add, Replace}), pick(t, universe.neighs)}
		case 3:
			return Op{pick(t, []Verb{Add, Append}), pick(t, universe.entries)}
		case 4:
			return Op{Add, pick(t, universe.rules)}
		case 5:
			return Op{Set, pick(t, universe.sysctls)}
		}
		return Op{Set, pick(t, []Peer{universe.peers[0], second})}
	})
	ops := rapid.SliceOfN(making, 0, 8)
	s := story{before: ops.Draw(t, "before"), after: ops.Draw(t, "after"), how: pick(t, []string{"success", "failure", "crash"})}
	s.stop = rapid.IntRange(0, len(s.before)).Draw(t, "stop")
	return s
}

// theirs makes the links, and returns the scopes of a node that owns them.
func theirs(t *testing.T, k Kernel, path string, wireguard bool) *Scopes {
	t.Helper()
	scopes, err := newScopes(k, path, journal.Life{Boot: "this"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	node := scopes.Begin("node")
	do(t, node, Op{Add, universe.links[0]}, Op{Set, Link{Name: "vx", State: Up}}, Op{Add, universe.links[2]}, Op{Set, Link{Name: "br", State: Up}})
	if wireguard {
		do(t, node, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	}
	node.Keep()
	return scopes
}

// afresh is what the operations leave that succeed one after the other where nothing was before.
func afresh(t *testing.T, fresh func(*testing.T) (Kernel, func()), ops []Op, wireguard bool) (succeed []Op, left string) {
	t.Helper()
	k, done := fresh(t)
	defer done()
	scopes := theirs(t, k, "", wireguard)
	run := scopes.Begin("peer")
	for _, op := range ops {
		if was, _ := scopes.ledger.at(op.Object.Key()); op.Verb == Add && was.object != nil && !was.says(op.Object) {
			continue // a hook that contradicts itself
		}
		if run.Do(t.Context(), op) == nil {
			succeed = append(succeed, op)
		}
	}
	run.Keep()
	return succeed, state(t, k)
}

// tell plays a story and returns what is wrong.
func (s story) tell(t *testing.T, fresh func(*testing.T) (Kernel, func()), wireguard bool) error {
	dir, err := os.MkdirTemp("", "overlayd-model-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	before, _ := afresh(t, fresh, s.before, wireguard)
	after, want := afresh(t, fresh, s.after, wireguard)
	k, done := fresh(t)
	defer done()
	path := filepath.Join(dir, "ledger")
	scopes := theirs(t, k, path, wireguard)
	defer func() { scopes.Close() }()
	none := state(t, k)

	first := scopes.Begin("peer")
	if err := first.Do(t.Context(), before[:min(s.stop, len(before))]...); err != nil {
		return fmt.Errorf("first run: %w", err)
	}
	switch s.how {
	case "success":
		if err := first.Sweep(t.Context()); err != nil {
			return err
		}
	case "failure":
		if err := first.Undo(t.Context()); err != nil {
			return err
		}
		if got := state(t, k); got != none {
			return fmt.Errorf("undone:\n%swant\n%s", got, none)
		}
	case "crash":
		scopes.ledger.journal.Close()
		if scopes, err = newScopes(k, path, journal.Life{Boot: "this"}, quiet); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		again := scopes.Begin("peer")
		if err := again.Do(t.Context(), after...); err != nil {
			return fmt.Errorf("second run: %w", err)
		}
		if err := again.Sweep(t.Context()); err != nil {
			return err
		}
		if got := state(t, k); got != want {
			return fmt.Errorf("got\n%swant\n%s", got, want)
		}
		if damaged, err := scopes.Audit(t.Context()); len(damaged) > 0 || err != nil {
			return fmt.Errorf("%v are damaged, %v", damaged, err)
		}
	}
	if err := scopes.Begin("peer").Clear(t.Context()); err != nil {
		return err
	}
	if got := state(t, k); got != none {
		return fmt.Errorf("cleared:\n%swant\n%s", got, none)
	}
	return nil
}

func (s story) String() string {
	var lines []string
	for _, op := range s.before[:s.stop] {
		lines = append(lines, op.Verb.String()+": "+op.String())
	}
	lines = append(lines, s.how)
	for _, op := range s.after {
		lines = append(lines, op.Verb.String()+": "+op.String())
	}
	return strings.Join(lines, "\n")
}

// However the first run for a peer ends, and whatever it was to make, the next one leaves what it would have left on a
// machine where there was none.
func TestAPeerThatChangesIsAsOneThatIsNew(t *testing.T) {
	checks(t, "120")
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt, true)
		if err := s.tell(t, faked, true); err != nil {
			rt.Fatalf("%s\n%v", s, err)
		}
	})
}

func TestAPeerThatChangesIsAsOneThatIsNewOnLinux(t *testing.T) {
	checks(t, "8")
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt, false)
		if err := s.tell(t, opened, false); err != nil {
			rt.Fatalf("%s\n%v", s, err)
		}
	})
}

// Whatever somebody does to what a peer's hook has made, it is all there again when the hook has run once more.
func TestDamageOfAnyKindIsMended(t *testing.T) {
	checks(t, "150")
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt, true)
		damage := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Op { return drawOp(t, true) }), 1, 6).Draw(rt, "damage")
		if err := s.mend(t, faked, damage, true); err != nil {
			var lines []string
			for _, op := range damage {
				lines = append(lines, op.Verb.String()+": "+op.String())
			}
			rt.Fatalf("%s\ndamage\n%s\n%v", s, strings.Join(lines, "\n"), err)
		}
	})
}

func (s story) mend(t *testing.T, fresh func(*testing.T) (Kernel, func()), damage []Op, wireguard bool) error {
	ops, _ := afresh(t, fresh, s.after, wireguard)
	k, done := fresh(t)
	defer done()
	scopes := theirs(t, k, "", wireguard)
	run := scopes.Begin("peer")
	do(t, run, ops...)
	run.Keep()
	links := func() string { return describe(append(list(t, k, Link{}), list(t, k, Device{})...)) }
	before := links()
	for _, op := range damage {
		if l, ok := op.Object.(Link); ok && (op.Verb != Set || l.Rename != "" || l.Master != "") || op.Verb == Append {
			continue // links are the node's hooks' to make again, and what is beside another stays
		}
		_ = k.Do(t.Context(), op)
	}
	if _, err := scopes.Audit(t.Context()); err != nil {
		return err
	}
	again := scopes.Begin("peer")
	if err := again.Do(t.Context(), ops...); err != nil {
		return fmt.Errorf("the hook that runs again: %w", err)
	}
	if err := again.Sweep(t.Context()); err != nil {
		return err
	}
	lost, err := scopes.lost(t.Context(), scopes.ledger.all())
	if err != nil {
		return err
	}
	for _, e := range lost {
		return fmt.Errorf("%s is lost still, links before\n%snow\n%s", e.place, before, links())
	}
	return nil
}
