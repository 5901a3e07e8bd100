package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

// The scopes of a detour: its links, and its peers with the routes there.
const (
	detourScope = "detour"
	waysScope   = "detour's ways"
)

func isDetour(scope string) bool { return scope == detourScope || scope == waysScope }

const (
	detourPause = 100 * time.Millisecond // between two looks at what is to be done
	// meetingTime is how long the others have to come to the detour: longer than WireGuard takes to try three times more.
	meetingTime = 20 * time.Second
	// meetingPause is how often a peer is greeted that has not answered.
	meetingPause = 5 * time.Second
	// turnOffSteps are for how many looks all of the others have been on the detour when the key changes. They send by it by then, and what
	// was on its way by the node's own links is there. On a machine that is busy, which is slow in all of this, a look takes longer.
	turnOffSteps = 10
	// helpTime is how long a peer may take for a new key before the others take it for dead.
	helpTime = 2 * time.Minute
	// returnTime is how long they have to be back from the detour.
	returnTime = time.Minute
	// leaveSteps are for how many looks the detour stays after the last node that needed it. Others may be slower to leave it.
	leaveSteps = 50
)

// A detour is what packets pass through while this node, or another, gets a new WireGuard key: a second link beside the node's own, for
// as long as that takes. No packet has to wait then, nor is any lost, since both ends read what comes by either way.
//
// A node that is to get a new key makes the detour with that key, and tells of it in its lease, beside the key that it has. Each
// of the others makes one as well, with the key that it has, and greets the first on it. Whoever has shaken hands there sends
// by the detour. Then the node takes the key for its own links and tells so. Whoever has shaken hands under it on the node's
// own links sends by these again. At last the lease tells of no next key, and the detours go.
//
// With who does not come to the detour, as flannel's nodes do not, hands are shaken under the new key as rekey says. Several nodes that
// start in the same moment are at it together. One that is on another's detour waits until that is gone.
type detour struct {
	*planned
	plan wireguard.Plan
	path string // of the key

	mu       sync.Mutex
	key      *kernel.Secret       // of the detour's links, nil when there are none
	public   kernel.PublicKey     // likewise
	own      kernel.PublicKey     // the key that this node gets, and tells as its next; zero for none
	taken    bool                 // it is the key of this node's own links, or is about to be
	since    time.Time            // when it was told, then when it was taken
	together int                  // for how many steps all peers have been on the detour
	pending  time.Time            // since when a key waits to be taken up
	unneeded int                  // for how many steps nobody gets a new key
	failed   time.Time            // when the detour could not be made
	ways     map[string]*detoured // peers that are wanted on the detour, by scope
	changed  bool                 // the kernel does not have it so
}

// A detoured is a peer on the detour.
type detoured struct {
	lease   *lease.Lease
	peers   []kernel.Peer
	routes  []kernel.Object
	greeted time.Time
	used    bool // packets to it go by the detour
}

// run steps until the context ends.
func (d *detour) run(ctx context.Context, tell func([]string)) error {
	for said := ""; ; {
		err := d.step(ctx, tell)
		if err == nil {
			said = ""
		} else if ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			d.log.Warn("detour for new WireGuard keys is not as it should be", "err", err)
		}
		if err := sleep.For(ctx, detourPause); err != nil {
			return err
		}
	}
}

// step does what there is to be done, given which keys this node and the others get.
func (d *detour) step(ctx context.Context, tell func([]string)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, err := wireguard.Pending(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	waits := err == nil && d.own == kernel.PublicKey{}
	if !waits {
		d.pending = time.Time{}
	} else if d.pending.IsZero() {
		d.pending = time.Now()
	}
	others := len(d.heard()) > 0
	switch {
	case d.key == nil && len(d.set.scopes.Owned(detourScope)) > 0: // of an earlier life
		return d.leave(ctx)
	case d.key == nil && waits:
		return d.start(ctx, next, tell)
	case waits && time.Since(d.pending) > returnTime: // others are at it all the time
		return d.take(tell)
	case d.key == nil && others:
		return d.help(ctx)
	case d.key == nil:
		return nil
	}
	if err := d.lead(ctx); err != nil {
		return err
	}
	if d.own != (kernel.PublicKey{}) {
		return d.proceed(tell)
	}
	if others {
		d.unneeded = 0
		return nil
	}
	return d.leave(ctx)
}

// start makes the detour with the key that this node is to get, and tells of it. Without a detour the key is taken at once.
func (d *detour) start(ctx context.Context, next kernel.Secret, tell func([]string)) error {
	if err := d.makeLinks(ctx, next); err != nil {
		d.log.Warn("WireGuard key is replaced without a detour: packets wait meanwhile, 128 for each peer", "err", err)
		return d.take(tell)
	}
	d.log.Info("WireGuard key is being replaced", "next", d.public)
	d.own, d.taken, d.since, d.together = d.public, false, time.Now(), 0
	err := d.lead(ctx)
	tell([]string{hooks.NodeNews})
	return err
}

// help makes the detour for others that get a new key.
func (d *detour) help(ctx context.Context) error {
	if time.Since(d.failed) < returnTime {
		return nil
	}
	key, err := d.plan.Key()
	if err == nil {
		err = d.makeLinks(ctx, key.Private)
	}
	if err != nil {
		d.failed = time.Now()
		return fmt.Errorf("make detour for others' keys: %w", err)
	}
	return d.lead(ctx)
}

// makeLinks makes the detour's links.
func (d *detour) makeLinks(ctx context.Context, key kernel.Secret) error {
	objects, err := d.plan.Detour(d.lastNode(ctx), key)
	if err != nil {
		return err
	}
	err = d.inScope(ctx, detourScope, func(a *application) error {
		if err := a.apply(ctx, objects); err != nil {
			return err
		}
		return d.loosen(ctx, a)
	})
	if err != nil {
		return err
	}
	d.key, d.public, d.unneeded = &key, devicesOf(objects)[0].PublicKey, 0
	d.ways = map[string]*detoured{}
	return nil
}

// loosen has the kernel take packets by either way where it would take them by that alone which leads to their senders.
func (d *detour) loosen(ctx context.Context, a *application) error {
	strictest := func(link string) (most string) {
		for _, name := range []string{"all", link} {
			list, err := a.run.List(ctx, kernel.Sysctl{Name: "net/ipv4/conf/" + name + "/rp_filter"})
			if err == nil && len(list) > 0 {
				most = max(most, list[0].(kernel.Sysctl).Value)
			}
		}
		return most
	}
	for _, link := range d.plan.Loosened() {
		if strictest(link) != "1" {
			continue
		}
		loose := kernel.Sysctl{Name: "net/ipv4/conf/" + link + "/rp_filter", Value: "2"}
		if err := a.run.Do(ctx, kernel.Op{Verb: kernel.Set, Object: loose}); err != nil {
			return err
		}
	}
	return nil
}

// leave takes all packets off the detour, and deletes it a while later.
func (d *detour) leave(ctx context.Context) error {
	d.unneeded++
	if d.key == nil {
		if err := d.set.scopes.Begin(waysScope).Clear(ctx); err != nil {
			return err
		}
	}
	if d.unneeded < leaveSteps {
		return nil
	}
	if err := d.set.clearDetour(ctx); err != nil {
		return err
	}
	d.key, d.unneeded, d.ways = nil, 0, nil
	return nil
}

// proceed goes on with the replacement of this node's key when the peers have come as far.
func (d *detour) proceed(tell func([]string)) error {
	away, back := 0, 0 // peers that are not on the detour, and those that are
	for _, way := range d.ways {
		if way.used {
			back++
		} else {
			away++
		}
	}
	if d.together++; away > 0 {
		d.together = 0
	}
	waited := time.Since(d.since)
	switch {
	case !d.taken && (d.together > turnOffSteps || waited > meetingTime):
		if away > 0 {
			d.log.Warn("some peers did not come to the detour: packets to them wait for the new key, 128 for each", "peers", away)
		}
		return d.take(tell)
	case d.isOwn() && (back == 0 || waited > returnTime):
		if back > 0 {
			d.log.Warn("some peers have not answered under the new WireGuard key", "peers", back)
		}
		d.log.Info("WireGuard key is replaced", "took", time.Since(d.since))
		d.own = kernel.PublicKey{}
		tell([]string{hooks.NodeNews})
	}
	return nil
}

// take makes the pending key that of the node, unless somebody has deleted it.
func (d *detour) take(tell func([]string)) error {
	if err := wireguard.TakeUp(d.path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			d.own = kernel.PublicKey{}
			tell([]string{hooks.NodeNews})
		}
		return err
	}
	d.taken, d.since = true, time.Now()
	tell([]string{hooks.NodeNews})
	return nil
}

// announced is the key that the lease is to tell as the node's next.
func (d *detour) announced() kernel.PublicKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.own
}

// takeUp makes a key that waits that of the node at once where there are no links yet that it could be in use on.
func (b *planned) takeUp(n *native.Node) error {
	if b.detour == nil || b.set.rehearsal != nil {
		return nil
	}
	for _, d := range b.devices(n) {
		if _, there := n.Links[d.Name]; there {
			return nil
		}
	}
	if err := wireguard.TakeUp(b.detour.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// data is what the others are told of this node.
func (b *planned) data(n *native.Node) (hooks.Data, error) {
	if b.detour == nil {
		return b.plan.Data(n)
	}
	p := b.detour.plan
	p.Next = b.detour.announced()
	return p.Data(n)
}
