package kernel

import (
	"context"
	"slices"
	"strconv"
)

// A VLAN is one whose packets a port of a bridge lets through, or the bridge itself takes (IEEE 802.1Q). To add one that is
// there already changes it, and to delete one that is not there succeeds, as in the kernel.
type VLAN struct {
	Dev      string `json:",omitzero"`
	ID       int    `json:",omitzero"` // 1 to 4094
	PVID     bool   `json:",omitzero"` // packets that come without a tag belong to it; one VLAN of a port can have them
	Untagged bool   `json:",omitzero"` // packets leave without a tag
	Self     bool   `json:",omitzero"` // Dev is the bridge itself, not a port of one
}

// firstVLAN is the one that bridges and new ports begin with, unless the bridge has another vlan_default_pvid.
const firstVLAN = 1

// Key is "vlan DEV ID TABLE".
func (v VLAN) Key() string { return "vlan " + v.Dev + " " + strconv.Itoa(v.ID) + " " + v.where() }

// where names whose VLAN it is.
func (v VLAN) where() string {
	if v.Self {
		return "self"
	}
	return "master"
}

func (v VLAN) command(verb Verb) string {
	w := command("bridge", "vlan")
	if verb == Del {
		w.add("del")
	} else {
		w.add("add")
	}
	w.add("dev", v.Dev, "vid", strconv.Itoa(v.ID))
	w.when(v.PVID && verb != Del, "pvid")
	w.when(v.Untagged && verb != Del, "untagged")
	w.add(v.where())
	return w.String()
}

// setVLAN adds a VLAN or changes it. The one that was the port's PVID before is so no more, which the ledger has to know.
func (r *Run) setVLAN(ctx context.Context, v VLAN) error {
	inverse, err := r.inverseVLAN(ctx, v)
	if err != nil {
		return err
	}
	var before, after []entry
	if v.PVID {
		before = slices.DeleteFunc(r.scopes.ledger.vlans(v.Dev), func(e entry) bool {
			o := e.object.(VLAN)
			return !o.PVID || o.ID == v.ID || o.Self != v.Self
		})
	}
	for _, e := range before {
		o := e.object.(VLAN)
		o.PVID = false
		after = append(after, entry{scope: e.scope, place: e.place, object: o})
	}
	r.giveBack(after)
	if err := r.carry(ctx, Op{Replace, v}, v.Key(), effect{inverse: inverse}); err != nil {
		r.giveBack(before)
		return err
	}
	if len(before) > 0 {
		r.undo = append(r.undo, func(context.Context) error { r.giveBack(before); return nil })
	}
	return nil
}

// inverseVLAN looks at all VLANs of the port when it is to have another PVID, which another has lost then.
func (r *Run) inverseVLAN(ctx context.Context, v VLAN) ([]Op, error) {
	like := VLAN{Dev: v.Dev, ID: v.ID}
	if v.PVID {
		like.ID = 0
	}
	list, err := r.List(ctx, like)
	if err != nil {
		return nil, err
	}
	inverse := []Op{{Del, v}}
	for _, o := range list {
		have := o.(VLAN)
		switch {
		case have.Key() == v.Key():
			inverse[0] = Op{Replace, have}
		case have.PVID && v.PVID && have.Self == v.Self:
			inverse = append(inverse, Op{Replace, have})
		}
	}
	return inverse, nil
}

// vlans is how to give a bridge, or a port of one, the VLANs that it has, and not the one that each begins with.
func (r *Run) vlans(ctx context.Context, l Link) (ops []Op, err error) {
	self := l.Kind == "bridge"
	if !self && l.Master == "" {
		return nil, nil
	}
	if !self {
		master, err := r.scopes.link(ctx, l.Master)
		if master == nil || master.Kind != "bridge" {
			return nil, err
		}
	}
	list, err := r.List(ctx, VLAN{Dev: l.Name})
	if err != nil {
		return nil, err
	}
	first := VLAN{Dev: l.Name, ID: firstVLAN, Self: self}
	if !slices.ContainsFunc(list, func(o Object) bool { return o.Key() == first.Key() }) {
		ops = append(ops, Op{Del, first})
	}
	for _, o := range list {
		ops = append(ops, restoring(o))
	}
	return ops, nil
}

// leaving is what nobody owns any more once the link has the master that is said: the VLANs that it had in a bridge.
func (r *Run) leaving(l Link, have *Link) []entry {
	if have == nil || l.Master == have.Master || l.Master == "" && !l.NoMaster {
		return nil
	}
	return slices.DeleteFunc(r.scopes.ledger.vlans(l.Name), func(e entry) bool { return e.object.(VLAN).Self })
}

// vlans are the entries of the VLANs of one link.
func (l *ledger) vlans(dev string) []entry {
	return slices.DeleteFunc(l.hanging(dev), func(e entry) bool {
		_, ok := e.object.(VLAN)
		return !ok
	})
}
