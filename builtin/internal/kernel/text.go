package kernel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Key is "link NAME".
func (l Link) Key() string { return "link " + l.Name }

// Key is "address DEV PREFIX"; IPv6 addresses are alone on their link whatever their prefix length.
func (a Addr) Key() string {
	if a.Prefix.Addr().Is6() {
		return "address " + a.Dev + " " + a.Prefix.Addr().String()
	}
	return "address " + a.Dev + " " + a.local()
}

// Key is "route TABLE PREFIX METRIC": two routes that differ only in their hops take one place.
func (r Route) Key() string {
	metric := r.Metric
	if metric == 0 && r.Dst.Addr().Is6() {
		metric = defaultMetric6
	}
	b := append(make([]byte, 0, 64), "route "...)
	b = append(strconv.AppendInt(b, int64(r.table()), 10), ' ')
	b = append(r.Dst.Masked().AppendTo(b), ' ')
	key := string(strconv.AppendInt(b, int64(metric), 10))
	if r.TOS != 0 {
		key += fmt.Sprintf(" tos %#x", r.TOS)
	}
	if r.From.IsValid() {
		key += " from " + r.From.Masked().String()
	}
	return key
}

// Key is "neighbour DEV IP".
func (n Neigh) Key() string {
	b := append(make([]byte, 0, 64), "neighbour "...)
	if n.Proxy {
		b = append(b, "proxy "...)
	}
	b = append(append(b, n.Dev...), ' ')
	if !n.IP.IsValid() {
		return string(append(b, n.IP.String()...))
	}
	return string(n.IP.AppendTo(b))
}

// Key is "fdb DEV MAC TABLE VLAN VNI".
func (f FDB) Key() string {
	b := append(append(make([]byte, 0, 64), "fdb "...), f.Dev...)
	b = append(append(append(b, ' '), f.Address...), ' ')
	b = append(append(b, f.where()...), ' ')
	b = append(strconv.AppendInt(b, int64(f.VLAN), 10), ' ')
	return string(strconv.AppendInt(b, int64(f.VNI), 10))
}

// everybody is the broadcast address of Ethernet, which links begin with.
const everybody MAC = "ff:ff:ff:ff:ff:ff"

func (l Link) command(verb Verb) string {
	w := command("ip", "link", verb.String())
	switch verb {
	case Del:
		w.name("dev", l.Name)
		return w.String()
	case Add:
		w.when(l.Kind != "vxlan" && l.Kind != "veth" && l.Lower != "", "link", l.Lower)
		w.name("name", l.Name)
	default:
		w.add("dev", l.Name)
	}
	w.text("name", l.Rename)
	w.number("mtu", l.MTU)
	w.text("address", string(l.Address))
	w.when(l.Broadcast != "" && l.Broadcast != everybody, "broadcast", string(l.Broadcast))
	w.number("txqueuelen", l.TxQueue)
	w.number("numtxqueues", l.TxQueues)
	w.number("numrxqueues", l.RxQueues)
	w.when(l.Alias != "" || l.NoAlias, "alias", quoted(l.Alias))
	w.text("master", l.Master)
	w.when(l.NoMaster, "nomaster")
	if l.Group != nil {
		w.add("group", strconv.Itoa(*l.Group))
	}
	w.text("addrgenmode", l.AddrGen)
	for _, word := range slices.Sorted(maps.Keys(l.Switches)) {
		w.add(word, l.Switches[word])
	}
	w.when(l.State == Up, "up")
	w.when(l.State == Down, "down")
	switch {
	case l.Port != nil && verb != Add:
		w.add("type", "bridge_slave")
		l.Port.command(w, "bridge_slave")
	case l.Kind != "" && (verb == Add || l.Options != nil && l.VXLAN == nil):
		w.add("type", l.Kind)
		l.kindWords(w)
	case l.VXLAN != nil:
		w.add("type", "vxlan")
		l.VXLAN.changeable().command(w, l.Lower)
		l.Options.command(w, "vxlan")
		w.when(l.VXLAN.Learning, "learning")
	}
	return w.String()
}

// changeable is that of a vxlan link which the kernel lets be changed once the link is made.
func (v *VXLAN) changeable() *VXLAN {
	return &VXLAN{ID: v.ID, Local: v.Local, Remote: v.Remote, Learning: v.Learning}
}

func (l Link) kindWords(w *words) {
	w.when(l.Kind == "veth" && l.Peer != "", "peer", "name", l.Peer)
	if l.VXLAN != nil {
		l.VXLAN.command(w, l.Lower)
	}
	l.Options.command(w, l.Kind)
}

func (v *VXLAN) command(w *words, lower string) {
	w.when(!v.External, "id", strconv.Itoa(v.ID))
	if v.Remote.IsMulticast() {
		w.ip("group", v.Remote)
	} else {
		w.ip("remote", v.Remote)
	}
	w.ip("local", v.Local)
	w.text("dev", lower)
	w.number("dstport", v.Port)
	w.when(v.TTL > 0, "ttl", strconv.Itoa(v.TTL))
	w.when(v.TTL < 0, "ttl", "inherit")
	w.when(v.TOS > 1, "tos", fmt.Sprintf("%#x", v.TOS))
	w.when(v.TOS == 1, "tos", "inherit")
	w.when(v.Ageing > 0, "ageing", strconv.Itoa(v.Ageing))
	w.when(v.Ageing < 0, "ageing", "none")
	w.number("maxaddress", v.Limit)
	w.when(v.PortHigh != 0, "srcport", strconv.Itoa(v.PortLow), strconv.Itoa(v.PortHigh))
	for _, s := range v.switches() {
		w.when(*s.on, s.word)
	}
	w.when(!v.Learning && !v.External, "nolearning")
	w.when(v.Learning && v.External, "learning")
	w.when(v.GBP, "gbp")
	if v.Checksum != nil {
		w.add(map[bool]string{true: "udpcsum", false: "noudpcsum"}[*v.Checksum])
	}
}

// A vxlanSwitch is an option of a vxlan link that is on or off.
type vxlanSwitch struct {
	word string
	on   *bool
}

// switches are those that are off unless said.
func (v *VXLAN) switches() []vxlanSwitch {
	return []vxlanSwitch{
		{"external", &v.External}, {"vnifilter", &v.Filter},
		{"proxy", &v.Proxy}, {"rsc", &v.RSC}, {"l2miss", &v.L2Miss}, {"l3miss", &v.L3Miss},
		{"remcsumtx", &v.RemSumTx}, {"remcsumrx", &v.RemSumRx},
		{"udp6zerocsumtx", &v.ZeroTx6}, {"udp6zerocsumrx", &v.ZeroRx6},
	}
}

// Switch turns one of the options on or off that ip spells by a word alone, such as "proxy", and reports whether there is
// one of that name.
func (v *VXLAN) Switch(word string, on bool) bool {
	for _, s := range v.switches() {
		if s.word == word {
			*s.on = on
			return true
		}
	}
	return false
}

func (a Addr) command(verb Verb) string {
	w := command("ip", "address", verb.String(), a.local(), "dev", a.Dev)
	w.ip("broadcast", a.Broadcast)
	w.ip("anycast", a.Anycast)
	w.text("scope", a.Scope)
	w.text("label", a.Label)
	w.number("metric", a.Metric)
	for _, s := range a.switches() {
		w.when(*s.on, s.word)
	}
	if a.Life != nil {
		w.add("valid_lft", lifetime(a.Life.Valid), "preferred_lft", lifetime(a.Life.Preferred))
	}
	return w.String()
}

// An addrSwitch is a property of an address that it has or not.
type addrSwitch struct {
	word string
	on   *bool
	bit  int
}

func (a *Addr) switches() []addrSwitch {
	return []addrSwitch{
		{"noprefixroute", &a.NoPrefix, unix.IFA_F_NOPREFIXROUTE}, {"nodad", &a.NoDAD, unix.IFA_F_NODAD},
		{"home", &a.Home, unix.IFA_F_HOMEADDRESS}, {"mngtmpaddr", &a.Templates, unix.IFA_F_MANAGETEMPADDR},
		{"autojoin", &a.AutoJoin, unix.IFA_F_MCAUTOJOIN}, {"optimistic", &a.Eager, unix.IFA_F_OPTIMISTIC},
	}
}

// Switch gives the address one of the properties that ip spells by a word alone, such as "nodad", and reports whether there
// is one of that name.
func (a *Addr) Switch(word string) bool {
	for _, s := range a.switches() {
		if s.word == word {
			*s.on = true
			return true
		}
	}
	return false
}

func lifetime(seconds uint32) string {
	if seconds == Forever {
		return "forever"
	}
	return strconv.FormatUint(uint64(seconds), 10)
}

func (a Addr) local() string {
	if a.Peer.IsValid() {
		return a.Prefix.Addr().String() + " peer " + a.Peer.String()
	}
	return a.Prefix.String()
}

func (r Route) command(verb Verb) string {
	w := command("ip", "route", verb.String())
	w.when(r.Type != "" && r.Type != "unicast", r.Type)
	// Without an address of its family ip takes "default" for IPv4.
	if r.Dst.Bits() == 0 && r.Dst.Addr().Is4() {
		w.add("default")
	} else {
		w.add(r.Dst.String())
	}
	w.when(r.From.IsValid(), "from", r.From.String())
	w.when(r.TOS != 0, "tos", fmt.Sprintf("%#x", r.TOS))
	if len(r.Hops) == 1 {
		r.Hops[0].words(w, r.Dst.Addr())
	}
	w.number("nhid", r.NextHop)
	w.ip("src", r.Src)
	w.number("metric", r.Metric)
	w.number("table", r.Table)
	w.number("proto", r.Protocol)
	w.text("scope", r.Scope)
	for _, m := range RouteMetrics(r) {
		w.add(m.Word)
		w.when(m.Locked, "lock")
		w.add(m.Value)
	}
	w.when(r.Realms > 0xffff, "realms", fmt.Sprintf("%d/%d", r.Realms>>16, r.Realms&0xffff))
	w.when(r.Realms != 0 && r.Realms <= 0xffff, "realms", strconv.Itoa(r.Realms))
	w.number("expires", r.Expires)
	w.when(r.Pref != "" && r.Pref != "medium", "pref", r.Pref)
	if len(r.Hops) > 1 {
		for _, h := range r.Hops {
			w.add("nexthop")
			h.words(w, r.Dst.Addr())
			w.number("weight", h.Weight)
		}
	}
	return w.String()
}

func (h Hop) words(w *words, dst netip.Addr) {
	if h.Via.Is6() && dst.Is4() {
		w.ip("via inet6", h.Via)
	} else {
		w.ip("via", h.Via)
	}
	w.text("dev", h.Dev)
	w.when(h.Onlink, "onlink")
}

func (n Neigh) command(verb Verb) string {
	w := command("ip", "neighbour", verb.String())
	w.when(n.Proxy, "proxy")
	w.add(n.IP.String())
	if verb == Del || n.Proxy {
		w.add("dev", n.Dev)
		return w.String()
	}
	w.text("lladdr", string(n.Address))
	w.add("dev", n.Dev, "nud", stateOr(n.State))
	w.when(n.Router, "router")
	w.when(n.Learned, "extern_learn")
	w.when(n.Managed, "managed")
	w.when(n.Use, "use")
	w.number("protocol", n.Protocol)
	return w.String()
}

func (f FDB) command(verb Verb) string {
	w := command("bridge", "fdb", verb.String(), string(f.Address), "dev", f.Dev)
	w.ip("dst", f.Dst)
	w.number("vlan", f.VLAN)
	w.number("port", f.Port)
	w.number("vni", f.VNI)
	w.number("src_vni", f.SourceVNI)
	w.number("nhid", f.NextHop)
	w.text("via", f.Via)
	w.add(f.where())
	w.when(verb != Del, stateOr(f.State))
	return w.String()
}

// where names the table that the entry is in.
func (f FDB) where() string {
	if f.Master {
		return "master"
	}
	return "self"
}

// stateOr is the state of an entry that says none: what people add by hand stays.
func stateOr(state string) string {
	if state == "" {
		return "permanent"
	}
	return state
}

// Numbers that the kernel puts in for what is not said.
const (
	mainTable      = 254
	defaultMetric6 = 1024
)

func (r Route) table() int {
	if r.Table == 0 {
		return mainTable
	}
	return r.Table
}
