package firewall

import (
	"fmt"

	"github.com/google/nftables/expr"
)

// A Count is what a rule of the table has met since the table was written.
type Count struct {
	Chain, Rule    string // the rule by its comment
	V6             bool
	Packets, Bytes uint64
}

// Repairs is how often Keep has found that the table was not as applied.
func (t *Table) Repairs() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.repairs
}

// Counts returns the counts of the rules that masquerade or accept, in their order. A table that is not as applied, as in the
// moment before its repair, has none.
func (t *Table) Counts() ([]Count, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	damage, err := t.damage()
	if err != nil || damage != "" {
		return nil, err
	}
	conn := t.conn()
	have, err := t.chains(conn)
	if err != nil {
		return nil, err
	}
	var counts []Count
	for _, c := range t.wanted {
		rules, err := conn.GetRules(t.table(), have[c.name])
		if err != nil {
			return nil, fmt.Errorf("read chain %s: %w", c.name, err)
		}
		for i, r := range c.rules[:min(len(c.rules), len(rules))] {
			for _, e := range rules[i].Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					v6 := firstValid(r.source.prefix, r.destination.prefix).Addr().Is6()
					counts = append(counts, Count{c.name, r.why, v6, counter.Packets, counter.Bytes})
				}
			}
		}
	}
	return counts, nil
}
