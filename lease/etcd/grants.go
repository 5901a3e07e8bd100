package etcd

import (
	"path"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Grant is a right that an etcd with users must give.
type Grant struct {
	Key    string
	Prefix bool // it is for all keys that begin with Key
	Write  bool // beside reading
}

// NodeGrants are the rights that a daemon needs for a network with these keys, and the lease commands too. The last two are for staged
// network configs: a daemon without them has no part in those.
func NodeGrants(prefix string) []Grant { return grants(prefix, false) }

// OperatorGrants are the rights of NodeGrants and those of writing the network config and its history.
func OperatorGrants(prefix string) []Grant {
	s := Store{prefix: path.Join("/", prefix)}
	return append(grants(prefix, true)[:2], Grant{Key: s.history(), Prefix: true, Write: true})
}

func grants(prefix string, writeConfig bool) []Grant {
	s := Store{prefix: path.Join("/", prefix)}
	return []Grant{
		{Key: s.ConfigKey(), Write: writeConfig}, {Key: s.subnets(), Prefix: true, Write: true},
		{Key: s.stagedKey()}, {Key: s.reports(), Prefix: true, Write: true},
	}
}

// End is the end of the range of keys, as etcd's RPCs want it: "" for one key alone.
func (g Grant) End() string {
	if !g.Prefix {
		return ""
	}
	return clientv3.GetPrefixRangeEnd(g.Key)
}

// Args are the arguments of "etcdctl role grant-permission" that give the right to the role.
func (g Grant) Args(role string) []string {
	args := []string{role, "read", g.Key}
	if g.Write {
		args[1] = "readwrite"
	}
	if g.Prefix {
		args = append([]string{"--prefix"}, args...)
	}
	return args
}
