package kernel

import (
	"cmp"
	"slices"
	"strings"
)

// describe is a list of objects as commands that make them, each after what it needs and sorted otherwise, without the
// loopback.
func describe(list []Object) string {
	list = slices.SortedFunc(slices.Values(list), func(a, b Object) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), cmp.Compare(a.command(Add), b.command(Add)))
	})
	var b strings.Builder
	seen := map[string]bool{}
	for _, o := range list {
		if hangsOn(o, "lo") {
			continue
		}
		op := Op{Add, o}
		switch l, _ := o.(Link); {
		case seen[o.Key()]:
			op.Verb = Append
		case l.Peer != "" && seen[Link{Name: l.Peer}.Key()]:
			op.Verb = Set // made with its other end
		}
		seen[o.Key()] = true
		b.WriteString(op.String() + "\n")
	}
	return b.String()
}

// turn orders objects for making: a bridge comes before its ports, a link before what it carries, and the routes that
// gateways are reached over before those that lead over gateways.
func turn(o Object) int {
	switch o := o.(type) {
	case Link:
		return bit(o.Master != "" || o.Lower != "" && o.Kind != "veth")
	case Device, Sysctl, VLAN:
		return 2
	case Peer:
		return 3
	case Addr:
		return 4
	case Neigh:
		return 5
	case FDB:
		return 6
	case Route:
		return 7 + bit(slices.ContainsFunc(o.Hops, func(h Hop) bool { return h.Via.IsValid() }))
	}
	return 9
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
