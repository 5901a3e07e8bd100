package kernel

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kinds are the options of each kind of links, in the order in which ip shows them. What the table lacks of a kind, links
// of it cannot be told.
var kinds = map[string][]option{
	"bridge":       bridgeOptions,
	"bridge_slave": portOptions,
	"vlan":         vlanOptions,
	"vxlan":        vxlanOptions,
	"macvlan":      macvlanOptions,
	"macvtap":      macvlanOptions,
	"ipvlan":       ipvlanOptions,
	"ipvtap":       ipvlanOptions,
	"vrf":          {{word: "table", attr: nl.IFLA_VRF_TABLE, code: u32}},
	"vrf_slave":    {{word: "table", attr: 1, code: u32, told: true}},
	"geneve":       geneveOptions,
	"ipip":         ipipOptions,
	"gre":          greOptions,
	"gretap":       greOptions,
	"ip6gre":       gre6Options,
	"ip6gretap":    gre6Options,
}

// Options that several kinds have have their own rows in each: their numbers differ.
var (
	bridgeOptions = []option{
		{word: "forward_delay", attr: nl.IFLA_BR_FORWARD_DELAY, code: u32, first: "1500"},
		{word: "hello_time", attr: nl.IFLA_BR_HELLO_TIME, code: u32, first: "200"},
		{word: "max_age", attr: nl.IFLA_BR_MAX_AGE, code: u32, first: "2000"},
		{word: "ageing_time", attr: nl.IFLA_BR_AGEING_TIME, code: u32, first: "30000"},
		{word: "stp_state", attr: nl.IFLA_BR_STP_STATE, code: u32, first: "0"},
		{word: "priority", attr: nl.IFLA_BR_PRIORITY, code: u16, first: "32768"},
		{word: "vlan_filtering", attr: nl.IFLA_BR_VLAN_FILTERING, code: u8, first: "0"},
		{word: "vlan_protocol", attr: nl.IFLA_BR_VLAN_PROTOCOL, code: vlanProtocol, first: "802.1Q"},
		{word: "bridge_id", attr: nl.IFLA_BR_BRIDGE_ID, code: bridgeID, told: true},
		{word: "root_id", attr: nl.IFLA_BR_ROOT_ID, code: bridgeID, told: true},
		{word: "root_port", attr: nl.IFLA_BR_ROOT_PORT, code: u16, told: true},
		{word: "root_path_cost", attr: nl.IFLA_BR_ROOT_PATH_COST, code: u32, told: true},
		{word: "topology_change", attr: nl.IFLA_BR_TOPOLOGY_CHANGE, code: u8, told: true},
		{word: "topology_change_detected", attr: nl.IFLA_BR_TOPOLOGY_CHANGE_DETECTED, code: u8, told: true},
		{word: "hello_timer", attr: nl.IFLA_BR_HELLO_TIMER, code: u64, told: true},
		{word: "tcn_timer", attr: nl.IFLA_BR_TCN_TIMER, code: u64, told: true},
		{word: "topology_change_timer", attr: nl.IFLA_BR_TOPOLOGY_CHANGE_TIMER, code: u64, told: true},
		{word: "gc_timer", attr: nl.IFLA_BR_GC_TIMER, code: u64, told: true},
		{word: "vlan_default_pvid", attr: nl.IFLA_BR_VLAN_DEFAULT_PVID, code: u16, first: "1"},
		{word: "vlan_stats_enabled", attr: nl.IFLA_BR_VLAN_STATS_ENABLED, code: u8, first: "0"},
		{word: "vlan_stats_per_port", attr: unix.IFLA_BR_VLAN_STATS_PER_PORT, code: u8, first: "0"},
		{word: "group_fwd_mask", attr: nl.IFLA_BR_GROUP_FWD_MASK, code: u16, first: "0"},
		{word: "group_address", attr: nl.IFLA_BR_GROUP_ADDR, code: lladdr, first: "01:80:c2:00:00:00"},
		{word: "mcast_snooping", attr: nl.IFLA_BR_MCAST_SNOOPING, code: u8, first: "1"},
		{word: "no_linklocal_learn", attr: unix.IFLA_BR_MULTI_BOOLOPT, bit: 1, spell: byDigit, first: "off"},
		{word: "mcast_vlan_snooping", attr: unix.IFLA_BR_MULTI_BOOLOPT, bit: 2, spell: byDigit, first: "off"},
		{word: "mcast_router", attr: nl.IFLA_BR_MCAST_ROUTER, code: u8, first: "1"},
		{word: "mcast_query_use_ifaddr", attr: nl.IFLA_BR_MCAST_QUERY_USE_IFADDR, code: u8, first: "0"},
		{word: "mcast_querier", attr: nl.IFLA_BR_MCAST_QUERIER, code: u8, first: "0"},
		{word: "mcast_hash_elasticity", attr: nl.IFLA_BR_MCAST_HASH_ELASTICITY, code: u32, first: "16"},
		{word: "mcast_hash_max", attr: nl.IFLA_BR_MCAST_HASH_MAX, code: u32, first: "4096"},
		{word: "mcast_last_member_count", attr: nl.IFLA_BR_MCAST_LAST_MEMBER_CNT, code: u32, first: "2"},
		{word: "mcast_startup_query_count", attr: nl.IFLA_BR_MCAST_STARTUP_QUERY_CNT, code: u32, first: "2"},
		{word: "mcast_last_member_interval", attr: nl.IFLA_BR_MCAST_LAST_MEMBER_INTVL, code: u64, first: "100"},
		{word: "mcast_membership_interval", attr: nl.IFLA_BR_MCAST_MEMBERSHIP_INTVL, code: u64, first: "26000"},
		{word: "mcast_querier_interval", attr: nl.IFLA_BR_MCAST_QUERIER_INTVL, code: u64, first: "25500"},
		{word: "mcast_query_interval", attr: nl.IFLA_BR_MCAST_QUERY_INTVL, code: u64, first: "12500"},
		{word: "mcast_query_response_interval", attr: nl.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, code: u64, first: "1000"},
		{word: "mcast_startup_query_interval", attr: nl.IFLA_BR_MCAST_STARTUP_QUERY_INTVL, code: u64, first: "3124"},
		{word: "mcast_stats_enabled", attr: nl.IFLA_BR_MCAST_STATS_ENABLED, code: u8, first: "0"},
		{word: "mcast_igmp_version", attr: nl.IFLA_BR_MCAST_IGMP_VERSION, code: u8, first: "2"},
		{word: "mcast_mld_version", attr: nl.IFLA_BR_MCAST_MLD_VERSION, code: u8, first: "1"},
		{word: "nf_call_iptables", attr: nl.IFLA_BR_NF_CALL_IPTABLES, code: u8, first: "0"},
		{word: "nf_call_ip6tables", attr: nl.IFLA_BR_NF_CALL_IP6TABLES, code: u8, first: "0"},
		{word: "nf_call_arptables", attr: nl.IFLA_BR_NF_CALL_ARPTABLES, code: u8, first: "0"},
	}
	portOptions = []option{
		{word: "state", attr: nl.IFLA_BRPORT_STATE, code: u8, told: true}, // STP's own, where it runs
		{word: "priority", attr: nl.IFLA_BRPORT_PRIORITY, code: u16, first: "32"},
		{word: "cost", attr: nl.IFLA_BRPORT_COST, code: u32, first: "2"},
		{word: "hairpin", attr: nl.IFLA_BRPORT_MODE, code: onoff, first: "off"},
		{word: "guard", attr: nl.IFLA_BRPORT_GUARD, code: onoff, first: "off"},
		{word: "root_block", attr: nl.IFLA_BRPORT_PROTECT, code: onoff, first: "off"},
		{word: "fastleave", attr: nl.IFLA_BRPORT_FAST_LEAVE, code: onoff, first: "off"},
		{word: "learning", attr: nl.IFLA_BRPORT_LEARNING, code: onoff, first: "on"},
		{word: "flood", attr: nl.IFLA_BRPORT_UNICAST_FLOOD, code: onoff, first: "on"},
		{word: "id", attr: nl.IFLA_BRPORT_ID, code: u16, told: true},
		{word: "no", attr: nl.IFLA_BRPORT_NO, code: u16, told: true},
		{word: "designated_port", attr: nl.IFLA_BRPORT_DESIGNATED_PORT, code: u16, told: true},
		{word: "designated_cost", attr: nl.IFLA_BRPORT_DESIGNATED_COST, code: u16, told: true},
		{word: "bridge_id", attr: nl.IFLA_BRPORT_BRIDGE_ID, code: bridgeID, told: true},
		{word: "root_id", attr: nl.IFLA_BRPORT_ROOT_ID, code: bridgeID, told: true},
		{word: "hold_timer", attr: nl.IFLA_BRPORT_HOLD_TIMER, code: u64, told: true},
		{word: "message_age_timer", attr: nl.IFLA_BRPORT_MESSAGE_AGE_TIMER, code: u64, told: true},
		{word: "forward_delay_timer", attr: nl.IFLA_BRPORT_FORWARD_DELAY_TIMER, code: u64, told: true},
		{word: "topology_change_ack", attr: nl.IFLA_BRPORT_TOPOLOGY_CHANGE_ACK, code: u8, told: true},
		{word: "config_pending", attr: nl.IFLA_BRPORT_CONFIG_PENDING, code: u8, told: true},
		{word: "proxy_arp", attr: nl.IFLA_BRPORT_PROXYARP, code: onoff, first: "off"},
		{word: "proxy_arp_wifi", attr: nl.IFLA_BRPORT_PROXYARP_WIFI, code: onoff, first: "off"},
		{word: "mcast_router", attr: nl.IFLA_BRPORT_MULTICAST_ROUTER, code: u8, first: "1"},
		{word: "mcast_flood", attr: nl.IFLA_BRPORT_MCAST_FLOOD, code: onoff, first: "on"},
		{word: "bcast_flood", attr: nl.IFLA_BRPORT_BCAST_FLOOD, code: onoff, first: "on"},
		{word: "mcast_to_unicast", attr: nl.IFLA_BRPORT_MCAST_TO_UCAST, code: onoff, first: "off"},
		{word: "neigh_suppress", attr: nl.IFLA_BRPORT_NEIGH_SUPPRESS, code: onoff, first: "off"},
		{word: "group_fwd_mask", attr: nl.IFLA_BRPORT_GROUP_FWD_MASK, code: u16, first: "0"},
		{word: "vlan_tunnel", attr: nl.IFLA_BRPORT_VLAN_TUNNEL, code: onoff, first: "off"},
		{word: "isolated", attr: nl.IFLA_BRPORT_ISOLATED, code: onoff, first: "off"},
		{word: "locked", attr: nl.IFLA_BRPORT_LOCKED, code: onoff, first: "off"},
		{word: "backup_port", attr: nl.IFLA_BRPORT_BACKUP_PORT, code: linkNamed, told: true},
	}
	vlanOptions = []option{
		{word: "protocol", attr: nl.IFLA_VLAN_PROTOCOL, code: vlanProtocol, first: "802.1Q"},
		{word: "id", attr: nl.IFLA_VLAN_ID, code: u16},
		{word: "reorder_hdr", attr: nl.IFLA_VLAN_FLAGS, bit: nl.VLAN_FLAG_REORDER_HDR, first: "on"},
		{word: "gvrp", attr: nl.IFLA_VLAN_FLAGS, bit: nl.VLAN_FLAG_GVRP, first: "off"},
		{word: "mvrp", attr: nl.IFLA_VLAN_FLAGS, bit: nl.VLAN_FLAG_MVRP, first: "off"},
		{word: "loose_binding", attr: nl.IFLA_VLAN_FLAGS, bit: nl.VLAN_FLAG_LOOSE_BINDING, first: "off"},
		{word: "bridge_binding", attr: nl.IFLA_VLAN_FLAGS, bit: nl.VLAN_FLAG_BRIDGE_BINDING, first: "off"},
	}
	// vxlanOptions are those that VXLAN does not have.
	vxlanOptions = []option{
		{word: "df", attr: 29, code: worded(spelling{0: "unset", 1: "set", 2: "inherit"}, u8), first: "unset"},
		{word: "flowlabel", attr: 26, code: be32, first: "0"},
		{word: "gpe", attr: 27, code: flagged, spell: byWord},
	}
	macvlanOptions = []option{
		{word: "mode", attr: nl.IFLA_MACVLAN_MODE, first: "vepa", code: worded(spelling{
			nl.MACVLAN_MODE_PRIVATE: "private", nl.MACVLAN_MODE_VEPA: "vepa", nl.MACVLAN_MODE_BRIDGE: "bridge",
			nl.MACVLAN_MODE_PASSTHRU: "passthru", nl.MACVLAN_MODE_SOURCE: "source",
		}, u32)},
		{word: "nopromisc", attr: nl.IFLA_MACVLAN_FLAGS, code: u16, bit: 1, spell: byWord, first: "off"},
		{word: "nodst", attr: nl.IFLA_MACVLAN_FLAGS, code: u16, bit: 2, spell: byWord, first: "off"},
		{word: "bcqueuelen", attr: nl.IFLA_MACVLAN_BC_QUEUE_LEN, code: u32, first: "1000"},
		{word: "usedbcqueuelen", attr: nl.IFLA_MACVLAN_BC_QUEUE_LEN_USED, code: u32, told: true},
		{word: "macaddr_count", attr: nl.IFLA_MACVLAN_MACADDR_COUNT, code: u32, told: true},
	}
	ipvlanOptions = []option{
		{word: "mode", attr: nl.IFLA_IPVLAN_MODE, first: "l3", code: worded(spelling{0: "l2", 1: "l3", 2: "l3s"}, u16)},
		{word: "flags", attr: nl.IFLA_IPVLAN_FLAG, spell: byValue, first: "bridge", code: worded(spelling{0: "bridge", 1: "private", 2: "vepa"}, u16)},
	}
	geneveOptions = []option{
		{word: "external", attr: nl.IFLA_GENEVE_COLLECT_METADATA, code: flagged, spell: byWord},
		{word: "id", attr: nl.IFLA_GENEVE_ID, code: u32},
		{word: "remote", attr: nl.IFLA_GENEVE_REMOTE, six: nl.IFLA_GENEVE_REMOTE6, code: ipAddress},
		{word: "ttl", attr: nl.IFLA_GENEVE_TTL, inherit: nl.IFLA_GENEVE_TTL_INHERIT, code: u8, first: "0"},
		{word: "tos", attr: nl.IFLA_GENEVE_TOS, code: tos, first: "0x0"},
		{word: "df", attr: nl.IFLA_GENEVE_DF, code: worded(spelling{0: "unset", 1: "set", 2: "inherit"}, u8), first: "unset"},
		{word: "flowlabel", attr: nl.IFLA_GENEVE_LABEL, code: be32, first: "0"},
		{word: "dstport", attr: nl.IFLA_GENEVE_PORT, code: be16, first: "6081"},
		{word: "udpcsum", attr: nl.IFLA_GENEVE_UDP_CSUM, code: onoff, spell: bySwitch, first: "on"},
		{word: "udp6zerocsumtx", attr: nl.IFLA_GENEVE_UDP_ZERO_CSUM6_TX, code: onoff, spell: bySwitch, first: "off"},
		{word: "udp6zerocsumrx", attr: nl.IFLA_GENEVE_UDP_ZERO_CSUM6_RX, code: onoff, spell: bySwitch, first: "off"},
		{word: "innerprotoinherit", attr: nl.IFLA_GENEVE_INNER_PROTO_INHERIT, code: flagged, spell: byWord},
	}
	ipipOptions = []option{
		{word: "external", attr: nl.IFLA_IPTUN_COLLECT_METADATA, code: flagged, spell: byWord},
		{word: "mode", attr: nl.IFLA_IPTUN_PROTO, code: worded(spelling{unix.IPPROTO_IPIP: "ipip", unix.IPPROTO_MPLS: "mplsip", 0: "any"}, u8), first: "ipip"},
		{word: "remote", attr: nl.IFLA_IPTUN_REMOTE, code: ipAddress, first: "0.0.0.0"},
		{word: "local", attr: nl.IFLA_IPTUN_LOCAL, code: ipAddress, first: "0.0.0.0"},
		{word: "dev", attr: nl.IFLA_IPTUN_LINK, code: linkNamed},
		{word: "ttl", attr: nl.IFLA_IPTUN_TTL, code: u8, first: "0"},
		{word: "tos", attr: nl.IFLA_IPTUN_TOS, code: tos, first: "0x0"},
		{word: "pmtudisc", attr: nl.IFLA_IPTUN_PMTUDISC, code: onoff, spell: bySwitch, first: "on"},
		{word: "fwmark", attr: 20, code: u32, first: "0"},
	}
	greOptions = []option{
		{word: "external", attr: nl.IFLA_GRE_COLLECT_METADATA, code: flagged, spell: byWord},
		{word: "remote", attr: nl.IFLA_GRE_REMOTE, code: ipAddress, first: "0.0.0.0"},
		{word: "local", attr: nl.IFLA_GRE_LOCAL, code: ipAddress, first: "0.0.0.0"},
		{word: "dev", attr: nl.IFLA_GRE_LINK, code: linkNamed},
		{word: "ttl", attr: nl.IFLA_GRE_TTL, code: u8, first: "0"},
		{word: "tos", attr: nl.IFLA_GRE_TOS, code: tos, first: "0x0"},
		{word: "pmtudisc", attr: nl.IFLA_GRE_PMTUDISC, code: onoff, spell: bySwitch, first: "on"},
		{word: "ikey", attr: nl.IFLA_GRE_IKEY, keyed: nl.IFLA_GRE_IFLAGS, code: be32},
		{word: "okey", attr: nl.IFLA_GRE_OKEY, keyed: nl.IFLA_GRE_OFLAGS, code: be32},
		{word: "iseq", attr: nl.IFLA_GRE_IFLAGS, code: be16, bit: greSeq, spell: bySwitch, first: "off"},
		{word: "oseq", attr: nl.IFLA_GRE_OFLAGS, code: be16, bit: greSeq, spell: bySwitch, first: "off"},
		{word: "icsum", attr: nl.IFLA_GRE_IFLAGS, code: be16, bit: greCsum, spell: bySwitch, first: "off"},
		{word: "ocsum", attr: nl.IFLA_GRE_OFLAGS, code: be16, bit: greCsum, spell: bySwitch, first: "off"},
		{word: "ignore-df", attr: 19, code: onoff, spell: bySwitch, first: "off"},
		{word: "fwmark", attr: 20, code: u32, first: "0"},
	}
	gre6Options = []option{
		{word: "external", attr: nl.IFLA_GRE_COLLECT_METADATA, code: flagged, spell: byWord},
		{word: "remote", attr: nl.IFLA_GRE_REMOTE, code: ipAddress, first: "::"},
		{word: "local", attr: nl.IFLA_GRE_LOCAL, code: ipAddress, first: "::"},
		{word: "dev", attr: nl.IFLA_GRE_LINK, code: linkNamed},
		{word: "hoplimit", attr: nl.IFLA_GRE_TTL, code: u8, first: "0"},
		{word: "encaplimit", attr: nl.IFLA_GRE_ENCAP_LIMIT, code: u8, first: "0"},
		{word: "flowinfo", attr: nl.IFLA_GRE_FLOWINFO, code: be32, told: true},
		{word: "flags", attr: nl.IFLA_GRE_FLAGS, code: u32, told: true},
		{word: "ikey", attr: nl.IFLA_GRE_IKEY, keyed: nl.IFLA_GRE_IFLAGS, code: be32},
		{word: "okey", attr: nl.IFLA_GRE_OKEY, keyed: nl.IFLA_GRE_OFLAGS, code: be32},
		{word: "iseq", attr: nl.IFLA_GRE_IFLAGS, code: be16, bit: greSeq, spell: bySwitch, first: "off"},
		{word: "oseq", attr: nl.IFLA_GRE_OFLAGS, code: be16, bit: greSeq, spell: bySwitch, first: "off"},
		{word: "icsum", attr: nl.IFLA_GRE_IFLAGS, code: be16, bit: greCsum, spell: bySwitch, first: "off"},
		{word: "ocsum", attr: nl.IFLA_GRE_OFLAGS, code: be16, bit: greCsum, spell: bySwitch, first: "off"},
		{word: "fwmark", attr: 20, code: u32, first: "0"},
	}
)

// The bits of a GRE header that tell what follows it, RFC 2890.
const (
	greCsum = 0x8000
	greKey  = 0x2000
	greSeq  = 0x1000
)

// vlanProtocol is the EtherType of tags.
var vlanProtocol = worded(spelling{unix.ETH_P_8021Q: "802.1Q", unix.ETH_P_8021AD: "802.1ad"}, be16)
