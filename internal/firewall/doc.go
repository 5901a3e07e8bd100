// Package firewall lets a node's containers reach the world and each other: masquerading, accepted forwarding, and the
// kernel's switch for it.
//
// Rules say what is wanted; a Table makes it so, in one nftables table of overlayd's own, written and read through netlink.
// The table is replaced as a whole in one transaction, so no packet ever meets half of it, and only when it is not as
// wanted. Keep looks again whenever the kernel's ruleset has changed, by whomever, and mends what is missing, added or out
// of order. Tables of others are never written to.
//
// What an earlier flannel left in the ruleset is recognised by Leftovers and, where iptables-legacy wrote it, by LegacyLeftovers, and
// removed only on request.
//
// The rules mean what flannel's iptables rules mean, all seven of them. Two differences from flannel's own nftables rules
// are on purpose: the mark of kube-proxy is compared under a mask, and the rule for traffic from outside into the overlay
// can be reached.
//
// It needs CAP_NET_ADMIN, and a kernel with nftables and NAT for family inet: Linux 5.2, or a distribution's kernel that
// has it from there.
package firewall
