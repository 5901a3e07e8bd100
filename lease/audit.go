package lease

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Finding is something wrong with leases, found by looking at them and at nothing else.
type Finding struct {
	Kind string   // "unreadable", "misplaced", "orphan", "overlap", "same public address" or "same node"
	Keys []string // of the records concerned, as found in the store: quote them
	Text string   // what is wrong
}

// Audit looks for what cannot be right among the leases of a network: keys and values that are no leases, subnets that are
// not the network's, leases without a node, overlapping ones, and nodes or public addresses that have more than one lease. The
// expiries are those of the records, or none.
func Audit(n Network, s Snapshot, expiries []Expiry) []Finding {
	var findings []Finding
	for u := range s.Unreadable.All() {
		findings = append(findings, Finding{"unreadable", []string{u.Key}, u.Err.Error()})
	}
	nodes, addresses := map[string][]string{}, map[string][]string{}
	for i, r := range s.List() {
		if err := n.Admits(r.Lease); err != nil {
			findings = append(findings, Finding{"misplaced", []string{r.Key()}, err.Error()})
		}
		var e Expiry
		if expiries != nil {
			e = expiries[i]
		}
		if why := r.orphaned(e); why != "" {
			findings = append(findings, Finding{"orphan", []string{r.Key()}, why})
		}
		if r.NodeID != "" {
			nodes[r.NodeID] = append(nodes[r.NodeID], r.Key())
		}
		for _, p := range [...]Path{r.V4, r.V6} {
			if p.PublicIP.IsValid() {
				addresses[p.PublicIP.String()] = append(addresses[p.PublicIP.String()], r.Key())
			}
		}
	}
	findings = append(findings, overlapping(s)...)
	findings = append(findings, shared("same public address", addresses)...)
	findings = append(findings, shared("same node", nodes)...)
	return findings
}

// orphaned says why the record seems to have no node, if so. A node that runs overlayd renews its lease every third of its time;
// when one that runs flannel does is not known.
func (r Record) orphaned(e Expiry) string {
	switch {
	case r.Reserved() && r.NodeID == "" && !r.publicIP().IsValid():
		return "it is reserved for nobody: it names neither a node nor a public address"
	case r.NodeID != "" && e.Age > 2*e.Left:
		return fmt.Sprintf("its node has not renewed it for %s: it is down or cut off", e.Age)
	}
	return ""
}

// Admits says why the lease is none of the network's, if so: it needs one subnet from each pool, and no other.
func (n Network) Admits(l Lease) error {
	for _, f := range []struct {
		name   string
		pool   Pool
		subnet netip.Prefix
	}{{"IPv4", n.V4, l.V4.Subnet}, {"IPv6", n.V6, l.V6.Subnet}} {
		switch {
		case f.pool.matches(f.subnet):
		case f.pool.Size() == 0:
			return fmt.Errorf("%s: the network has no %s", f.subnet, f.name)
		case !f.subnet.IsValid():
			return fmt.Errorf("no %s subnet, and the network has %s", f.name, f.pool.Network)
		case f.subnet.Bits() != f.pool.SubnetLen || f.subnet != f.subnet.Masked():
			return fmt.Errorf("%s: the network's subnets have %d bits, and none after them", f.subnet, f.pool.SubnetLen)
		default:
			return fmt.Errorf("%s: not from %s to %s", f.subnet, f.pool.Min, f.pool.Max)
		}
	}
	return nil
}

// overlapping finds subnets that lie in another: prefixes overlap in no other way.
func overlapping(s Snapshot) []Finding {
	type holding struct {
		subnet netip.Prefix
		key    string
	}
	var all []holding
	hold := func(key string, subnets ...netip.Prefix) {
		for _, p := range subnets {
			if p.IsValid() {
				all = append(all, holding{p, key})
			}
		}
	}
	for r := range s.Records.All() {
		hold(r.Key(), r.V4.Subnet, r.V6.Subnet)
	}
	for u := range s.Unreadable.All() {
		v4, v6, _ := ParseKey(u.Key)
		hold(u.Key, v4, v6)
	}
	slices.SortFunc(all, func(a, b holding) int { // the wider first, so that it stands before all that lie in it
		return cmp.Or(a.subnet.Addr().Compare(b.subnet.Addr()), cmp.Compare(a.subnet.Bits(), b.subnet.Bits()))
	})
	var findings []Finding
	var widest holding
	for _, h := range all {
		if !widest.subnet.IsValid() || !widest.subnet.Overlaps(h.subnet) {
			widest = h
			continue
		}
		text := fmt.Sprintf("%s lies in %s", h.subnet, widest.subnet)
		if h.subnet == widest.subnet {
			text = fmt.Sprintf("%s is held twice", h.subnet)
		}
		findings = append(findings, Finding{"overlap", []string{widest.key, h.key}, text})
	}
	return findings
}

// shared finds what more than one lease has.
func shared(kind string, holders map[string][]string) []Finding {
	var findings []Finding
	for what, keys := range holders {
		if len(keys) > 1 {
			findings = append(findings, Finding{kind, keys, fmt.Sprintf("%s has %d leases", what, len(keys))})
		}
	}
	slices.SortFunc(findings, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	return findings
}
