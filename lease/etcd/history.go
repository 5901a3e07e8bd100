package etcd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// historyLength is how many network configs are remembered beside the one in use.
	historyLength = 50
	// mostRemembered is how many bytes may be written at once for the sake of memory. etcd takes 1.5 MiB.
	mostRemembered = 1 << 20
)

// A Version is the network config as it is or was.
type Version struct {
	Revision int64 // of the change that made it
	Value    []byte
	Author   // the zero Author where it was written by other means than ReplaceConfig
}

// An Author is who wrote a network config, by their own word, and when, by their own clock.
type Author struct {
	By string    `json:"by,omitzero"`
	At time.Time `json:"at,omitzero"`
}

// A replaced record is the value of one key below replaced(): a network config that is not in use any more.
type replacedRecord struct {
	Author
	Value []byte `json:"value"`
}

// history is what the keys begin with that are about network configs but the one in use: those of before, and the one that is staged.
// flannel does not read them.
func (s *Store) history() string { return path.Join(s.prefix, "overlayd", "config") + "/" }

// authorKey holds the Author of the config in use, if its own revision is the config's.
func (s *Store) authorKey() string { return s.history() + "author" }

// replaced is what the keys of replaced configs begin with. Their revision follows, in an order that is theirs as text.
func (s *Store) replaced() string { return s.history() + "replaced/" }

// ReplaceConfig overwrites the network config of the revision that Config returned, 0 for none, and returns the new
// revision. It answers fs.ErrExist when another has been written since. The author and the replaced config are remembered.
func (s *Store) ReplaceConfig(ctx context.Context, value []byte, revision int64, author Author) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now, err := s.replace(ctx, value, revision, author)
	if err != nil {
		return 0, fmt.Errorf("write etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	return now, nil
}

// replace writes the value if the config is of that revision, and the rest holds too.
func (s *Store) replace(ctx context.Context, value []byte, revision int64, author Author, rest ...clientv3.Cmp) (int64, error) {
	overtaken := overtaken(revision)
	seen, err := s.readHistory(ctx, clientv3.WithKeysOnly())
	if err != nil {
		return 0, err
	}
	if seen.revision() != revision {
		return 0, overtaken
	}
	ops, err := s.remembering(seen, value, author)
	if err != nil {
		return 0, err
	}
	same := append(rest, clientv3.Compare(clientv3.ModRevision(s.ConfigKey()), "=", revision))
	resp, err := s.client.Txn(ctx).If(same...).Then(append(ops, clientv3.OpPut(s.ConfigKey(), string(value)))...).Commit()
	if err != nil {
		return 0, err
	}
	if !resp.Succeeded {
		return 0, overtaken
	}
	return resp.Header.Revision, nil
}

// overtaken is the error of those who write over a revision that has been replaced meanwhile.
func overtaken(revision int64) error {
	return fmt.Errorf("not as it was at revision %d any more: %w", revision, fs.ErrExist)
}

// remembering is what else to write when the value replaces the config that was seen.
func (s *Store) remembering(seen past, value []byte, author Author) ([]clientv3.Op, error) {
	text, err := json.Marshal(author)
	if err != nil {
		return nil, err
	}
	ops := []clientv3.Op{clientv3.OpPut(s.authorKey(), string(text))}
	if seen.config == nil {
		return ops, nil
	}
	record, err := json.Marshal(replacedRecord{seen.author(seen.revision()), seen.config.Value})
	if err != nil {
		return nil, err
	}
	if len(record)+len(value) <= mostRemembered {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%020d", s.replaced(), seen.revision()), string(record)))
	}
	if n := len(seen.replaced); n >= historyLength {
		oldest := seen.replaced[historyLength-1] // and those before it make room for this one
		ops = append(ops, clientv3.OpDelete(s.replaced(), clientv3.WithRange(string(oldest.Key)+"\x00")))
	}
	return ops, nil
}

// A past is the config in use and what is remembered of it, as read at one revision.
type past struct {
	config, newest *mvccpb.KeyValue   // nil when absent
	replaced       []*mvccpb.KeyValue // the newest first
}

func (s *Store) readHistory(ctx context.Context, options ...clientv3.OpOption) (past, error) {
	options = append([]clientv3.OpOption{
		clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend),
	}, options...)
	resp, err := s.client.Txn(ctx).Then(
		clientv3.OpGet(s.ConfigKey()), clientv3.OpGet(s.authorKey()), clientv3.OpGet(s.replaced(), options...),
	).Commit()
	if err != nil {
		return past{}, err
	}
	only := func(i int) *mvccpb.KeyValue {
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			return kvs[0]
		}
		return nil
	}
	return past{only(0), only(1), resp.Responses[2].GetResponseRange().Kvs}, nil
}

// revision is that of the config in use, 0 without one.
func (p past) revision() int64 {
	if p.config == nil {
		return 0
	}
	return p.config.ModRevision
}

// author is who wrote the config of the revision, if that is what ReplaceConfig wrote last.
func (p past) author(revision int64) (a Author) {
	if p.newest != nil && p.newest.ModRevision == revision {
		_ = json.Unmarshal(p.newest.Value, &a) // who wrote nonsense there is not known
	}
	return a
}

// History returns the network config in use and those before it, newest first: those that ReplaceConfig has replaced, 50 at
// most, and those that etcd itself still has, which forgets when it is compacted. It answers fs.ErrNotExist when there is
// no network config and none is remembered.
func (s *Store) History(ctx context.Context) ([]Version, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read history of etcd %s: %w", s.ConfigKey(), s.explain(ctx, err))
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("etcd %s: %w", s.ConfigKey(), fs.ErrNotExist)
	}
	return versions, nil
}

func (s *Store) versions(ctx context.Context) ([]Version, error) {
	seen, err := s.readHistory(ctx)
	if err != nil {
		return nil, err
	}
	var versions []Version
	for _, kv := range seen.replaced {
		v := Version{}
		var r replacedRecord
		if _, err := fmt.Sscanf(path.Base(string(kv.Key)), "%d", &v.Revision); err != nil || json.Unmarshal(kv.Value, &r) != nil {
			continue // somebody else's
		}
		v.Value, v.Author = r.Value, r.Author
		versions = append(versions, v)
	}
	if seen.config != nil {
		kept, err := s.kept(ctx, seen)
		if err != nil {
			return nil, err
		}
		versions = append(versions, kept...)
	}
	slices.SortStableFunc(versions, func(a, b Version) int { return cmp.Compare(b.Revision, a.Revision) })
	return slices.CompactFunc(versions, func(a, b Version) bool { return a.Revision == b.Revision }), nil
}

// kept is the config in use and what etcd still has from before it, back to the last time when there was none.
func (s *Store) kept(ctx context.Context, seen past) (versions []Version, err error) {
	for at := seen.config; ; {
		versions = append(versions, Version{at.ModRevision, present(at.Value), seen.author(at.ModRevision)})
		if at.Version == 1 || len(versions) > historyLength {
			return versions, nil
		}
		resp, err := s.client.Get(ctx, s.ConfigKey(), clientv3.WithRev(at.ModRevision-1))
		if errors.Is(err, rpctypes.ErrCompacted) || err == nil && len(resp.Kvs) == 0 {
			return versions, nil
		}
		if err != nil {
			return nil, err
		}
		at = resp.Kvs[0]
	}
}
