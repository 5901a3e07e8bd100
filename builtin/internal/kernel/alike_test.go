package kernel

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of two routes at one key, that of an earlier run must not be what is replaced.
func TestARouteThatReplacesOneOfTwoLeavesNoneOfAnEarlierRun(t *testing.T) {
	for _, two := range [][2]Route{{universe.routes[7], universe.routes[8]}, {universe.routes[1], universe.routes[2]}} {
		for _, replacing := range two {
			for _, how := range []string{"success", "crash"} {
				s := story{before: []Op{{Add, two[0]}, {Append, two[1]}}, stop: 2, how: how, after: []Op{{Add, two[1]}, {Replace, replacing}}}
				for _, fresh := range []func(*testing.T) (Kernel, func()){faked, opened} {
					if err := s.tell(t, fresh, false); err != nil {
						t.Errorf("%s\n%v", s, err)
					}
				}
			}
		}
	}
}

// Packets take the first of two routes at one key, so that both and their order have to come back.
func TestARunWithOneOfTwoRoutesIsUndone(t *testing.T) {
	for _, two := range [][2]Route{{universe.routes[7], universe.routes[8]}, {universe.routes[8], universe.routes[7]}, {universe.routes[1], universe.routes[2]}} {
		for _, ops := range [][]Op{{{Del, two[0]}}, {{Del, two[1]}}, {{Del, two[0]}, {Del, two[1]}}, {{Add, two[1]}, {Replace, two[0]}}, {{Add, two[1]}, {Replace, two[1]}}} {
			eachKernel(t, func(t *testing.T, k Kernel) {
				scopes := theirs(t, k, "", false)
				made := scopes.Begin("peer")
				do(t, made, Op{Add, two[0]}, Op{Append, two[1]})
				made.Keep()
				inOrder := func() (lines []string) {
					for _, o := range list(t, k, Route{Dst: two[0].Dst}) {
						lines = append(lines, Op{Add, o}.String())
					}
					return lines
				}
				before := inOrder()
				run := scopes.Begin("peer")
				do(t, run, ops...)
				if err := run.Undo(t.Context()); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(before, inOrder()); diff != "" {
					t.Errorf("%v undone (-want +got):\n%s", ops, diff)
				}
				if damaged, err := scopes.Audit(t.Context()); len(damaged) > 0 || err != nil {
					t.Errorf("%v undone: %v are damaged, %v", ops, damaged, err)
				}
			})
		}
	}
}

// Somebody's replacement can leave an IPv6 route twice. The hook that runs again makes of it what it was.
func TestARouteThatIsThereTwiceIsMended(t *testing.T) {
	two := [2]Route{universe.routes[7], universe.routes[8]}
	s := story{after: []Op{{Replace, two[0]}, {Append, two[1]}}}
	for _, fresh := range []func(*testing.T) (Kernel, func()){faked, opened} {
		if err := s.mend(t, fresh, []Op{{Replace, two[1]}}, false); err != nil {
			t.Error(err)
		}
	}
}

// To IPv4 a deletion without a metric means a route of any. What a scope made and somebody took away must not take another along.
func TestARouteIsNotTakenForOneOfAnotherMetric(t *testing.T) {
	made := universe.routes[2]
	other := made
	other.Metric = 5
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, k Kernel, s *Scopes)
	}{
		{"the hook's own, made now", func(t *testing.T, k Kernel, s *Scopes) {
			do(t, k, Op{Del, made})
			run := s.Begin("peer")
			do(t, run, Op{Add, other})
			if err := run.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"somebody's, when the peer leaves", func(t *testing.T, k Kernel, s *Scopes) {
			do(t, k, Op{Del, made}, Op{Add, other})
			if err := s.Begin("peer").Clear(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		{"somebody's, when a hook fails", func(t *testing.T, k Kernel, s *Scopes) {
			do(t, k, Op{Del, made})
			run := s.Begin("another")
			do(t, run, Op{Add, made})
			do(t, k, Op{Del, made}, Op{Add, other})
			if err := run.Undo(t.Context()); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachKernel(t, func(t *testing.T, k Kernel) {
				scopes := theirs(t, k, "", false)
				none := state(t, k)
				run := scopes.Begin("peer")
				do(t, run, Op{Add, made})
				run.Keep()
				tt.end(t, k, scopes)
				if diff := cmp.Diff(none+describe([]Object{other}), state(t, k)); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestARouteThatACrashLeftIsNotTakenForOneOfAnotherMetric(t *testing.T) {
	made, by := universe.routes[2], Route{Dst: universe.routes[2].Dst, Hops: []Hop{{Dev: "vx"}}}
	other := made
	other.Metric = 5
	s := story{before: []Op{{Append, made}, {Replace, by}}, stop: 2, how: "crash", after: []Op{{Add, other}}}
	for _, fresh := range []func(*testing.T) (Kernel, func()){faked, opened} {
		if err := s.tell(t, fresh, false); err != nil {
			t.Errorf("%s\n%v", s, err)
		}
	}
}

// Where the other route is the first one now, the kernel refuses to make it as the second is. So it is for a hook that turns the two
// around, and after a sweep of the links' addresses, with which the kernel takes the routes along.
func TestTheFirstRouteIsReplacedWhereItIsTheSecond(t *testing.T) {
	for _, s := range []story{
		{before: []Op{{Add, universe.addrs[0]}, {Add, universe.addrs[1]}, {Add, universe.addrs[3]}}, stop: 3, how: "success",
			after: []Op{{Replace, universe.routes[2]}, {Append, universe.routes[0]}}},
		{before: []Op{{Add, universe.addrs[1]}}, stop: 1, how: "success",
			after: []Op{{Append, universe.routes[0]}, {Append, universe.routes[1]}, {Replace, universe.routes[2]}}},
		{before: []Op{{Add, universe.routes[0]}, {Append, universe.routes[2]}}, stop: 2, how: "success",
			after: []Op{{Replace, universe.routes[2]}, {Append, universe.routes[0]}}},
		{before: []Op{{Add, universe.routes[7]}, {Append, universe.routes[8]}}, stop: 2, how: "crash",
			after: []Op{{Replace, universe.routes[8]}, {Append, universe.routes[7]}}},
	} {
		for _, fresh := range []func(*testing.T) (Kernel, func()){faked, opened} {
			if err := s.tell(t, fresh, false); err != nil {
				t.Errorf("%s\n%v", s, err)
			}
		}
	}
}
