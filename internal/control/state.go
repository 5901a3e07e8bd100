package control

import (
	"cmp"
	"context"
	"fmt"
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
	Version string     // of the program
	NodeID  string     // this node's identity
	Etcd    EtcdAccess // how the daemon reaches etcd

	// Effects returns what was made for the scope, hooks.NodeScope or a peer's subnets. nil where nobody knows.
	Effects func(ctx context.Context, scope string) ([]Effect, error)

	// Record returns what etcd holds of the lease with that subnet, the zero Record if nothing. nil where nobody knows.
	Record func(ctx context.Context, subnet netip.Prefix) (Record, error)
}

// A State is how the daemon stands now, and what has happened to it. Its methods may be called concurrently and do not block.
type State struct {
	events  events
	metrics *metrics
	facts   Facts

	mu      sync.Mutex
	status  Status // but for what is below, and Health
	own     lease.Lease
	hooks   map[hooks.Hook]HookUse
	chosen  [2]string                   // the external interface and why, as said last
	peers   map[string]hooks.PeerStatus // by subnets
	wanted  map[string]time.Time        // since when peers are new or changed, by subnets
	reached map[string]reach            // how peers answer, by subnets
	output  map[string]HookEntry        // what was reported of runs that ObserveHook has not told of yet, by scope
	reports bool                        // whether runs are reported
	hookLog
	readiness
}

var _ hooks.Observer = (*State)(nil)

// NewState returns the state of a daemon that starts now, in this process.
func NewState(f Facts) *State {
	s := &State{
		facts: f,
		status: Status{
			Version: statusVersion,
			Daemon:  Daemon{Version: f.Version, PID: os.Getpid(), Started: time.Now(), NodeID: f.NodeID},
			Node:    Node{Networks: []netip.Prefix{}, Paths: []Path{}},
			Etcd:    Etcd{Endpoints: append([]string{}, f.Etcd.Endpoints...), Prefix: f.Etcd.Prefix},
		},
		hooks:  make(map[hooks.Hook]HookUse),
		peers:  make(map[string]hooks.PeerStatus),
		wanted: make(map[string]time.Time), reached: make(map[string]reach),
		output: make(map[string]HookEntry),
	}
	s.metrics = newMetrics(s)
	return s
}

// Configure says which network config the daemon uses from now on, by the type of its backend and etcd's revision. It
// clears the problem.
func (s *State) Configure(backend string, revision int64) {
	s.set(func(t *Status) {
		t.Config, s.reports = Config{Backend: backend, Revision: revision, Canary: t.Config.Canary}, false
	})
	s.tell(Event{Kind: ConfigEvent, Text: fmt.Sprintf("revision %d in use, backend %s", revision, backend)})
}

// Backend is the Backend.Type of the network config in use, "" for none.
func (s *State) Backend() (backend string) {
	s.set(func(t *Status) { backend = t.Config.Backend })
	return backend
}

// SetRevision says under which revision etcd holds the network config in use.
func (s *State) SetRevision(revision int64) { s.set(func(t *Status) { t.Config.Revision = revision }) }

// SetProblem says what is wrong with the network config in etcd, "" for nothing.
func (s *State) SetProblem(text string) {
	var before string
	s.set(func(t *Status) { before, t.Config.Problem = t.Config.Problem, clip(text) })
	if text != "" && clip(text) != before {
		s.tell(Event{Kind: ConfigEvent, Text: text})
	}
}

// SetCanary says how the node stands to a config of a staged roll-out, since now if that is news, or nil where it has no part in one.
func (s *State) SetCanary(c *Canary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.status.Config.Canary
	if c == nil {
		s.status.Config.Canary = nil
		return
	}
	now := Canary{c.Revision, c.State, time.Now(), clip(c.Error)}
	if before != nil && before.Revision == now.Revision && before.State == now.State {
		now.Since = before.Since
	} else {
		s.tell(Event{Kind: ConfigEvent, Text: "this node " + now.String()})
	}
	s.status.Config.Canary = &now
}

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
func (s *State) SetEtcd(err error) {
	var before string
	s.set(func(t *Status) { before, t.Etcd.Problem = t.Etcd.Problem, errText(err) })
	switch {
	case err != nil && before == "":
		s.tell(Event{Kind: EtcdEvent, Text: "does not answer", Error: errText(err)})
	case err == nil && before != "":
		s.tell(Event{Kind: EtcdEvent, Text: "answers again"})
	}
}

// SetWireGuard says where WireGuard devices run: "kernel", "userspace", or "" without any.
func (s *State) SetWireGuard(where string) {
	s.set(func(t *Status) { t.Node.WireGuard = where })
}

// SetUnreadable says what stands among the leases and is none.
func (s *State) SetUnreadable(all []lease.Unreadable) {
	u := Unreadable{Count: len(all)}
	for _, one := range all[:min(len(all), maxUnreadable)] {
		u.First = append(u.First, UnreadableKey{clip(one.Key), errText(one.Err)})
	}
	var before int
	s.set(func(t *Status) { before, t.Unreadable = t.Unreadable.Count, u })
	if before != u.Count {
		s.tell(Event{Kind: LeaseEvent, Text: fmt.Sprintf("unreadable keys among the leases: %d", u.Count)})
	}
}

// tell remembers an event, and has it followed by those who do.
func (s *State) tell(e Event) {
	e.Subject, e.Text = clip(e.Subject), clip(e.Text)
	s.events.add(e)
}

// ObserveNode is part of hooks.Observer.
func (s *State) ObserveNode(n hooks.NodeStatus) {
	s.set(func(t *Status) {
		if t.Node.State != n.Phase || errText(n.Err) != t.Node.Error {
			s.tell(Event{Kind: NodeEvent, Subject: hooks.NodeScope, Text: string(n.Phase), Error: errText(n.Err)})
		}
		if t.Node.State != n.Phase {
			t.Node.State, t.Node.Since = n.Phase, time.Now()
		}
		s.readiness.phase(n.Phase, time.Now())
		t.Node.Error, t.Node.NextTry = errText(n.Err), n.NextTry
		s.own = n.Node.Lease
		t.Node.Networks, t.Node.Paths, t.Node.Interface = n.Node.Networks, ownPaths(s.own), n.Node.Interface
	})
}

// ObservePeer is part of hooks.Observer.
func (s *State) ObservePeer(p hooks.PeerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subnets := p.Lease.String()
	was := s.peers[subnets]
	s.peers[subnets] = p
	if was.State != p.State {
		s.changed(subnets, was.State, p)
	}
}

// changed takes in that a peer's state is another than it was, "" for a new one.
func (s *State) changed(subnets string, was hooks.PeerState, p hooks.PeerStatus) {
	s.tell(Event{Kind: PeerEvent, Subject: subnets, Text: string(p.State), Error: errText(p.Err)})
	switch p.State {
	case hooks.PeerPending:
		s.wanted[subnets] = time.Now()
		delete(s.reached, subnets)
	case hooks.PeerUp:
		if since, ok := s.wanted[subnets]; ok {
			s.metrics.apply.Observe(time.Since(since).Seconds())
			delete(s.wanted, subnets)
			if len(s.wanted) == 0 {
				s.wanted = make(map[string]time.Time) // one that had many stays large
			}
		}
	}
	s.readiness.peer(was, p.State)
	s.settle()
}

// settle takes in that the node may have become ready.
func (s *State) settle() {
	if s.readiness.settle() {
		s.metrics.settled(time.Since(s.status.Daemon.Started))
		s.tell(Event{Kind: NodeEvent, Subject: hooks.NodeScope, Text: "ready"})
	}
}

// ObserveListed is part of hooks.Observer.
func (s *State) ObserveListed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readiness.listed = true
	s.settle()
}

// ObserveTurn is part of hooks.Observer.
func (s *State) ObserveTurn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readiness.turned = time.Now()
}

// ObserveGone is part of hooks.Observer.
func (s *State) ObserveGone(peer lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	subnets := peer.String()
	if was, ok := s.peers[subnets]; ok {
		s.readiness.peer(was.State, "")
		s.tell(Event{Kind: PeerEvent, Subject: subnets, Text: "gone"})
	}
	delete(s.peers, subnets)
	delete(s.wanted, subnets)
	delete(s.reached, subnets)
	s.settle()
}

// ObserveHook is part of hooks.Observer.
func (s *State) ObserveHook(r hooks.HookRun) {
	s.metrics.hook(r)
	s.tell(Event{
		Kind: HookEvent, Subject: r.Scope, Error: errText(r.Err),
		Text: fmt.Sprintf("%s ran for reason %s in %s", r.Hook, r.Reason, Duration(r.Took.Seconds())),
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.output[r.Scope]
	delete(s.output, r.Scope)
	entry.HookRun = hookRun(r)
	s.hookLog.add(entry)
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
	status.Peers = make([]Peer, 0, len(s.peers))
	for name, p := range s.peers {
		status.Peers = append(status.Peers, s.peer(p).withReach(s.reached[name]))
	}
	slices.SortFunc(status.Peers, func(a, b Peer) int {
		return slices.CompareFunc(a.Paths, b.Paths, func(a, b Path) int { return a.Subnet.Compare(b.Subnet) })
	})
	status.Health = s.readiness.health(status, status.census(), time.Now())
	return status
}

// outline is Snapshot without hooks and peers, which are counted: they may be many.
func (s *State) outline() (Status, census) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	peers := census{}
	for name, p := range s.peers {
		if r := s.reached[name]; p.State == hooks.PeerUp && r.unreachable() {
			p.State = hooks.PeerUnreachable
		}
		peers[p.State]++
	}
	status.Health = s.readiness.health(status, peers, time.Now())
	return status, peers
}

// peer is what a Status says of a peer.
func (s *State) peer(p hooks.PeerStatus) Peer {
	peer := Peer{
		Paths: paths(*p.Lease, s.own), AlsoAt: otherAddresses(*p.Lease, s.own), NodeID: clip(p.Lease.NodeID),
		State: p.State, Since: p.Since, Error: errText(p.Err), Failures: p.Attempts, NextTry: p.NextTry,
	}
	if p.Last.Hook != "" {
		run := hookRun(p.Last)
		peer.LastHook = &run
	}
	return peer
}

func (s *State) set(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

// paths are a lease's subnets, and where this node reaches them.
func paths(l, own lease.Lease) []Path {
	all := []Path{}
	for _, p := range l.Reached(own) {
		all = append(all, Path{p.Subnet, p.PublicIP})
	}
	return all
}

// ownPaths are this node's subnets, and all its public addresses.
func ownPaths(own lease.Lease) []Path {
	return Peer{Paths: paths(own, own), AlsoAt: otherAddresses(own, own)}.Names()
}

// otherAddresses are a lease's public addresses besides those of its paths.
func otherAddresses(l, own lease.Lease) (others []netip.Addr) {
	reached := l.Reached(own)
	for _, a := range [...]netip.Addr{l.V4.PublicIP, l.V6.PublicIP} {
		if a.IsValid() && !slices.ContainsFunc(reached, func(p lease.Path) bool { return p.PublicIP == a }) {
			others = append(others, a)
		}
	}
	return others
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
func clip(text string) string { return clipTo(maxText, text) }

func clipTo(most int, text string) string {
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
