package kernel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

var (
	loopback4 = netip.MustParsePrefix("127.0.0.1/8")
	loopback6 = netip.MustParsePrefix("::1/128")
)

// defaultMTU tells for each kind of link that the Fake can make what MTU it starts with, in bytes.
var defaultMTU = map[string]int{
	"vxlan": 1500, "veth": 1500, "bridge": 1500, "dummy": 1500, "vlan": 1500, "wireguard": 1420, "ifb": 1500,
	"macvlan": 1500, "macvtap": 1500, "ipvlan": 1500, "ipvtap": 1500, "vrf": 65575, "geneve": 1450,
	"ipip": 1480, "gre": 1476, "gretap": 1462, "ip6gre": 1448, "ip6gretap": 1434,
}

func (f *Fake) doLink(verb Verb, l Link) error {
	if verb == Add {
		return f.addLink(l)
	}
	have, err := f.link(l.Name)
	if err != nil {
		return err
	}
	switch verb {
	case Set, Change:
		return f.setLink(have, l)
	case Del:
		return f.delLink(have)
	}
	return fmt.Errorf("links cannot be changed by %s", verb)
}

func (f *Fake) addLink(l Link) error {
	_, known := defaultMTU[l.Kind]
	switch {
	case len(l.Name) >= syscall.IFNAMSIZ:
		return fmt.Errorf("%w: Attribute failed policy validation", syscall.ERANGE)
	case f.find(l) >= 0:
		return syscall.EEXIST
	case !known:
		return fmt.Errorf("%w: Unknown device type", syscall.EOPNOTSUPP)
	}
	for _, o := range f.objects {
		if other, ok := o.(Link); ok && l.VXLAN != nil && other.VXLAN != nil && l.VXLAN.collides(other.VXLAN) {
			return fmt.Errorf("%w: A VXLAN device with the specified VNI already exists", syscall.EEXIST)
		}
	}
	if err := f.valid(l); err != nil {
		return err
	}
	if l.Peer != "" {
		l.Lower = l.Peer
		f.newLink(Link{Name: l.Peer, Kind: "veth", Peer: l.Name, Lower: l.Name})
	}
	f.newLink(l)
	if l.Kind == "wireguard" {
		f.objects = append(f.objects, Device{Name: l.Name, ListenPort: new(int), Mark: new(int)})
	}
	return nil
}

// collides reports whether packets could be for either of two vxlan links.
func (v *VXLAN) collides(other *VXLAN) bool {
	six := func(v *VXLAN) bool { return v.Local.Is6() || v.Remote.Is6() }
	return v.ID == other.ID && cmp.Or(v.Port, 8472) == other.Port && six(v) == six(other)
}

// newLink adds a link with what the kernel gives it.
func (f *Fake) newLink(l Link) {
	f.made++
	l.Index = f.made
	if l.MTU == 0 {
		l.MTU = defaultMTU[l.Kind]
	}
	switch {
	case l.Kind == "wireguard":
		l.Encap = "none"
	case l.Encap == "":
		l.Encap = "ether"
		if l.Address == "" {
			l.Address = MAC(fmt.Sprintf("02:00:00:00:00:%02x", f.made))
		}
	}
	if l.State == Unsaid {
		l.State = Down
	}
	l.Options = l.Options.said(l.Kind)
	if l.TxQueue == 0 {
		l.TxQueue = 1000
	}
	if l.VXLAN != nil {
		v := *l.VXLAN
		if v.Port == 0 {
			v.Port = 8472
		}
		if v.Checksum == nil {
			v.Checksum = new(true)
		}
		l.VXLAN = &v
	}
	f.objects = append(f.objects, l)
}

// valid checks what a new link and a change of one have in common.
func (f *Fake) valid(l Link) error {
	if err := validMAC(l.Address); err != nil {
		return err
	}
	for _, name := range []string{l.Master, l.Lower} {
		if name == "" || name == l.Peer {
			continue
		}
		if _, err := f.link(name); err != nil {
			return err
		}
	}
	switch {
	case l.MTU != 0 && l.MTU < 68:
		return fmt.Errorf("%w: mtu less than device minimum", syscall.EINVAL)
	case l.MTU > 65535:
		return fmt.Errorf("%w: mtu greater than device maximum", syscall.EINVAL)
	}
	return nil
}

func (f *Fake) setLink(have, l Link) error {
	if err := f.valid(l); err != nil {
		return err
	}
	if l.VXLAN != nil && l.MTU != 0 {
		return fmt.Errorf("%w: Cannot change mtu", syscall.EOPNOTSUPP)
	}
	if l.Rename != "" && f.find(Link{Name: l.Rename}) >= 0 {
		return syscall.EEXIST
	}
	if l.State == Down && have.State == Up {
		f.drop(have.Name, func(o Object) bool {
			switch o := o.(type) {
			case Addr:
				return o.Prefix.Addr().Is6()
			case Route, Neigh:
				return true
			}
			return false
		})
	}
	if l.Address != "" && l.Address != have.Address {
		f.drop(have.Name, func(o Object) bool { return turn(o) == turn(Neigh{}) })
	}
	now := have.changed(l)
	if now.Master != have.Master {
		f.drop(have.Name, isPortVLAN)
	}
	f.objects[f.find(have)] = now
	if l.Rename != "" {
		for i, o := range f.objects {
			f.objects[i] = renamed(o, have.Name, l.Rename)
		}
	}
	return nil
}

// changed is the link with what the other says put in.
func (l Link) changed(to Link) Link {
	if to.MTU != 0 {
		l.MTU = to.MTU
	}
	if to.TxQueue != 0 {
		l.TxQueue = to.TxQueue
	}
	if to.Address != "" {
		l.Address = to.Address
	}
	if to.Alias != "" || to.NoAlias {
		l.Alias = to.Alias
	}
	if to.State != Unsaid {
		l.State = to.State
	}
	if to.Master != "" || to.NoMaster {
		l.Master, l.Port = to.Master, nil
	}
	if to.Group != nil {
		l.Group = to.Group
	}
	l.Broadcast = cmp.Or(to.Broadcast, l.Broadcast)
	l.Options = l.Options.with(to.Options).said(l.Kind)
	l.Port = l.Port.with(to.Port).said("bridge_slave")
	for word, state := range to.Switches {
		s := linkSwitches[word]
		l.Flags = slices.DeleteFunc(slices.Clone(l.Flags), func(flag string) bool { return flag == s.flag })
		if (state == "on") != s.inverted {
			l.Flags = append(l.Flags, s.flag)
		}
	}
	if to.VXLAN != nil && l.VXLAN != nil {
		v := *l.VXLAN
		v.Local, v.Remote, v.Learning = specified(to.VXLAN.Local), specified(to.VXLAN.Remote), to.VXLAN.Learning
		l.VXLAN, l.Lower = &v, cmp.Or(to.Lower, l.Lower)
	}
	return l
}

// specified is the address as the kernel tells it, which is not at all when it is 0.0.0.0 or ::.
func specified(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// delLink takes along what hangs on the link, and the other end of a veth. A bridge's ports stay without it.
func (f *Fake) delLink(l Link) error {
	if l.Name == "lo" {
		return syscall.EOPNOTSUPP
	}
	f.drop(l.Name, func(Object) bool { return true })
	var ports []string
	for i, o := range f.objects {
		if port, ok := o.(Link); ok && port.Master == l.Name {
			f.objects[i] = port.changed(Link{NoMaster: true})
			ports = append(ports, port.Name)
		}
	}
	for _, port := range ports {
		f.drop(port, isPortVLAN)
	}
	if l.Peer != "" {
		f.drop(l.Peer, func(Object) bool { return true })
	}
	return nil
}

// drop removes those of the objects hanging on the link that are meant.
func (f *Fake) drop(link string, meant func(Object) bool) {
	f.objects = slices.DeleteFunc(f.objects, func(o Object) bool { return hangsOn(o, link) && meant(o) })
}

func (f *Fake) doAddr(verb Verb, a Addr) error {
	if _, err := f.link(a.Dev); err != nil {
		return err
	}
	absent, taken := "ipv4: Address not found", "ipv4: Address already assigned"
	if a.Prefix.Addr().Is6() {
		absent, taken = "ipv6: address not found", "ipv6: address already assigned"
	}
	err := f.put(verb, a, fmt.Errorf("%w: %s", syscall.EADDRNOTAVAIL, absent))
	if err == syscall.EEXIST {
		return fmt.Errorf("%w: %s", syscall.EEXIST, taken)
	}
	if err == nil && verb == Del {
		f.loseAddr(a)
	}
	return err
}

// loseAddr removes what an address takes along: routes that have it as a source, and with a link's last IPv4 address all
// its IPv4 routes and neighbours.
func (f *Fake) loseAddr(a Addr) {
	last := a.Prefix.Addr().Is4() && !slices.ContainsFunc(f.objects, func(o Object) bool {
		other, ok := o.(Addr)
		return ok && other.Dev == a.Dev && other.Prefix.Addr().Is4()
	})
	f.objects = slices.DeleteFunc(f.objects, func(o Object) bool {
		switch o := o.(type) {
		case Route:
			return o.Src == a.Prefix.Addr() || last && o.Dst.Addr().Is4() && hangsOn(o, a.Dev)
		case Neigh:
			return last && o.IP.Is4() && o.Dev == a.Dev
		}
		return false
	})
}
