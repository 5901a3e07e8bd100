package lease

import (
	"iter"
	"slices"
)

// An Item is what a Set holds: a pointer to what nobody changes any more.
type Item[T any] interface {
	comparable
	// Compare orders items by their key, of which a Set holds one each.
	Compare(T) int
}

// A Set holds items sorted by key, and never changes: With and Without make another Set that shares with this one all but the
// little that differs, and Since passes over what two Sets share. So whoever remembers the last Set that it was given, and
// compares it with the next one, does no more work than has happened in between, however large both are, and however many
// came in between that it never saw. The zero Set is empty.
type Set[T Item[T]] struct {
	blocks [][]T // none empty, no two neighbours so small that one would do; shared with other Sets
	size   int
}

// largest is how many items a block has at most. A change copies one block, and the list of all.
const largest = 128

// NewSet is the Set of the items. Of several with one key it holds the last.
func NewSet[T Item[T]](items ...T) Set[T] { return Set[T]{}.With(items...) }

// Len is how many items there are.
func (s Set[T]) Len() int { return s.size }

// All yields the items in the order of their keys.
func (s Set[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, block := range s.blocks {
			for _, item := range block {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// Get is the item that has the key of like, or nil.
func (s Set[T]) Get(like T) (item T) {
	i := s.find(like)
	if i < 0 {
		return item
	}
	if at, found := slices.BinarySearchFunc(s.blocks[i], like, T.Compare); found {
		item = s.blocks[i][at]
	}
	return item
}

// find is the block to which the key belongs, -1 where that is before all.
func (s Set[T]) find(like T) int {
	i, found := slices.BinarySearchFunc(s.blocks, like, func(block []T, like T) int { return block[0].Compare(like) })
	if found {
		return i
	}
	return i - 1
}

// With is the Set with these items, in place of those that have their keys.
func (s Set[T]) With(items ...T) Set[T] {
	if len(items) == 0 {
		return s
	}
	news := slices.Clone(items)
	slices.SortStableFunc(news, T.Compare)
	return s.rebuild(news, func(old, news []T) []T {
		merged := make([]T, 0, len(old)+len(news))
		for len(news) > 0 {
			n, found := slices.BinarySearchFunc(old, news[0], T.Compare)
			merged = append(merged, old[:n]...)
			if found {
				n++
			}
			old = old[n:]
			if len(news) == 1 || news[0].Compare(news[1]) != 0 {
				merged = append(merged, news[0])
			}
			news = news[1:]
		}
		return append(merged, old...)
	})
}

// Without is the Set without what has the keys of these items.
func (s Set[T]) Without(items ...T) Set[T] {
	var gone []T
	var none T
	for _, item := range items {
		if have := s.Get(item); have != none {
			gone = append(gone, have)
		}
	}
	if len(gone) == 0 {
		return s
	}
	slices.SortFunc(gone, T.Compare)
	return s.rebuild(gone, func(old, gone []T) []T {
		return slices.DeleteFunc(slices.Clone(old), func(item T) bool {
			_, found := slices.BinarySearchFunc(gone, item, T.Compare)
			return found
		})
	})
}

// rebuild makes anew the blocks to which some of the sorted items belong, each from what it was and those, and shares all others.
func (s Set[T]) rebuild(items []T, anew func(block, items []T) []T) Set[T] {
	var next Set[T]
	next.blocks = make([][]T, 0, len(s.blocks)+1+len(items)/largest)
	if len(s.blocks) == 0 {
		next.append(anew(nil, items))
		return next
	}
	for i, block := range s.blocks {
		n := len(items)
		if n > 0 && i+1 < len(s.blocks) {
			n, _ = slices.BinarySearchFunc(items, s.blocks[i+1][0], T.Compare)
		}
		if n > 0 {
			block = anew(block, items[:n])
		}
		next.append(block)
		items = items[n:]
	}
	return next
}

// append adds what comes after all, in blocks of the right size. The Set is nobody else's yet.
func (s *Set[T]) append(items []T) {
	if len(items) == 0 {
		return
	}
	s.size += len(items)
	if last := len(s.blocks) - 1; last >= 0 && len(s.blocks[last])+len(items) <= largest/2 {
		items = slices.Concat(s.blocks[last], items)
		s.blocks = s.blocks[:last]
	}
	if len(items) <= largest {
		s.blocks = append(s.blocks, items)
		return
	}
	parts := (len(items)-1)/largest + 1
	for part := range slices.Chunk(items, (len(items)-1)/parts+1) {
		s.blocks = append(s.blocks, slices.Clone(part)) // which does not keep the others in memory
	}
}

// Since yields, in the order of their keys, what differs between an earlier Set and this one: each item that was or is, and what
// is or was in its place, nil for nothing. Items differ that are not the very same, whatever they say.
func (s Set[T]) Since(before Set[T]) iter.Seq2[T, T] {
	return func(yield func(was, is T) bool) {
		old, now := cursor[T]{blocks: before.blocks}, cursor[T]{blocks: s.blocks}
		for !old.end() || !now.end() {
			if old.sameBlock(now) {
				old.skip()
				now.skip()
				continue
			}
			var was, is T
			switch {
			case old.end():
				is = now.next()
			case now.end():
				was = old.next()
			default:
				order := old.item().Compare(now.item())
				if order <= 0 {
					was = old.next()
				}
				if order >= 0 {
					is = now.next()
				}
			}
			if was != is && !yield(was, is) {
				return
			}
		}
	}
}

// A cursor goes through the items of a Set.
type cursor[T Item[T]] struct {
	blocks [][]T // the first is the one it is in
	at     int
}

func (c *cursor[T]) end() bool { return len(c.blocks) == 0 }

func (c *cursor[T]) item() T { return c.blocks[0][c.at] }

func (c *cursor[T]) next() T {
	item := c.item()
	if c.at++; c.at == len(c.blocks[0]) {
		c.skip()
	}
	return item
}

func (c *cursor[T]) skip() { c.blocks, c.at = c.blocks[1:], 0 }

// sameBlock reports whether both are at the beginning of one block.
func (c *cursor[T]) sameBlock(o cursor[T]) bool {
	return !c.end() && !o.end() && c.at == 0 && o.at == 0 && len(c.blocks[0]) == len(o.blocks[0]) && &c.blocks[0][0] == &o.blocks[0][0]
}

// List is a copy of all that the set holds.
func List[T any, P interface {
	*T
	Item[P]
}](s Set[P]) []T {
	list := make([]T, 0, s.Len())
	for item := range s.All() {
		list = append(list, *item)
	}
	return list
}
