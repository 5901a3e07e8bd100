package kernel

import (
	"context"
	"net/netip"
	"slices"
)

func (r *Run) inverseLink(ctx context.Context, l Link) (effect, error) {
	have, err := r.scopes.link(ctx, l.Name)
	if have == nil || err != nil {
		return effect{}, err
	}
	back := Link{Name: l.Name, MTU: have.MTU, TxQueue: have.TxQueue}
	if l.Rename != "" {
		back.Name, back.Rename = l.Rename, l.Name
	}
	if l.Address != "" {
		back.Address = have.Address
	}
	if l.Alias != "" || l.NoAlias {
		back.Alias, back.NoAlias = have.Alias, have.Alias == ""
	}
	if l.State != Unsaid {
		back.State = have.State
	}
	if l.Master != "" || l.NoMaster {
		back.Master, back.NoMaster = have.Master, have.Master == ""
	}
	if l.VXLAN != nil && have.VXLAN != nil {
		v := *have.VXLAN
		v.Local, v.Remote = orUnspecified(v.Local, l.VXLAN.Local), orUnspecified(v.Remote, l.VXLAN.Remote)
		back.Lower, back.VXLAN, back.MTU = have.Lower, &v, 0 // with which the kernel does not take it
	}
	back.restore(l, *have)
	undo := effect{inverse: []Op{{Set, back}}, lost: r.leaving(l, have)}
	// A new link-layer address makes the kernel forget the neighbours, permanent ones too. A link that goes down loses its routes
	// and its IPv6 addresses, also when it was down before it came up.
	if l.State != Unsaid && l.State != have.State || l.Address != "" {
		carried, err := r.carried(ctx, *have)
		undo.inverse = append(undo.inverse, carried...)
		return undo, err
	}
	if l.NoMaster || l.Master != "" && l.Master != have.Master {
		vlans, err := r.vlans(ctx, *have)
		undo.inverse = append(undo.inverse, vlans...)
		return undo, err
	}
	return undo, nil
}

// orUnspecified is the address, or what takes away one that is as the other.
func orUnspecified(a, other netip.Addr) netip.Addr {
	switch {
	case a.IsValid() || !other.IsValid():
		return a
	case other.Is6():
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// restore says what the link has now of the things that it is about to be told.
func (l *Link) restore(told, have Link) {
	if told.Group != nil {
		if l.Group = have.Group; l.Group == nil {
			l.Group = new(int)
		}
	}
	if told.Broadcast != "" {
		l.Broadcast = have.Broadcast
	}
	if told.AddrGen != "" && have.Details != nil {
		l.AddrGen = have.Details.AddrGen
	}
	for word := range told.Switches {
		if l.Switches == nil {
			l.Switches = Options{}
		}
		s := linkSwitches[word]
		l.Switches[word] = onOff(slices.Contains(have.Flags, s.flag) != s.inverted)
	}
	if told.Options != nil {
		l.Kind, l.Options = have.Kind, have.Options.before(have.Kind, told.Options)
	}
	if told.Port != nil {
		l.Port = have.Port.before("bridge_slave", told.Port)
	}
}

// dependent is how to bring back what other links lose when the link is deleted: a veth's other end, the ports of a bridge,
// and the links above.
func (r *Run) dependent(ctx context.Context, l Link) (ops []Op, err error) {
	list, err := r.List(ctx, Link{Details: new(Details)})
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		other := o.(Link)
		var back []Op
		switch {
		case other.Name == l.Name:
			continue
		case other.Name == l.Peer:
			back = other.making()[1:]
			back = append([]Op{{Set, Link{Name: other.Name, Address: other.Address, MTU: other.MTU}}}, back...)
		case other.Lower == l.Name && other.Kind != "veth" && other.Kind != "vxlan":
			back = other.making()
		case other.Master == l.Name:
			ops = append(ops, Op{Set, Link{Name: other.Name, Master: l.Name}})
			if other.Port != nil {
				ops = append(ops, Op{Set, Link{Name: other.Name, Port: other.Port}})
			}
			vlans, err := r.vlans(ctx, other)
			if err != nil {
				return nil, err
			}
			ops = append(ops, vlans...)
			continue
		default:
			continue
		}
		carried, err := r.carried(ctx, other)
		if err != nil {
			return nil, err
		}
		ops = slices.Concat(ops, back, carried)
	}
	return ops, nil
}

// making is how a link is made that List has found. The link-layer address of tunnels is their outer IP address.
func (l Link) making() []Op {
	anew := Link{
		Name: l.Name, Kind: l.Kind, MTU: l.MTU, TxQueue: l.TxQueue, TxQueues: l.TxQueues, RxQueues: l.RxQueues,
		Lower: l.Lower, Peer: l.Peer, VXLAN: l.VXLAN, Options: l.Options,
	}
	if l.Encap == "ether" || l.Encap == "" {
		anew.Address = l.Address
	}
	if d := l.Details; d != nil && len(d.Sizes) >= 2 {
		anew.TxQueues, anew.RxQueues = d.Sizes[0].Value, d.Sizes[1].Value
	}
	rest := Link{Name: l.Name, Alias: l.Alias, Master: l.Master, State: l.State, Group: l.Group}
	rest.Switches = l.unusual()
	ops := []Op{{Add, anew}}
	if rest.command(Set) != (Link{Name: l.Name}).command(Set) {
		ops = append(ops, Op{Set, rest})
	}
	if l.Port != nil && l.Master != "" {
		ops = append(ops, Op{Set, Link{Name: l.Name, Port: l.Port}})
	}
	return ops
}

// unusual are the switches that stand otherwise than a new link of the kind has them.
func (l Link) unusual() (switches Options) {
	for word, usual := range map[string]string{"allmulticast": "off", "promisc": "off", "dynamic": "off", "arp": "on", "multicast": "on"} {
		s := linkSwitches[word]
		state := onOff(slices.Contains(l.Flags, s.flag) != s.inverted)
		certain := usual == "off" || l.Encap == "ether" && !slices.Contains([]string{"dummy", "vrf", "ifb"}, l.Kind)
		if state != usual && certain && l.Flags != nil {
			switches = switches.with(Options{word: state})
		}
	}
	return switches
}
