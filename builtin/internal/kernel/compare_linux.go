package kernel

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A comparison is a Compare on its way. What is done for each row of a list allocates nothing.
type comparison struct {
	objects   []Object
	numbers   *numbers
	seats     seats // of the objects' rows
	questions []question
	seated    []bool // objects that have a seat
	seen      []bool // objects that are there, whether as described or not
	found     []Difference
}

func (s *system) comparison(objects []Object) *comparison {
	return &comparison{
		objects: objects, numbers: s.numbers(), seats: newSeats(len(objects)),
		seated: make([]bool, len(objects)), seen: make([]bool, len(objects)),
	}
}

// Compare is part of Kernel.
func (s *system) Compare(ctx context.Context, objects []Object) ([]Difference, error) {
	c := s.comparison(objects)
	rest := c.seat()
	if len(objects) <= few && len(rest) == 0 {
		if ok, err := c.lookAtEach(ctx, s); err != nil || ok {
			return c.found, err
		}
		c = s.comparison(objects)
		c.seat()
	}
	if err := c.askAll(ctx, s); err != nil {
		return nil, err
	}
	if err := c.compareRest(ctx, s, rest); err != nil {
		return nil, err
	}
	sorted := len(c.found) == 0
	missing := 0
	for i := range objects {
		missing += bit(c.seated[i] && !c.seen[i])
	}
	c.found = slices.Grow(c.found, missing)
	for i := range objects {
		if c.seated[i] && !c.seen[i] {
			c.found = append(c.found, Difference{Index: i})
		}
	}
	if sorted {
		return c.found, nil
	}
	c.sort()
	return c.found, nil
}

// sort puts differences in the order of their objects, and what is over an object after what is in its place.
func (c *comparison) sort() {
	slices.SortStableFunc(c.found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(bit(a.Over), bit(b.Over)))
	})
}

// seat finds the seats of all objects, and returns those that have none.
func (c *comparison) seat() (rest []int) {
	for i, o := range c.objects {
		r := &c.seats.rows[i]
		ok, err := c.numbers.row(o, r)
		switch {
		case ok && err != nil: // there is no such link, and so nothing on it
			c.found = append(c.found, Difference{Index: i})
			continue
		case !ok || !c.seats.put(i):
			rest = append(rest, i)
			continue
		}
		c.seated[i] = true
		if !slices.Contains(c.questions, r.table) {
			c.questions = append(c.questions, r.table)
		}
	}
	return rest
}

// askAll has all tables listed, two at a time.
func (c *comparison) askAll(ctx context.Context, s *system) error {
	questions := make(chan question, len(c.questions))
	for _, q := range c.questions {
		questions <- q
	}
	close(questions)
	found := make([][]Difference, len(s.lists))
	var g errgroup.Group
	for i, socket := range s.lists {
		g.Go(func() error {
			for q := range questions {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				t := &tableComparison{c, q, s.names(), nil}
				if err := t.ask(socket); err != nil {
					return err
				}
				found[i] = append(found[i], t.found...)
			}
			return nil
		})
	}
	err := g.Wait()
	c.found = append(c.found, slices.Concat(found...)...)
	return err
}

// compareRest compares the objects that have no seat.
func (c *comparison) compareRest(ctx context.Context, s *system, rest []int) error {
	if len(rest) == 0 {
		return nil
	}
	var objects []Object
	for _, i := range rest {
		objects = append(objects, c.objects[i])
	}
	more, err := compareLists(ctx, s, objects)
	for _, d := range more {
		d.Index = rest[d.Index]
		c.found = append(c.found, d)
	}
	return err
}

// A tableComparison compares one table's objects.
type tableComparison struct {
	*comparison
	question
	names names
	found []Difference
}

// ask lists the table and takes in what is there.
func (t *tableComparison) ask(over *socket) error {
	return present(over.askWhole(t.message(), t.take, func() {
		t.found = nil
		for i := range t.objects {
			if t.seats.rows[i].table == t.question {
				t.seen[i] = false
			}
		}
	}))
}

// Rivals is part of Kernel. Of a route that is none, all that is read is its row.
func (s *system) Rivals(ctx context.Context, most int) (rivals []Route, err error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	names := s.names()
	err = s.lists[0].askWhole(question{unix.RTM_GETROUTE, unix.AF_INET, mainTable}.message(), func(m []byte) {
		have := routeRowOf(m)
		if have.other || have.bits == 0 || len(rivals) > most || have.number >= uint32(spreadMetric(have.prefix())) {
			return
		}
		if r := readRoute(m, names); r.isRival() {
			rivals = append(rivals, r)
		}
	}, func() { rivals = nil })
	return rivals, present(err)
}

// present is the error of asking for a table, nil for that of one that is not there since it never had a route.
func present(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// take takes in one message of a list.
func (t *tableComparison) take(m []byte) {
	have := t.row(m)
	if have.other {
		return
	}
	if i, ok := t.seats.find(&have.seat); ok {
		same := t.seats.rows[i].is(&have)
		if have.shared { // by several hops, which a row does not tell
			same = isAs(t.objects[i], t.object(m, t.names))
		}
		t.compare(i, same, m)
		return
	}
	if !have.isRoute() || t.family != unix.AF_INET || have.bits == 0 {
		return
	}
	under := have.seat
	under.number = uint32(spreadMetric(under.prefix()))
	if i, ok := t.seats.find(&under); ok && have.number < under.number {
		over := readRoute(m, t.names)
		if r := t.objects[i].(Route); r.isSpread() && r.isUnder(over) {
			t.found = append(t.found, Difference{i, over, true})
		}
	}
}

// compare takes in whether an object is the same as what is in its seat. Of several there any may be the one.
func (t *tableComparison) compare(i int, same bool, m []byte) {
	switch {
	case same && t.seen[i]:
		t.found = slices.DeleteFunc(t.found, func(d Difference) bool { return d.Index == i && !d.Over })
	case !same && !t.seen[i]:
		t.found = append(t.found, Difference{Index: i, Have: t.object(m, t.names)})
	}
	t.seen[i] = true
}

// lookAtEach asks for one object after the other. ok is false when one of the answers leaves open what is in its seat.
func (c *comparison) lookAtEach(ctx context.Context, s *system) (ok bool, err error) {
	for i := range c.objects {
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		var want row
		if _, err := c.numbers.row(c.objects[i], &want); err != nil {
			continue // there is no such link, which is found already
		}
		if want.isRoute() && want.table.number != mainTable {
			return false, nil // perhaps no packet is looked up there
		}
		t := &tableComparison{c, want.table, s.names(), nil}
		certain := true
		_, err := s.lists[0].ask(want.narrow(), func(m []byte) {
			t.take(m)
			certain = c.seen[i] || want.isMissedBy(t.row(m))
		})
		if err != nil && !missing(err) && !errors.Is(err, unix.ENETUNREACH) || !certain {
			return false, nil
		}
		if c.found = append(c.found, t.found...); !c.seen[i] {
			c.found = append(c.found, Difference{Index: i})
		}
	}
	c.sort()
	return true, nil
}
