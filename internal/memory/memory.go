// Package memory keeps in a file for which peers hooks have run.
package memory

import (
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/journal"
	"github.com/overlayd/overlayd/lease"
)

// A Memory is the peers that hooks have added, as they were then. Its methods must not be called concurrently.
type Memory struct {
	peers   map[string]*lease.Lease // by subnets
	journal *journal.Journal[record]
}

var _ hooks.Memory = (*Memory)(nil)

// A record is one line of the file: a peer, or the subnets of one that is forgotten.
type record struct {
	Subnets string `json:"subnets"`
	V4      half   `json:"v4,omitzero"`
	V6      half   `json:"v6,omitzero"`
	Type    string `json:"type,omitzero"`
	Node    string `json:"node,omitzero"`
}

// A half is a lease.Path whose data keeps all of its bytes: leases are compared by them.
type half struct {
	Subnet   netip.Prefix `json:"subnet,omitzero"`
	PublicIP netip.Addr   `json:"ip,omitzero"`
	Data     []byte       `json:"data,omitempty"`
}

// Open takes up what the file at the path remembers of an earlier process, which served the same config on the same boot in
// the same network namespace; else it is void. Damaged lines are set aside, beside the file, and logged.
func Open(path, config string, log *slog.Logger) (*Memory, error) {
	now, err := journal.Now()
	if err != nil {
		return nil, err
	}
	now.Of = config
	m := &Memory{peers: map[string]*lease.Lease{}}
	m.journal, err = journal.Open(path, now, log, m.take)
	if err != nil {
		return nil, err
	}
	return m, m.rewrite()
}

// Void reports whether the file told of another config, boot or network namespace.
func (m *Memory) Void() bool { return m.journal.Void() }

// take takes in a record of the file, and reports whether it makes sense.
func (m *Memory) take(r record) bool {
	l := r.lease()
	switch {
	case r.Subnets == "":
		return false
	case l.String() == "":
		delete(m.peers, r.Subnets)
	case l.String() != r.Subnets:
		return false
	default:
		m.peers[r.Subnets] = &l
	}
	return true
}

func (r record) lease() lease.Lease {
	path := func(h half) lease.Path { return lease.Path{Subnet: h.Subnet, PublicIP: h.PublicIP, Data: h.Data} }
	return lease.Lease{V4: path(r.V4), V6: path(r.V6), BackendType: r.Type, NodeID: r.Node}
}

func recordOf(l lease.Lease) record {
	of := func(p lease.Path) half { return half{Subnet: p.Subnet, PublicIP: p.PublicIP, Data: p.Data} }
	return record{Subnets: l.String(), V4: of(l.V4), V6: of(l.V6), Type: l.BackendType, Node: l.NodeID}
}

// Peers returns the peers that are remembered, in the order of their subnets' text.
func (m *Memory) Peers() []lease.Lease {
	peers := make([]lease.Lease, 0, len(m.peers))
	for _, subnets := range slices.Sorted(maps.Keys(m.peers)) {
		peers = append(peers, *m.peers[subnets])
	}
	return peers
}

// Remember is part of hooks.Memory.
func (m *Memory) Remember(peers ...*lease.Lease) error {
	var news []record
	for _, l := range peers {
		subnets := l.String()
		was := m.peers[subnets]
		m.peers[subnets] = l // an equal one too: then no other is kept in memory for this
		if was == nil || !was.Equal(*l) {
			news = append(news, recordOf(*l))
		}
	}
	return m.write(news...)
}

// Forget is part of hooks.Memory.
func (m *Memory) Forget(peer lease.Lease) error {
	if _, ok := m.peers[peer.String()]; !ok {
		return nil
	}
	delete(m.peers, peer.String())
	return m.write(record{Subnets: peer.String()})
}

func (m *Memory) write(news ...record) error {
	if m.journal.Outdated(len(m.peers)) {
		return m.rewrite()
	}
	return m.journal.Append(news...)
}

func (m *Memory) rewrite() error {
	return m.journal.Rewrite(func(yield func(record) bool) {
		for _, l := range m.peers {
			if !yield(recordOf(*l)) {
				return
			}
		}
	})
}

// Close gives the file back.
func (m *Memory) Close() error { return m.journal.Close() }
