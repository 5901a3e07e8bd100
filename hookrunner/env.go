package hookrunner

import (
	"net/netip"
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

// A family is the names of one address family's variables.
type family struct{ network, subnet, publicIP string }

// contractEnviron is the variables of the hook contract. The subject is whose SUBNET and PUBLIC_IP they tell: the peer's, or
// this node's own. A variable without a value is not set.
func contractEnviron(h hooks.Hook, call hooks.Call, subject lease.Lease) []string {
	env := make([]string, 0, 20)
	set := func(name, value string, has bool) {
		if has {
			env = append(env, name+"="+value)
		}
	}
	paths := func(f family, prefix string, p lease.Path) {
		set(prefix+f.subnet, p.Subnet.String(), p.Subnet.IsValid())
		set(prefix+f.publicIP, p.PublicIP.String(), p.PublicIP.IsValid())
	}
	for _, network := range call.Node.Networks {
		f, of := familyOf(network)
		set(f.network, network.String(), true)
		paths(f, "", of(subject))
		paths(f, "NODE_", of(call.Node.Lease))
	}
	set("IFACE", call.Node.Interface, call.Node.Interface != "")
	set("IFACE_MTU", strconv.Itoa(call.Node.MTU), call.Node.MTU > 0)
	set("EVENT", string(h), true)
	set("REASON", string(call.Reason), call.Reason != "")
	return env
}

// familyOf returns the names for a network's address family, and that family's half of a lease.
func familyOf(network netip.Prefix) (family, func(lease.Lease) lease.Path) {
	if network.Addr().Is4() {
		return family{"NETWORK", "SUBNET", "PUBLIC_IP"}, func(l lease.Lease) lease.Path { return l.V4 }
	}
	return family{"IPV6NETWORK", "IPV6SUBNET", "PUBLIC_IPV6"}, func(l lease.Lease) lease.Path { return l.V6 }
}
