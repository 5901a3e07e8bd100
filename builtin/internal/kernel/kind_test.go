package kernel

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samples say each option of each kind that can be told, with a value other than the kernel begins with.
var samples = map[string]map[string]string{
	"bridge": {
		"forward_delay": "800", "hello_time": "100", "max_age": "1000", "ageing_time": "20000", "priority": "7", "group_fwd_mask": "8",
		"group_address": "01:80:c2:00:00:0e", "mcast_snooping": "0", "no_linklocal_learn": "on", "mcast_router": "2",
		"mcast_query_use_ifaddr": "1", "mcast_querier": "1", "mcast_hash_max": "512", "mcast_last_member_count": "3",
		"mcast_startup_query_count": "3", "mcast_last_member_interval": "200", "mcast_membership_interval": "20000",
		"mcast_querier_interval": "20000", "mcast_query_interval": "12000", "mcast_query_response_interval": "900",
		"mcast_startup_query_interval": "3000", "mcast_stats_enabled": "1", "mcast_igmp_version": "3", "mcast_mld_version": "2",
		"nf_call_iptables": "1", "nf_call_ip6tables": "1", "nf_call_arptables": "1",
	},
	"bridge_slave": {
		"priority": "9", "cost": "7", "hairpin": "on", "guard": "on", "root_block": "on", "fastleave": "on", "learning": "off",
		"flood": "off", "proxy_arp": "on", "proxy_arp_wifi": "on", "mcast_router": "2", "mcast_flood": "off", "bcast_flood": "off",
		"mcast_to_unicast": "on", "neigh_suppress": "on", "group_fwd_mask": "8", "isolated": "on", "locked": "on",
	},
	"macvlan": {"mode": "bridge", "bcqueuelen": "500", "nodst": "on"},
	"vlan":    {"id": "7", "protocol": "802.1ad", "reorder_hdr": "off", "loose_binding": "on"},
	"vxlan":   {"df": "set", "flowlabel": "5"},
	"vrf":     {"table": "10"},
	"ipvlan":  {"mode": "l2", "flags": "private"},
	"geneve":  {"id": "7", "remote": "192.0.2.9", "ttl": "9", "tos": "0x10", "df": "set", "dstport": "6082", "udpcsum": "off"},
	"ipip":    {"remote": "192.0.2.9", "local": "192.0.2.1", "ttl": "9", "tos": "0x10", "fwmark": "5"},
	"gre":     {"remote": "192.0.2.9", "local": "192.0.2.1", "ttl": "9", "ikey": "5", "okey": "6", "iseq": "on", "ocsum": "on"},
	"ip6gre":  {"remote": "fd00::9", "local": "fd00::1", "hoplimit": "9", "encaplimit": "5", "okey": "6"},
}

// sample is a link of the kind, with all that it can be told.
func sample(kind string) Link {
	l := Link{Name: "kind0", Kind: kind, Options: maps.Clone(samples[kind])}
	switch kind {
	case "vxlan":
		l.VXLAN = &VXLAN{ID: 7, Port: 4700, Local: ip("fd00::1"), Learning: true}
	case "macvlan", "vlan", "ipvlan":
		l.Lower = "ve"
	}
	return l
}

func TestAnOptionIsListedAsItWasTold(t *testing.T) {
	for kind := range samples {
		if kind == "bridge_slave" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			k := openIn(t)
			do(t, k, Op{Add, Link{Name: "ve", Kind: "veth", Peer: "ve1"}})
			l := sample(kind)
			err := k.Do(t.Context(), Op{Add, l})
			if errors.Is(err, syscall.EOPNOTSUPP) {
				t.Skip("this kernel has no links of kind", kind)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(l.Options, listed(t, k).Options); diff != "" {
				t.Errorf("%s is listed (-told +listed):\n%s", l.command(Add), diff)
			}
		})
	}
}

func TestAPortsOptionIsListedAsItWasTold(t *testing.T) {
	k := openIn(t)
	do(t, k, Op{Add, Link{Name: "br", Kind: "bridge"}}, Op{Add, Link{Name: "kind0", Kind: "veth", Peer: "ve1"}},
		Op{Set, Link{Name: "kind0", Master: "br"}}, Op{Set, Link{Name: "kind0", Port: Options(samples["bridge_slave"])}})
	if diff := cmp.Diff(Options(samples["bridge_slave"]), listed(t, k).Port); diff != "" {
		t.Errorf("a port is listed (-told +listed):\n%s", diff)
	}
}

// listed is the link kind0 as the kernel lists it.
func listed(t *testing.T, k Kernel) Link {
	t.Helper()
	list, err := k.List(t.Context(), Link{Name: "kind0", Details: new(Details)})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0].(Link)
}

// What a run has told a link, or deleted of it, is as before once the run is undone.
func TestUndoGivesLinksTheirOptionsBack(t *testing.T) {
	zero, one := 0, 3
	for _, tt := range []struct {
		name    string
		before  []Op
		changes []Op
	}{
		{"a bridge's", []Op{{Add, sample("bridge")}},
			[]Op{{Set, Link{Name: "kind0", Kind: "bridge", Options: Options{"ageing_time": "1000", "stp_state": "1", "no_linklocal_learn": "off"}}}}},
		{"a port's", []Op{{Add, Link{Name: "br", Kind: "bridge"}}, {Set, Link{Name: "ve", Master: "br"}}, {Set, Link{Name: "ve", Port: Options{"cost": "7"}}}},
			[]Op{{Set, Link{Name: "ve", Port: Options{"cost": "9", "hairpin": "on", "learning": "off"}}}}},
		{"a deleted bridge's", []Op{{Add, sample("bridge")}, {Set, Link{Name: "ve", Master: "kind0"}}}, []Op{{Del, Link{Name: "kind0"}}}},
		{"the links above a deleted one", []Op{{Add, sample("macvlan")}, {Add, Addr{Dev: "kind0", Prefix: prefix("10.0.0.1/24")}}}, []Op{{Del, Link{Name: "ve"}}}},
		{"a deleted macvlan's", []Op{{Add, sample("macvlan")}}, []Op{{Del, Link{Name: "kind0"}}}},
		{"a deleted vxlan's", []Op{{Add, sample("vxlan")}}, []Op{{Del, Link{Name: "kind0"}}}},
		{"switches", nil, []Op{{Set, Link{Name: "ve", Switches: Options{"arp": "off", "promisc": "on", "multicast": "off", "allmulticast": "on"}}}}},
		{"a group", []Op{{Set, Link{Name: "ve", Group: &one}}}, []Op{{Set, Link{Name: "ve", Group: &zero}}}},
		{"no group", nil, []Op{{Set, Link{Name: "ve", Group: &one}}}},
		{"how addresses come about", nil, []Op{{Set, Link{Name: "ve", AddrGen: "none"}}}},
		{"a broadcast address", nil, []Op{{Set, Link{Name: "ve", Broadcast: "ff:ff:ff:ff:ff:00"}}}},
		{"a deleted link's switches and group", []Op{{Set, Link{Name: "ve", Group: &one, Switches: Options{"arp": "off", "promisc": "on"}}}}, []Op{{Del, Link{Name: "ve"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := openIn(t)
			do(t, k, Op{Add, Link{Name: "ve", Kind: "veth", Peer: "ve1", Address: "02:00:00:00:00:a1"}})
			do(t, k, tt.before...)
			before := links(t, k)
			scopes, err := NewScopes(k, "", slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { scopes.Close() })
			run := scopes.Begin("test")
			if err := run.Do(t.Context(), tt.changes...); err != nil {
				t.Fatal(err)
			}
			if cmp.Equal(before, links(t, k)) {
				t.Error("nothing was changed")
			}
			if err := run.Undo(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, links(t, k)); diff != "" {
				t.Errorf("undone (-before +after):\n%s", diff)
			}
		})
	}
}

// links are all links as commands that make them, with what they are told afterwards.
func links(t *testing.T, k Kernel) (lines []string) {
	t.Helper()
	list, err := k.List(t.Context(), Link{Details: new(Details)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		l := o.(Link)
		l.AddrGen, l.State = l.Details.AddrGen, Unsaid
		l.Switches = l.unusual()
		if l.Name == "ve1" { // its address is the kernel's choice
			l.Address = ""
		}
		lines = append(lines, l.command(Add), Link{Name: l.Name, Port: l.Port}.command(Set))
	}
	slices.Sort(lines)
	return lines
}
