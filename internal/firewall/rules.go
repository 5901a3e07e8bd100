package firewall

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

// Rules are what the node's firewall shall do. The zero value is nothing, for which there is no table.
type Rules struct {
	Paths      []Path // one a family
	Masquerade bool   // what leaves the overlay carries the node's address
	Forward    bool   // what is forwarded from and to the overlay is accepted

	// What follows is about masquerading.
	Keep      []netip.Prefix // destinations outside the overlay that containers reach with their own addresses
	KeepPorts bool           // source ports stay as they are where they can, rather than become random
}

// A Path is one address family of the overlay.
type Path struct {
	Network netip.Prefix // the whole of it
	Subnet  netip.Prefix // the node's part
}

// kubeMark is the bit by which kube-proxy asks for masquerading, which it does itself.
const kubeMark = 0x4000

// The multicast addresses of the two families: no container is asked for its address there.
var (
	multicast4 = netip.MustParsePrefix("224.0.0.0/4")
	multicast6 = netip.MustParsePrefix("ff00::/8")
)

// chains are the table's content, nil for no table.
func (r Rules) chains() []chain {
	var chains []chain
	if r.Masquerade && len(r.Paths) > 0 {
		chains = append(chains, chain{
			name: "postrouting", kind: nftables.ChainTypeNAT, rules: r.masquerading(),
			hook: nftables.ChainHookPostrouting, priority: nftables.ChainPriorityNATSource,
		})
	}
	if r.Forward && len(r.Paths) > 0 {
		chains = append(chains, chain{
			name: "forward", kind: nftables.ChainTypeFilter, rules: r.forwarding(),
			hook: nftables.ChainHookForward, priority: nftables.ChainPriorityFilter,
		})
	}
	return chains
}

// masquerading has the rules of flannel's chain FLANNEL-POSTRTG in their order: the first that matches counts.
func (r Rules) masquerading() (rules []rule) {
	masquerade := verdict{masquerade: true, keepPorts: r.KeepPorts}
	rules = append(rules, rule{mark: kubeMark, do: leave, why: "kube-proxy does it"})
	for _, p := range r.Paths {
		multicast := multicast4
		if p.Network.Addr().Is6() {
			multicast = multicast6
		}
		rules = append(rules,
			rule{source: in(p.Subnet), destination: in(p.Network), do: leave, why: "containers here to all others"},
			rule{source: in(p.Network), destination: in(p.Subnet), do: leave, why: "all others to containers here"},
			rule{source: notIn(p.Network), destination: in(p.Subnet), do: leave, why: "the world to containers here"},
		)
		for _, k := range r.kept(p) {
			rules = append(rules, rule{source: in(p.Network), destination: in(k), do: leave, why: "asked to keep addresses"})
		}
		rules = append(rules,
			rule{source: in(p.Network), destination: notIn(multicast), do: masquerade, why: "containers to the world"},
			rule{source: notIn(p.Network), destination: in(p.Network), do: masquerade, why: "the world to containers elsewhere"},
		)
	}
	return rules
}

// kept are the destinations of the path's family that see the containers' own addresses.
func (r Rules) kept(p Path) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(r.Keep), func(k netip.Prefix) bool { return k.Addr().BitLen() != p.Network.Addr().BitLen() })
}

func (r Rules) forwarding() (rules []rule) {
	for _, p := range r.Paths {
		rules = append(rules,
			rule{source: in(p.Network), do: accept, why: "from the overlay"},
			rule{destination: in(p.Network), do: accept, why: "to the overlay"},
		)
	}
	return rules
}
