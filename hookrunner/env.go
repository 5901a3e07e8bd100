package hookrunner

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// DefaultEnviron is what each hook's environment holds besides the variables of the hook contract: PATH, HOME, TMPDIR and
// LANG, nothing of this process's own. HOME is the directory that hooks run in.
func DefaultEnviron(dir string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + dir, "TMPDIR=/tmp", "LANG=C",
	}
}

// A family is the names of one address family's variables, and that family's half of a lease.
type family struct {
	network, subnet, publicIP string
	of                        func(lease.Lease) lease.Path
}

var (
	ipv4 = family{"NETWORK", "SUBNET", "PUBLIC_IP", func(l lease.Lease) lease.Path { return l.V4 }}
	ipv6 = family{"IPV6NETWORK", "IPV6SUBNET", "PUBLIC_IPV6", func(l lease.Lease) lease.Path { return l.V6 }}
)

// contractEnviron is the variables of the hook contract. The subject is whose SUBNET and PUBLIC_IP they tell: the peer's, or
// this node's own. A variable without a value is not set.
func contractEnviron(h hooks.Hook, call hooks.Call, subject lease.Lease) []string {
	env := make([]string, 0, 20)
	set := func(name, value string, has bool) {
		if has {
			env = append(env, name+"="+value)
		}
	}
	paths := func(f family, prefix string, l lease.Lease, used bool) {
		p := f.of(l)
		set(prefix+f.subnet, p.Subnet.String(), used && p.Subnet.IsValid())
		// An address without a subnet of its family is where the other family's is reached.
		set(prefix+f.publicIP, p.PublicIP.String(), p.PublicIP.IsValid() && (used || !p.Subnet.IsValid()))
	}
	for _, f := range []family{ipv4, ipv6} {
		network, used := f.among(call.Node.Networks)
		set(f.network, network.String(), used)
		paths(f, "", subject, used)
		paths(f, "NODE_", call.Node.Lease, used)
	}
	set("IFACE", call.Node.Interface, call.Node.Interface != "")
	set("IFACE_MTU", strconv.Itoa(call.Node.MTU), call.Node.MTU > 0)
	set("EVENT", string(h), true)
	set("REASON", string(call.Reason), call.Reason != "")
	return env
}

// among is the network of the family, if there is one.
func (f family) among(networks []netip.Prefix) (network netip.Prefix, used bool) {
	i := slices.IndexFunc(networks, func(n netip.Prefix) bool { return n.Addr().Is4() == (f.network == ipv4.network) })
	if i < 0 {
		return network, false
	}
	return networks[i], true
}
