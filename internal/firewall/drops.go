package firewall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// warnOfDrops says which chains of others drop forwarded packets unless told otherwise, as the chain of iptables does once
// Docker has started: what overlayd accepts, they drop all the same. It says so once, and again when these are others.
func (t *Table) warnOfDrops() error {
	if !slices.ContainsFunc(t.wanted, func(c chain) bool { return *c.hook == *nftables.ChainHookForward }) {
		return nil
	}
	drops, err := t.Drops()
	if err != nil {
		return err
	}
	if len(drops) > 0 && !slices.Equal(drops, t.drops) {
		t.log.Warn("forwarded packets are dropped by others' chains that do not accept them first",
			"chains", strings.Join(drops, ", "), "try", "iptables -I FORWARD -s NETWORK -j ACCEPT, and the same with -d")
	}
	t.drops = drops
	return nil
}

// Drops names the chains, as FAMILY TABLE CHAIN, through which forwarded packets go and that drop what no rule of theirs accepts.
func (t *Table) Drops() ([]string, error) {
	chains, err := t.conn().ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	return dropsOf(chains), nil
}

// dropsOf are the chains through which forwarded packets go and that drop what no rule of theirs accepts.
func dropsOf(chains []*nftables.Chain) (drops []string) {
	for _, c := range chains {
		family, routed := families[c.Table.Family]
		if routed && c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			drops = append(drops, family+" "+c.Table.Name+" "+c.Name)
		}
	}
	slices.Sort(drops)
	return drops
}

// families are the families of tables that see routed packets, as nft names them.
var families = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
}
