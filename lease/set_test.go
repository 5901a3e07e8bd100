package lease_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/overlayd/overlayd/lease"
)

// A word is an item that is told from others by its number, and from those that had it before by its text.
type word struct {
	number int
	text   string
}

func (w *word) Compare(o *word) int { return cmp.Compare(w.number, o.number) }

// A shelf is a Set, and what it is to hold.
type shelf struct {
	set  lease.Set[*word]
	want map[int]*word
}

// check compares all that a Set tells with what it is to hold.
func (s shelf) check(t *rapid.T) {
	var want []*word
	for _, number := range slices.Sorted(maps.Keys(s.want)) {
		want = append(want, s.want[number])
	}
	if got := slices.Collect(s.set.All()); !slices.Equal(got, want) || s.set.Len() != len(want) {
		t.Fatalf("it holds %d, %v, want %d, %v", s.set.Len(), texts(got), len(want), texts(want))
	}
	number := rapid.IntRange(-1, 1000).Draw(t, "number")
	if got := s.set.Get(&word{number: number}); got != s.want[number] {
		t.Fatalf("at %d is %v, want %v", number, got, s.want[number])
	}
}

// changed is the shelf after a random change.
func (s shelf) changed(t *rapid.T) shelf {
	next := shelf{s.set, maps.Clone(s.want)}
	// Few or many, near one another or not: what lies between is shared, blocks grow and are divided, or shrink and are joined.
	first, spread := rapid.IntRange(0, 900).Draw(t, "first"), rapid.SampledFrom([]int{10, 100, 1000}).Draw(t, "spread")
	numbers := rapid.SliceOfN(rapid.IntRange(first, first+spread), 0, 300).Draw(t, "numbers")
	items := make([]*word, len(numbers))
	for i, number := range numbers {
		items[i] = &word{number, rapid.StringN(1, 3, -1).Draw(t, "text")}
	}
	if rapid.Bool().Draw(t, "remove") {
		next.set = s.set.Without(items...)
		for _, number := range numbers {
			delete(next.want, number)
		}
		return next
	}
	next.set = s.set.With(items...)
	for _, item := range items {
		next.want[item.number] = item
	}
	return next
}

func texts(items []*word) (list []word) {
	for _, item := range items {
		list = append(list, *item)
	}
	return list
}

// Whoever has one of many Sets and is told of the differences to another has what that one holds, and is told of nothing else.
func TestSetsAreToldByTheirDifferences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		shelves := []shelf{{want: map[int]*word{}}}
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			from := rapid.SampledFrom(shelves).Draw(t, "from")
			shelves = append(shelves, from.changed(t))
		}
		for _, s := range shelves { // none of the later ones has changed one before
			s.check(t)
		}
		before, now := rapid.SampledFrom(shelves).Draw(t, "before"), rapid.SampledFrom(shelves).Draw(t, "now")
		have, last := maps.Clone(before.want), -1
		for was, is := range now.set.Since(before.set) {
			number := cmp.Or(is, was).number
			if was == is || was != have[number] || number <= last {
				t.Fatalf("at %d it was said to be %v, and to have been %v where it was %v", number, is, was, have[number])
			}
			have[number], last = is, number
			if is == nil {
				delete(have, number)
			}
		}
		if !maps.Equal(have, now.want) {
			t.Fatal("the differences do not lead from one to the other")
		}
	})
}

// A counted is an item that counts how often it is compared with others.
type counted struct{ number, compared int }

func (c *counted) Compare(o *counted) int {
	c.compared++
	return cmp.Compare(c.number, o.number)
}

// To change a large Set, and to find what was changed, is a matter of few of its items.
func TestOneChangeOfALargeSetTouchesLittle(t *testing.T) {
	t.Parallel()
	const n = 50_000
	items := make([]*counted, n)
	for i := range items {
		items[i] = &counted{number: i}
	}
	before := lease.NewSet(items...)
	for _, item := range items {
		item.compared = 0
	}
	now := before.With(&counted{number: n / 2}).Without(&counted{number: n/2 + 1})
	differences, compared := 0, 0
	for range now.Since(before) {
		differences++
	}
	for _, item := range items {
		compared += item.compared
	}
	if differences != 2 || compared > n/20 {
		t.Errorf("%d differences, want 2; %d comparisons, want few", differences, compared)
	}
}
