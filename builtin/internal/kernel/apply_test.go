package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantOf is a vxlan peer as a native backend wants it.
func wantOf(i int) Want {
	at := netip.AddrFrom4([4]byte{10, byte(50 + i>>8), byte(i), 0})
	hardware := MAC(fmt.Sprintf("02:00:00:00:%02x:%02x", byte(i>>8), byte(i)))
	r := Spread(Route{Dst: netip.PrefixFrom(at, 24), Protocol: Protocol, Hops: []Hop{{Via: at, Dev: "vx", Onlink: true}}})
	return Want{r.Dst.String(), []Object{
		Neigh{IP: at, Dev: "vx", Address: hardware}, FDB{Address: hardware, Dev: "vx", Dst: ip("192.0.2.7")}, r,
	}}
}

func wantsOf(n int) (wants []Want) {
	for i := range n {
		wants = append(wants, wantOf(i))
	}
	return wants
}

// objectsOf is what the Wants come to, as text.
func objectsOf(wants ...Want) string {
	k := NewFake()
	for _, w := range wants {
		k.objects = append(k.objects, w.Objects...)
	}
	return k.String()
}

func apply(t *testing.T, s *Scopes, wants ...Want) {
	t.Helper()
	if errs := s.Apply(t.Context(), slices.Values(wants), func(string) bool { return true }); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
}

// nowhere is on a link that there is not.
var nowhere = Neigh{IP: neigh.IP, Dev: "nope", Address: station}

// applyAllButSecond applies them, of which the second wants nowhere too.
func applyAllButSecond(t *testing.T, s *Scopes, wants []Want) {
	t.Helper()
	errs := s.Apply(t.Context(), slices.Values(wants), func(string) bool { return true })
	if len(errs) != len(wants) {
		t.Fatalf("errors %v", errs)
	}
	for i, err := range errs {
		if (err != nil) != (i == 1) {
			t.Errorf("%s: %v", wants[i].Scope, err)
		}
	}
	if got := errs[1]; got == nil || !strings.Contains(got.Error(), `ip neighbour add 10.50.7.0 lladdr 02:00:00:00:00:99 dev nope nud permanent: Cannot find device "nope"`) {
		t.Errorf("error %v", got)
	}
}

// stateBut is the state less what is on the link itself.
func stateBut(t *testing.T, k Kernel) string {
	t.Helper()
	var kept []string
	for line := range strings.Lines(state(t, k)) {
		if !strings.HasPrefix(line, "ip link") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// Both the few, which are looked for one by one, and the many, for which tables are listed.
func TestApplyMakesAndSweepsWhatScopesWant(t *testing.T) {
	for _, n := range []int{1, 3, 60} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			eachKernel(t, func(t *testing.T, k Kernel) {
				do(t, k, Op{Add, vx}, Op{Set, vxUp})
				path := filepath.Join(t.TempDir(), "ledger")
				s := scopesOn(t, k, path)
				wants := wantsOf(n)
				is := func(what string) {
					t.Helper()
					if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
						t.Fatalf("%s: state (-want +got):\n%s", what, diff)
					}
				}
				apply(t, s, wants...)
				is("from nothing")
				counting := &changes{Kernel: k}
				s.kernel = counting
				apply(t, s, wants...)
				is("once more")
				if len(counting.ops) != 0 {
					t.Errorf("nothing had changed, and it did %v", counting.ops)
				}
				for _, o := range wants[0].Objects {
					do(t, k, Op{Del, o})
				}
				apply(t, s, wants...)
				is("after one was lost")
				wants[0] = Want{wants[0].Scope, []Object{via(wants[0].Objects[2].(Route), "10.50.99.0")}}
				apply(t, s, wants[0])
				is("with another need")
				s.Begin(wants[0].Scope).Keep() // which writes down what is not owned any more
				if diff := cmp.Diff(owned(s), owned(scopesOn(t, k, path))); diff != "" {
					t.Errorf("owned (-in memory +in the file):\n%s", diff)
				}
			})
		})
	}
}

// changes notes what changes a Kernel.
type changes struct {
	Kernel
	ops []Op
}

func (c *changes) Batch(ctx context.Context, ops iter.Seq[Op]) []error {
	return c.Kernel.Batch(ctx, func(yield func(Op) bool) {
		for op := range ops {
			c.ops = append(c.ops, op)
			if !yield(op) {
				return
			}
		}
	})
}

func (c *changes) Do(ctx context.Context, ops ...Op) error {
	c.ops = append(c.ops, ops...)
	return c.Kernel.Do(ctx, ops...)
}

func TestApplyTakesBackTheScopesThatFailAlone(t *testing.T) {
	for _, n := range []int{2, 60} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			s := scopesOn(t, k, "")
			wants := wantsOf(n)
			before := wants[1]
			before.Objects = before.Objects[1:] // it has owned less until now, and one thing differently
			before.Objects[1] = via(before.Objects[1].(Route), "10.50.99.0")
			apply(t, s, before)
			ownedBefore := owned(s)
			after := wantsOf(n)
			after[1].Objects = append(after[1].Objects, nowhere)
			applyAllButSecond(t, s, after)
			want := append([]Want{after[0], before}, after[2:]...)
			if diff := cmp.Diff(objectsOf(want...), stateBut(t, k)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			for line := range strings.Lines(ownedBefore) {
				if !strings.Contains(owned(s), line) {
					t.Errorf("it does not own any more: %s", line)
				}
			}
		})
	}
}

// What is as a scope that fails wants it, but was not made for it, stays.
func TestApplyLeavesWhatWasThereOfAScopeThatFails(t *testing.T) {
	for _, n := range []int{2, 60} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			s := scopesOn(t, k, "")
			wants := wantsOf(n)
			before := wants[1]
			for _, o := range before.Objects {
				do(t, k, Op{Add, o})
			}
			wants[1].Objects = append(slices.Clip(before.Objects), nowhere)
			applyAllButSecond(t, s, wants)
			wants[1] = before
			if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if got := s.Owned(before.Scope); len(got) > 0 {
				t.Errorf("it owns %v", got)
			}
		})
	}
}

// A process that is killed amid an Apply leaves the beginning of what it wrote, and some or all of what that tells of.
func TestApplyGoesOnWhereAKillEndedIt(t *testing.T) {
	k := NewFake()
	do(t, k, Op{Add, vx}, Op{Set, vxUp})
	path := filepath.Join(t.TempDir(), "ledger")
	wants := wantsOf(30)
	apply(t, scopesOn(t, k, path), wants...)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(whole))
	if len(lines) != 1+3*len(wants) {
		t.Fatalf("the ledger has %d lines, want a header and one for each object", len(lines))
	}
	for written := range lines {
		for _, made := range []int{0, written / 2, written} {
			k := NewFake()
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			for i := range made {
				do(t, k, Op{Add, wants[i/3].Objects[i%3]})
			}
			path := filepath.Join(t.TempDir(), "ledger")
			torn := append(slices.Concat(lines[:1+written]...), `{"scope":"10.5`...)
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			s := scopesOn(t, k, path)
			apply(t, s, wants[1:]...) // the first is there no more
			if err := s.Begin(wants[0].Scope).Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Begin(wants[0].Scope).Keep() // which writes down what is not owned any more
			if diff := cmp.Diff(objectsOf(wants[1:]...), stateBut(t, k)); diff != "" {
				t.Fatalf("%d of %d lines' objects were made: state (-want +got):\n%s", made, written, diff)
			}
			if diff := cmp.Diff(owned(s), owned(scopesOn(t, k, path))); diff != "" {
				t.Fatalf("owned (-in memory +in the file):\n%s", diff)
			}
		}
	}
}

// Of two scopes in one set that want one place the first has it, whichever owned it in an earlier life, and however far apart they are.
func TestTheFirstOfASetHasWhatALaterOneWants(t *testing.T) {
	for _, n := range []int{2, claimTogether} {
		for _, owner := range []string{"first", "last", "nobody"} {
			t.Run(fmt.Sprintf("of %d, %s owned it", n, owner), func(t *testing.T) {
				eachKernel(t, func(t *testing.T, k Kernel) {
					do(t, k, Op{Add, vx}, Op{Set, vxUp})
					s := scopesOn(t, k, "")
					wants := wantsOf(n)
					contested := wants[0].Objects[2]
					wants[n-1].Objects[2] = contested
					switch owner {
					case "first":
						apply(t, s, wants[0])
					case "last":
						apply(t, s, wants[n-1])
					}
					errs := s.Apply(t.Context(), slices.Values(wants), func(string) bool { return false })
					for i, err := range errs {
						if (err != nil) != (i == n-1) {
							t.Errorf("%s: %v", wants[i].Scope, err)
						}
					}
					if len(errs) == 0 || s.Owner(contested) != wants[0].Scope {
						t.Errorf("owner is %q, want %q; %d errors", s.Owner(contested), wants[0].Scope, len(errs))
					}
					if !strings.Contains(stateBut(t, k), contested.(Route).Dst.String()) {
						t.Error("the first does not have it")
					}
				})
			})
		}
	}
}

func TestApplyRefusesWhatAnotherScopeHas(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		s := scopesOn(t, k, "")
		first, second := wantOf(1), wantOf(2)
		second.Objects[0] = first.Objects[0]
		const refused = "ip neighbour add 10.50.1.0 lladdr 02:00:00:00:00:01 dev vx nud permanent: this is 10.50.1.0/24's already, which is up"
		errs := s.Apply(t.Context(), slices.Values([]Want{first, second}), func(string) bool { return false })
		if len(errs) != 2 || errs[0] != nil || errs[1] == nil || errs[1].Error() != refused {
			t.Errorf("in one set: %v", errs)
		}
		errs = s.Apply(t.Context(), slices.Values([]Want{second}), func(string) bool { return true })
		if len(errs) != 1 || errs[0] == nil || errs[0].Error() != refused {
			t.Errorf("afterwards: %v", errs)
		}
		if diff := cmp.Diff(objectsOf(first), stateBut(t, k)); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		if errs := s.Apply(t.Context(), slices.Values([]Want{second}), func(string) bool { return false }); errs != nil {
			t.Errorf("from a scope that is not in use: %v", errs)
		}
	})
}

// What nobody owns is not looked for before it is made: of the few that are neighbours and FDB entries, of the many routes as well.
func TestApplyTakesOverWhatNobodyOwns(t *testing.T) {
	for _, n := range []int{2, 60} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			s := scopesOn(t, k, "")
			wants := wantsOf(n)
			other := wants[1].Objects[0].(Neigh)
			other.Address = station
			do(t, k, Op{Add, wants[0].Objects[0]}, Op{Add, wants[0].Objects[1]}, Op{Add, other}, Op{Add, behind(wants[1].Objects[1].(FDB), "192.0.2.9")},
				Op{Add, wants[0].Objects[2]}, Op{Add, via(wants[1].Objects[2].(Route), "10.50.99.0")})
			before := stateBut(t, k)
			failing := Want{wants[1].Scope, append(wants[1].Objects[:2:2], Neigh{IP: neigh.IP, Dev: "nope", Address: station})}
			if errs := s.Apply(t.Context(), slices.Values([]Want{failing}), func(string) bool { return true }); errs == nil {
				t.Fatal("a neighbour on a link that is not there was made")
			}
			if diff := cmp.Diff(before, stateBut(t, k)); diff != "" || owned(s) != "" {
				t.Errorf("taken back (-before +after):\n%sit owns %q", diff, owned(s))
			}
			counting := &changes{Kernel: k}
			s.kernel = counting
			apply(t, s, wants...)
			for _, op := range counting.ops {
				is := func(o Object) bool { return o.Key() == op.Object.Key() }
				if op.Verb == Replace && slices.ContainsFunc(wants[0].Objects, is) {
					t.Errorf("it was there already, and is replaced: %s", op)
				}
			}
			if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if got := strings.Count(owned(s), "\n"); got < 3*n {
				t.Errorf("of %d objects %d are owned:\n%s", 3*n, got, owned(s))
			}
		})
	}
}

// A cluster that is moved from flannel has its routes, which have no metric; and somebody may put one there at any time.
func TestApplyReplacesARouteWithoutAMetricWithoutAGap(t *testing.T) {
	for _, n := range []int{1, 60} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			s := scopesOn(t, k, "")
			wants := wantsOf(n)
			ours := wants[0].Objects[2].(Route)
			theirs := route(ours, func(r *Route) { r.Metric, r.Protocol = 0, 0 })
			do(t, k, Op{Add, theirs})
			counting := &changes{Kernel: k}
			s.kernel = counting
			apply(t, s, wants...)
			made, gone := -1, -1
			for i, op := range counting.ops {
				switch op.String() {
				case Op{Add, ours}.String():
					made = i
				case Op{Del, theirs}.String():
					gone = i
				}
			}
			if made < 0 || gone < made {
				t.Errorf("made at %d, and theirs deleted at %d, want that after it: %v", made, gone, counting.ops)
			}
			if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			do(t, k, Op{Replace, via(theirs, "10.50.99.0")}) // which ip route replace adds, having no metric
			scopes, err := s.Audit(t.Context())
			if diff := cmp.Diff([]string{wants[0].Scope}, scopes); diff != "" || err != nil {
				t.Errorf("damaged (-want +got):\n%s%v", diff, err)
			}
			apply(t, s, wants[0])
			if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
				t.Errorf("state after the repair (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBlocksOfWantsGrow(t *testing.T) {
	wants := wantsOf(200)
	for _, blocks := range []int{0, 1, 4, 5, 70} {
		var all []Want
		for block := range growing(wants, blocks) {
			if all = append(all, block...); len(block) == 0 || blocks == 0 && len(all) == len(block) && len(block) > claimFirst {
				t.Fatalf("after %d blocks comes one of %d", blocks, len(block))
			}
		}
		if len(all) != len(wants) || all[199].Scope != wants[199].Scope {
			t.Errorf("after %d blocks come %d Wants, want all %d", blocks, len(all), len(wants))
		}
	}
}

// A ledger that was lost while flannel ran again leaves both routes: ours is not deleted with the one that hides it.
func TestApplyKeepsARouteThatIsThereUnderAnother(t *testing.T) {
	for _, n := range []int{1, 60} {
		eachKernel(t, func(t *testing.T, k Kernel) {
			do(t, k, Op{Add, vx}, Op{Set, vxUp})
			wants := wantsOf(n)
			ours := wants[0].Objects[2].(Route)
			do(t, k, Op{Add, ours}, Op{Add, route(ours, func(r *Route) { r.Metric, r.Protocol = 0, 0 })})
			apply(t, scopesOn(t, k, ""), wants...)
			if diff := cmp.Diff(objectsOf(wants...), stateBut(t, k)); diff != "" {
				t.Errorf("%d: state (-want +got):\n%s", n, diff)
			}
		})
	}
}

// Of very many routes that hide others it is cheaper to look for those that are wanted.
func TestApplyReplacesRoutesWithoutAMetricAmongVeryMany(t *testing.T) {
	k := NewFake()
	do(t, k, Op{Add, vx}, Op{Set, vxUp})
	for _, w := range wantsOf(mostRivals + 1) {
		k.objects = append(k.objects, route(w.Objects[2].(Route), func(r *Route) { r.Metric, r.Protocol = 0, 0 }))
	}
	wants := wantsOf(60)
	apply(t, scopesOn(t, k, ""), wants...)
	for _, w := range wants {
		list, err := k.List(t.Context(), Route{Dst: w.Objects[2].(Route).Dst})
		if err != nil || len(list) != 1 || list[0].Key() != w.Objects[2].Key() {
			t.Fatalf("to %s there are %v, %v", w.Scope, list, err)
		}
	}
}

func TestRivalsAreTheRoutesThatHideSpreadOnes(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		do(t, k, Op{Add, vx}, Op{Set, vxUp})
		ours := wantOf(9).Objects[2].(Route)
		with := func(change func(*Route)) Op { return Op{Add, route(ours, change)} }
		do(t, k, Op{Add, ours}, with(func(r *Route) { r.Metric++ }), with(func(r *Route) { r.Table = 7; r.Metric = 1 }),
			with(func(r *Route) { r.Dst = netip.MustParsePrefix("0.0.0.0/0"); r.Metric = 1 }))
		is := func(most int, want ...Op) {
			t.Helper()
			rivals, err := k.Rivals(t.Context(), most)
			var got []Op
			for _, r := range rivals {
				got = append(got, Op{Add, r})
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		is(9)
		first, second := with(func(r *Route) { r.Metric, r.Protocol = 0, 0 }), with(func(r *Route) { r.Metric -= 1 })
		do(t, k, first, second)
		is(2, first, second)
		is(0, first)
	})
}
