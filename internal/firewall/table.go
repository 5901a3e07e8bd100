package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// DefaultTable is the table's name unless Options give another.
const DefaultTable = "overlayd"

// answerTime is the longest that the kernel may take for one request. It answers in milliseconds; an answer that never
// comes must not hold the daemon up.
const answerTime = 10 * time.Second

// Options say how a Table is opened.
type Options struct {
	Name      string       // of the table; "" is DefaultTable
	Namespace int          // descriptor of the network namespace; 0 is that of the process
	Logger    *slog.Logger // nil is slog.Default
}

// A Table is overlayd's nftables table, of family inet. Its methods may be called concurrently.
type Table struct {
	name string
	ns   int
	log  *slog.Logger

	mu     sync.Mutex
	wanted []chain
	known  bool     // whether wanted has been said
	drops  []string // what was said to drop forwarded packets

	repairs int
}

// New returns the table as it is. It touches nothing.
func New(o Options) *Table {
	t := &Table{name: cmp.Or(o.Name, DefaultTable), ns: o.Namespace, log: o.Logger}
	if t.log == nil {
		t.log = slog.Default()
	}
	return t
}

// String is the table as nft commands name it.
func (t *Table) String() string { return "inet " + t.name }

// Check reports why the kernel would not take any rules. It tries some of each kind, in a table that the same transaction
// deletes, so that nothing ever meets it.
func (t *Table) Check() error {
	v4, v6 := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")
	sample := Rules{Paths: []Path{{v4, v4}, {v6, v6}}, Masquerade: true, Forward: true}
	trial := &Table{name: t.name + "-check", ns: t.ns}
	conn := trial.conn()
	trial.write(conn, sample.chains())
	conn.DelTable(trial.table())
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("check firewall: %w: the kernel must have nftables with NAT for family inet, as Linux can since 5.2", err)
	}
	return nil
}

// Apply makes the table as the rules say, and leaves it alone if it is so already. Keep then keeps it so. Rules of which
// there are none remove the table.
func (t *Table) Apply(r Rules) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted, t.known = r.chains(), true
	damage, err := t.damage()
	if err == nil && damage != "" {
		err = t.replace()
	}
	if err != nil {
		return fmt.Errorf("write table %s: %w", t, err)
	}
	return nil
}

// Remove removes the table, if there is one.
func (t *Table) Remove() error { return t.Apply(Rules{}) }

// Exists reports whether there is a table of the name.
func (t *Table) Exists() (bool, error) {
	_, err := t.conn().ListTableOfFamily(t.name, nftables.TableFamilyINet)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for table %s: %w", t, err)
	}
	return true, nil
}

// mend makes the table again as it was applied last, and returns what was wrong with it.
func (t *Table) mend() (damage string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		return "", nil
	}
	damage, err = t.damage()
	if err == nil && damage != "" {
		t.repairs++
		err = t.replace()
	}
	if err == nil {
		err = t.warnOfDrops()
	}
	return damage, err
}

// conn opens a connection for the next request. Each request has its own, so that a late answer cannot be taken for that to
// another one.
func (t *Table) conn() *nftables.Conn {
	conn, err := nftables.New(nftables.WithNetNSFd(t.ns), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(answerTime))
	}))
	if err != nil { // which only a lasting connection can
		panic(err)
	}
	return conn
}

func (t *Table) table() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyINet}
}

// replace puts the wanted table in the place of the present one, in one transaction.
func (t *Table) replace() error {
	conn := t.conn()
	conn.AddTable(t.table()) // or there may be none to delete
	conn.DelTable(t.table())
	if t.wanted != nil {
		t.write(conn, t.wanted)
	}
	return conn.Flush()
}

func (t *Table) write(conn *nftables.Conn, chains []chain) {
	table := conn.AddTable(t.table())
	policy := nftables.ChainPolicyAccept
	for _, c := range chains {
		made := conn.AddChain(&nftables.Chain{
			Name: c.name, Table: table, Type: c.kind, Hooknum: c.hook, Priority: c.priority, Policy: &policy,
		})
		for _, r := range c.rules {
			conn.AddRule(&nftables.Rule{Table: table, Chain: made, Exprs: r.expressions(), UserData: r.comment()})
		}
	}
}

// damage compares the whole table with the wanted one, and says what is wrong: "" for nothing.
func (t *Table) damage() (string, error) {
	conn := t.conn()
	have, err := conn.ListTableOfFamily(t.name, nftables.TableFamilyINet)
	switch {
	case errors.Is(err, fs.ErrNotExist) && t.wanted == nil:
		return "", nil
	case errors.Is(err, fs.ErrNotExist):
		return "there is no table", nil
	case err != nil:
		return "", err
	case t.wanted == nil:
		return "there is a table", nil
	case have.Flags != 0:
		return "the table is dormant", nil
	}
	chains, err := t.chains(conn)
	if err != nil {
		return "", err
	}
	for _, want := range t.wanted {
		damage, err := t.damaged(conn, chains[want.name], want)
		if err != nil || damage != "" {
			return damage, err
		}
		delete(chains, want.name)
	}
	for name := range chains {
		return fmt.Sprintf("chain %.60q is not overlayd's", name), nil
	}
	return "", nil
}

// chains are the chains of the kernel's table by name.
func (t *Table) chains(conn *nftables.Conn) (map[string]*nftables.Chain, error) {
	all, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, err
	}
	ours := map[string]*nftables.Chain{}
	for _, c := range all {
		if c.Table.Name == t.name {
			ours[c.Name] = c
		}
	}
	return ours, nil
}

func (t *Table) damaged(conn *nftables.Conn, have *nftables.Chain, want chain) (string, error) {
	switch {
	case have == nil:
		return fmt.Sprintf("chain %s is gone", want.name), nil
	case !want.is(have):
		return fmt.Sprintf("chain %s has another hook, priority or policy", want.name), nil
	}
	rules, err := conn.GetRules(t.table(), have)
	if err != nil {
		return "", err
	}
	for i, r := range want.rules {
		if i >= len(rules) || !r.is(rules[i]) {
			return fmt.Sprintf("chain %s lacks in place %d the rule %s", want.name, i+1, r), nil
		}
	}
	if more := len(rules) - len(want.rules); more > 0 {
		return fmt.Sprintf("chain %s has %d rules that are not overlayd's", want.name, more), nil
	}
	return "", nil
}

func (c chain) is(k *nftables.Chain) bool {
	return k.Type == c.kind && k.Hooknum != nil && *k.Hooknum == *c.hook && k.Priority != nil && *k.Priority == *c.priority &&
		k.Policy != nil && *k.Policy == nftables.ChainPolicyAccept
}
