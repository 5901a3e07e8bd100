package firewall

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A Leftover is a part of the ruleset that flannel made: a table, a chain, or a rule that jumps to such a chain. It prints
// as the nft command that removes it.
type Leftover struct {
	table  *nftables.Table
	chain  *nftables.Chain // nil for the whole table
	handle uint64          // of a rule; 0 for the whole chain
}

// String is the nft command that removes it.
func (l Leftover) String() string {
	table := families[l.table.Family] + " " + l.table.Name
	switch {
	case l.chain == nil:
		return "nft delete table " + table
	case l.handle == 0:
		return "nft delete chain " + table + " " + l.chain.Name
	}
	return fmt.Sprintf("nft delete rule %s %s handle %d", table, l.chain.Name, l.handle)
}

// flannelTables are the tables of flannel's nftables mode.
var flannelTables = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "flannel-ipv4", nftables.TableFamilyIPv6: "flannel-ipv6",
}

// flannelChains are the chains of flannel's iptables mode, in tables of iptables-nft, with the chain that jumps to each.
var flannelChains = map[string]string{"FLANNEL-POSTRTG": "POSTROUTING", "FLANNEL-FWD": "FORWARD"}

// Leftovers lists what flannel left in the ruleset, in the order in which it can be removed: rules, then chains, then
// tables. It sees what iptables-nft wrote; LegacyLeftovers are what iptables-legacy wrote.
func (t *Table) Leftovers() ([]Leftover, error) {
	conn := t.conn()
	var found []Leftover
	for _, f := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		tables, err := conn.ListTablesOfFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		for _, table := range tables {
			if table.Name == flannelTables[f] {
				found = append(found, Leftover{table: table})
			}
		}
		chains, err := conn.ListChainsOfTableFamily(f)
		if err != nil {
			return nil, fmt.Errorf("list chains: %w", err)
		}
		for _, c := range chains {
			left, err := leftoversOf(conn, c)
			if err != nil {
				return nil, err
			}
			found = append(found, left...)
		}
	}
	slices.SortStableFunc(found, func(a, b Leftover) int { return cmp.Compare(a.order(), b.order()) })
	return found, nil
}

func (l Leftover) order() int {
	switch {
	case l.handle != 0:
		return 0
	case l.chain != nil:
		return 1
	}
	return 2
}

// leftoversOf lists the chain itself if it is flannel's, or else its rules that jump to flannel's.
func leftoversOf(conn *nftables.Conn, c *nftables.Chain) ([]Leftover, error) {
	if c.Table.Name != "nat" && c.Table.Name != "filter" {
		return nil, nil
	}
	if _, flannels := flannelChains[c.Name]; flannels {
		return []Leftover{{table: c.Table, chain: c}}, nil
	}
	if c.Name != "POSTROUTING" && c.Name != "FORWARD" {
		return nil, nil
	}
	rules, err := conn.GetRules(c.Table, c)
	if err != nil {
		return nil, fmt.Errorf("list rules of chain %s: %w", c.Name, err)
	}
	var found []Leftover
	for _, r := range rules {
		if jumpsToFlannel(r, c.Name) {
			found = append(found, Leftover{c.Table, c, r.Handle})
		}
	}
	return found, nil
}

func jumpsToFlannel(r *nftables.Rule, from string) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		v, ok := e.(*expr.Verdict)
		return ok && flannelChains[v.Chain] == from
	})
}

// RemoveLeftovers removes what Leftovers listed, in one transaction.
func (t *Table) RemoveLeftovers(all []Leftover) error {
	conn := t.conn()
	for _, l := range all {
		switch {
		case l.chain == nil:
			conn.DelTable(l.table)
		case l.handle == 0:
			conn.FlushChain(l.chain)
			conn.DelChain(l.chain)
		default:
			if err := conn.DelRule(&nftables.Rule{Table: l.table, Chain: l.chain, Handle: l.handle}); err != nil {
				return err
			}
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove what flannel left: %w", err)
	}
	return nil
}
