package control

import (
	"cmp"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// Bounds of what a Status holds of texts that others wrote.
const (
	maxText       = 1024 // bytes of one text
	maxUnreadable = 20
)

// Facts are what does not change while the daemon runs.
type Facts struct {
	Version   string   // of the program
	NodeID    string   // this node's identity
	Endpoints []string // etcd's client URLs
}

// A State is how the daemon stands now. Its methods may be called concurrently and do not block.
type State struct {
	mu     sync.Mutex
	status Status // but for what the maps hold
	hooks  map[hooks.Hook]HookUse
	peers  map[string]Peer // by subnets
	chosen [2]string       // the external interface and why, as said last
}

var _ hooks.Observer = (*State)(nil)

// NewState returns the state of a daemon that starts now, in this process.
func NewState(f Facts) *State {
	return &State{
		status: Status{
			Version: statusVersion,
			Daemon:  Daemon{Version: f.Version, PID: os.Getpid(), Started: time.Now(), NodeID: f.NodeID},
			Node:    Node{Networks: []netip.Prefix{}, Paths: []Path{}},
			Etcd:    Etcd{Endpoints: f.Endpoints},
		},
		hooks: make(map[hooks.Hook]HookUse),
		peers: make(map[string]Peer),
	}
}

// Configure says which network config the daemon uses from now on, by the type of its backend and etcd's revision. It
// clears the problem.
func (s *State) Configure(backend string, revision int64) {
	s.set(func(t *Status) { t.Config = Config{Backend: backend, Revision: revision} })
}

// SetRevision says under which revision etcd holds the network config in use.
func (s *State) SetRevision(revision int64) { s.set(func(t *Status) { t.Config.Revision = revision }) }

// SetProblem says what is wrong with the network config in etcd, "" for nothing.
func (s *State) SetProblem(text string) { s.set(func(t *Status) { t.Config.Problem = clip(text) }) }

// SetMTU says which MTU, in bytes, the subnet file promises.
func (s *State) SetMTU(mtu int) { s.set(func(t *Status) { t.Node.MTU = mtu }) }

// SetExternal says which interface leads to the other nodes, and why it was chosen. It reports whether that is news.
func (s *State) SetExternal(name, why string) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	chosen := [2]string{name, why}
	news = s.chosen != chosen
	s.chosen = chosen
	s.status.Node.Interface, s.status.Node.InterfaceBy = name, clip(why)
	return news
}

// SetMasquerade says whether what containers send out of the overlay is masqueraded.
func (s *State) SetMasquerade(on bool) { s.set(func(t *Status) { t.Node.Masquerade = on }) }

// SetEtcd says why etcd does not answer, nil when it does.
func (s *State) SetEtcd(err error) { s.set(func(t *Status) { t.Etcd.Problem = errText(err) }) }

// SetUserspaceWireGuard says whether WireGuard devices run in this process.
func (s *State) SetUserspaceWireGuard(on bool) {
	s.set(func(t *Status) { t.Node.UserspaceWireGuard = on })
}

// SetUnreadable says what stands among the leases and is none.
func (s *State) SetUnreadable(all []lease.Unreadable) {
	u := Unreadable{Count: len(all)}
	for _, one := range all[:min(len(all), maxUnreadable)] {
		u.First = append(u.First, UnreadableKey{clip(one.Key), errText(one.Err)})
	}
	s.set(func(t *Status) { t.Unreadable = u })
}

// ObserveNode is part of hooks.Observer.
func (s *State) ObserveNode(n hooks.NodeStatus) {
	s.set(func(t *Status) {
		if t.Node.State != n.Phase {
			t.Node.State, t.Node.Since = n.Phase, time.Now()
		}
		t.Node.Error, t.Node.NextTry = errText(n.Err), n.NextTry
		t.Node.Networks, t.Node.Paths, t.Node.Interface = n.Node.Networks, paths(n.Node.Lease), n.Node.Interface
	})
}

// ObservePeer is part of hooks.Observer.
func (s *State) ObservePeer(p hooks.PeerStatus) {
	peer := Peer{
		Paths: paths(p.Lease), NodeID: clip(p.Lease.NodeID),
		State: p.State, Since: p.Since, Error: errText(p.Err), Failures: p.Attempts, NextTry: p.NextTry,
	}
	if p.Last.Hook != "" {
		run := hookRun(p.Last)
		peer.LastHook = &run
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p.Lease.String()] = peer
}

// ObserveGone is part of hooks.Observer.
func (s *State) ObserveGone(peer lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, peer.String())
}

// ObserveHook is part of hooks.Observer.
func (s *State) ObserveHook(r hooks.HookRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	use := s.hooks[r.Hook]
	use.Hook, use.Last = r.Hook, hookRun(r)
	use.Runs++
	if r.Err != nil {
		use.Failures++
	}
	s.hooks[r.Hook] = use
}

// Snapshot returns how the daemon stands. What it returns is the caller's, to read.
func (s *State) Snapshot() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Hooks = slices.AppendSeq([]HookUse{}, maps.Values(s.hooks))
	slices.SortFunc(status.Hooks, func(a, b HookUse) int { return cmp.Compare(a.Hook, b.Hook) })
	status.Peers = slices.AppendSeq([]Peer{}, maps.Values(s.peers))
	slices.SortFunc(status.Peers, func(a, b Peer) int {
		return slices.CompareFunc(a.Paths, b.Paths, func(a, b Path) int { return a.Subnet.Compare(b.Subnet) })
	})
	return status
}

func (s *State) set(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

// paths is what a lease says of each family, be it only the public address.
func paths(l lease.Lease) []Path {
	all := []Path{}
	for _, p := range [...]lease.Path{l.V4, l.V6} {
		if p.Subnet.IsValid() || p.PublicIP.IsValid() {
			all = append(all, Path{p.Subnet, p.PublicIP})
		}
	}
	return all
}

func hookRun(r hooks.HookRun) HookRun {
	return HookRun{
		Hook: r.Hook, Scope: r.Scope, Reason: r.Reason,
		Started: r.Started, Took: r.Took.Seconds(), Error: errText(r.Err),
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return clip(err.Error())
}

// clip cuts a text that others had a part in, and makes it valid UTF-8.
func clip(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
