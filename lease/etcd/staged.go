package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Staged is a network config that some nodes try before the others do. It counts while the network config is the one that it is to
// replace, and no more once that has been replaced, be it by itself.
type Staged struct {
	Revision int64 // of its last change
	stagedRecord
}

// A stagedRecord is the value of stagedKey().
type stagedRecord struct {
	Author
	Base  int64    `json:"base"`  // the revision of the network config that it is to replace
	Nodes []string `json:"nodes"` // the identities of those that try it
	Value []byte   `json:"value"`
}

// A Report is what a node says of the config that is staged. Nodes that try it say so; of the others, those for whom it did not do
// once all were to use it.
type Report struct {
	Staged int64     `json:"staged"` // the revision of the Staged
	State  string    `json:"state"`  // in a person's words, as in the node's status
	Error  string    `json:"error,omitzero"`
	At     time.Time `json:"at"` // by the node's own clock
}

// stagedKey holds the network config that is staged. flannel does not read it.
func (s *Store) stagedKey() string { return s.history() + "staged" }

// reports is what the keys of reports begin with. The node's identity follows.
func (s *Store) reports() string { return s.history() + "reports/" }

// StagedKey is where the network config is kept that is staged.
func (s *Store) StagedKey() string { return s.stagedKey() }

// parseStaged returns what the key holds, nil for nothing, or for what no Stage has written.
func (s *Store) parseStaged(k keyed) *Staged {
	if k.value == nil {
		return nil
	}
	staged := Staged{Revision: k.revision}
	if err := json.Unmarshal(k.value, &staged.stagedRecord); err != nil {
		s.log.Warn("staged network config is passed over", "etcd_key", s.stagedKey(), "revision", k.revision, "err", err)
		return nil
	}
	return &staged
}

// InForce returns the staged config if it counts, else nil.
func (c Configs) InForce() *Staged {
	if c.Value == nil || c.Staged == nil || c.Staged.Base != c.Revision {
		return nil
	}
	return c.Staged
}

// Stage writes a network config that the nodes with these identities are to try, in place of what is staged in the configs, and
// returns its revision. It answers fs.ErrExist when one of the two has been written since. Reports of before are forgotten.
func (s *Store) Stage(ctx context.Context, over Configs, value []byte, nodes []string, author Author) (int64, error) {
	text, err := json.Marshal(stagedRecord{author, over.Revision, nodes, value})
	if err != nil {
		return 0, err
	}
	return s.write(ctx, s.stagedKey(), over, clientv3.OpPut(s.stagedKey(), string(text)), s.forgetReports())
}

// Abandon takes back what is staged in the configs. It answers fs.ErrExist when something else has been staged since.
func (s *Store) Abandon(ctx context.Context, over Configs) error {
	_, err := s.write(ctx, s.stagedKey(), over, clientv3.OpDelete(s.stagedKey()), s.forgetReports())
	return err
}

// Continue makes what is staged in the configs the network config of all nodes, and returns its revision. What is replaced is
// remembered, and what was staged and reported stays to be looked at. It answers fs.ErrExist when one of the two has been written since.
func (s *Store) Continue(ctx context.Context, over Configs, author Author) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revision, err := s.replace(ctx, over.Staged.Value, over.Revision, author, s.stillStaged(over))
	if err != nil {
		return 0, fmt.Errorf("write etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	return revision, nil
}

func (s *Store) forgetReports() clientv3.Op {
	return clientv3.OpDelete(s.reports(), clientv3.WithPrefix())
}

// stillStaged holds while the key of what is staged is as it was in the configs.
func (s *Store) stillStaged(c Configs) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(s.stagedKey()), "=", c.StagedRevision)
}

// write does the operations if both configs are as they were.
func (s *Store) write(ctx context.Context, key string, over Configs, ops ...clientv3.Op) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	same := clientv3.Compare(clientv3.ModRevision(s.ConfigKey()), "=", over.Revision)
	resp, err := s.client.Txn(ctx).If(same, s.stillStaged(over)).Then(ops...).Commit()
	if err == nil && !resp.Succeeded {
		err = overtaken(max(over.Revision, over.StagedRevision))
	}
	if err != nil {
		return 0, fmt.Errorf("write etcd %s: %w", key, s.explain(ctx, err))
	}
	return resp.Header.Revision, nil
}

// Report writes what the node says of the staged config. A report of one that is not staged any more is not written.
func (s *Store) Report(ctx context.Context, nodeID string, r Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := s.reports() + path.Base(nodeID)
	current := clientv3.Compare(clientv3.ModRevision(s.stagedKey()), "=", r.Staged)
	if _, err := s.client.Txn(ctx).If(current).Then(clientv3.OpPut(key, string(text))).Commit(); err != nil {
		return fmt.Errorf("write etcd %s: %w", key, s.explain(ctx, err))
	}
	return nil
}

// Reports are what nodes say of the staged config, by their identities.
func (s *Store) Reports(ctx context.Context, staged Staged) (map[string]Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := s.client.Get(ctx, s.reports(), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read etcd %s: %w", s.reports(), s.explain(ctx, err))
	}
	all := map[string]Report{}
	for _, kv := range resp.Kvs {
		var r Report
		if json.Unmarshal(kv.Value, &r) == nil && r.Staged == staged.Revision {
			all[path.Base(string(kv.Key))] = r
		}
	}
	return all, nil
}
