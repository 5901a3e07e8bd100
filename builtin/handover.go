package builtin

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/sleep"
)

// aside begins the names of the scopes that own what the backend of an earlier network config has made, for as long as packets
// may go through it.
const aside = "before "

const (
	// peerPatience is how long a peer has to be added before what led to it earlier is deleted: its node was about to follow
	// the change when it said so in its lease, and sends by the earlier way until it has.
	peerPatience = 5 * time.Second
	// nodePatience is how long after the last peer what the node needed for the earlier way goes. Peers that were slower may
	// still send to it.
	nodePatience = 5 * time.Second
	asidePause   = 100 * time.Millisecond // between two looks at what can be deleted
)

func isAside(scope string) bool { return strings.HasPrefix(scope, aside) }

// SetAside leaves all that scopes own in place, for the native backend that is started next: it deletes what leads to a peer
// when it has another way to it, and what the node needed for that at last. What the new one needs the place of goes at once.
func (s *Set) SetAside() error {
	s.noneAside.Store(false)
	var errs []error
	for _, name := range s.scopes.Names() {
		if isAside(name) || isDetour(name) { // a detour is over
			continue
		}
		for _, o := range s.scopes.Owned(name) {
			errs = append(errs, s.scopes.Give(o, aside+name))
		}
	}
	return errors.Join(errs...)
}

// asideNames are the scopes that were set aside, the node's last.
func (s *Set) asideNames() []string {
	names := slices.DeleteFunc(s.scopes.Names(), func(name string) bool { return !isAside(name) || name == aside+hooks.NodeScope })
	if len(s.scopes.Owned(aside+hooks.NodeScope)) > 0 {
		names = append(names, aside+hooks.NodeScope)
	}
	s.noneAside.Store(len(names) == 0)
	return names
}

// clearAside deletes all that was set aside.
func (s *Set) clearAside(ctx context.Context) error {
	var errs []error
	for _, name := range s.asideNames() {
		errs = append(errs, s.scopes.Begin(name).Clear(ctx))
	}
	return errors.Join(errs...)
}

// meetPeers makes the links before the lease tells of them: peers that have made theirs already send as soon as they read it.
func (b *planned) meetPeers(ctx context.Context, node *native.Node) error {
	links, err := b.plan.Links(node)
	if err != nil {
		return err
	}
	if err := b.makeWay(ctx, links); err != nil {
		return err
	}
	a := &application{b, hooks.NodeScope, b.set.scopes.Begin(hooks.NodeScope)}
	if err := a.apply(ctx, links); err != nil {
		return b.giveWay(ctx, a.undo(ctx, err))
	}
	a.run.Keep() // PostStartup sweeps
	return nil
}

// giveWay deletes what was set aside when an error says that something is in the way, such as a port, and a link of it may be
// that. The next try finds the way clear, then.
func (b *planned) giveWay(ctx context.Context, err error) error {
	isLink := func(o kernel.Object) bool { _, link := o.(kernel.Link); return link }
	if !errors.Is(err, fs.ErrExist) || !slices.ContainsFunc(b.set.scopes.Owned(aside+hooks.NodeScope), isLink) {
		return err
	}
	return errors.Join(err, b.set.clearAside(ctx))
}

// makeWay deletes what was set aside when it has what the wanted links need: a VNI on its port, or WireGuard's ports.
func (b *planned) makeWay(ctx context.Context, wanted []kernel.Object) error {
	for _, o := range b.set.scopes.Owned(aside + hooks.NodeScope) {
		if l, ok := o.(kernel.Link); ok && !has(wanted, l) && slices.ContainsFunc(wanted, inTheWayOf(l)) {
			b.log.Info("the earlier link gives way before its peers are reached another way", "link", l.Name)
			return b.set.clearAside(ctx)
		}
	}
	return nil
}

// inTheWayOf returns what reports whether an object needs something that the link has.
func inTheWayOf(l kernel.Link) func(kernel.Object) bool {
	return func(o kernel.Object) bool {
		want, ok := o.(kernel.Link)
		if !ok || want.Kind != l.Kind {
			return false
		}
		return want.VXLAN == nil || l.VXLAN == nil || want.VXLAN.ID == l.VXLAN.ID && want.VXLAN.Port == l.VXLAN.Port
	}
}

// retire deletes what was set aside as soon as nobody needs it, and returns when nothing of it is left.
func (b *planned) retire(ctx context.Context) error {
	for alone := time.Now(); ; { // since when no peer needs what the node has
		names := b.set.asideNames()
		if len(names) == 0 {
			return nil
		}
		var err error
		if names[0] != aside+hooks.NodeScope {
			alone = time.Now()
			err = b.retirePeers(ctx, names)
		} else if time.Since(alone) > nodePatience {
			b.log.Info("what an earlier network config made is removed")
			err = b.set.clearAside(ctx)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("what an earlier network config made could not be removed", "err", err)
		}
		if err := sleep.For(ctx, asidePause); err != nil {
			return err
		}
	}
}

func (b *planned) retirePeers(ctx context.Context, names []string) error {
	shaken, err := b.handshakes(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == aside+hooks.NodeScope || !b.isReached(strings.TrimPrefix(name, aside), shaken) {
			continue
		}
		if err := b.set.scopes.Begin(name).Clear(ctx); err != nil {
			return err
		}
	}
	return nil
}

// isReached reports whether the peer that has some of the subnets has been added for long enough, and answers where it can be
// known.
func (b *planned) isReached(subnets string, shaken map[string]time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for scope, peer := range b.live {
		if !shareSubnet(scope, subnets) {
			continue
		}
		waits := func(o kernel.Object) bool {
			_, wireguard := o.(kernel.Peer)
			return wireguard && shaken[o.Key()].IsZero()
		}
		return time.Since(peer.since) > peerPatience && !slices.ContainsFunc(b.set.scopes.Owned(scope), waits)
	}
	return false
}

// shareSubnet reports whether one subnet is in both lists.
func shareSubnet(a, b string) bool {
	all := strings.Split(a, ",")
	return slices.ContainsFunc(strings.Split(b, ","), func(s string) bool { return slices.Contains(all, s) })
}
