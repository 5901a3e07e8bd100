package builtin

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/sleep"
)

// A WireGuard peer that is added is greeted: sent a packet, so that there is a session before anybody wants to use it. Of two
// nodes that learn of each other at the same time only one must do so at once. A greeting that comes before its sender is known
// is lost, and WireGuard tries again only after 5 s. Two that meet leave WireGuard in userspace without a session for 5 s, or, where it
// handles a greeting and an answer at once, with one that works in one direction for 15 s. So the other waits a moment, and greets if
// nothing came.
const (
	greetingWait  = time.Second
	greetingPause = 250 * time.Millisecond // between two looks for who was not greeted
	greetingOver  = 10 * time.Second       // WireGuard does it by itself from here on
)

// greeted is the peer as it has to be for a moment to be sent a packet.
func greeted(o kernel.Peer) kernel.Peer {
	interval := time.Second
	o.Keepalive = &interval // one that was off before sends the first packet immediately
	return o
}

// nudge has a peer that is there sent a packet, and changes nothing.
func nudge(o kernel.Peer) (ops []kernel.Op) {
	off, on := time.Duration(0), time.Second
	intervals := []*time.Duration{&on, &off}
	if o.Keepalive != nil && *o.Keepalive > 0 {
		intervals = []*time.Duration{&off, o.Keepalive}
	}
	for _, interval := range intervals { // one that was off before sends a packet at once
		ops = append(ops, kernel.Op{Verb: kernel.Change, Object: kernel.Peer{Dev: o.Dev, PublicKey: o.PublicKey, Keepalive: interval}})
	}
	return ops
}

// hush has the peer's device try it in vain, so that it does not by itself for 5 s. The packet goes to the port of the device itself,
// which takes it for nobody's. On a busy machine it could wait at the peer until that knows the key, and meet its greeting.
func hush(o kernel.Peer, port int) (ops []kernel.Op) {
	if !o.Endpoint.IsValid() {
		return nudge(o)
	}
	for _, op := range nudge(o) {
		p := op.Object.(kernel.Peer)
		p.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		ops = append(ops, kernel.Op{Verb: op.Verb, Object: p})
	}
	return append(ops, kernel.Op{Verb: kernel.Change, Object: kernel.Peer{Dev: o.Dev, PublicKey: o.PublicKey, Endpoint: o.Endpoint}})
}

// bare is the peer as it has to be first when it takes over another's prefixes: WireGuard in userspace makes a peer, gives it its
// prefixes and starts it, and loses packets that come before the last of these.
func bare(o kernel.Peer) kernel.Peer {
	o.AllowedIPs, o.ReplaceIPs, o.Keepalive = nil, false, nil
	return o
}

// greetsAtOnce reports whether this node is the one to greet the peer of the scope, given why it is added. Who comes back after
// it has lost its sessions does: its peers use theirs until they notice, after 15 s. So does who hears that a peer has another key,
// since that peer does not hear of it, but for two nodes that get another at the same time.
func (b *planned) greetsAtOnce(reason hooks.Reason, scope string, peer kernel.Peer) bool {
	owned := b.set.scopes.Owned(scope)
	switch {
	case reason == hooks.Repair:
		return false
	case reason == hooks.Start && has(owned, peer), reason == hooks.Change && hasOtherKey(owned, peer) && !b.isRekeyed():
		return true
	}
	return b.greetsFirst(peer)
}

// hasOtherKey reports whether one of the objects is a WireGuard peer on the link of this one, which is not among them.
func hasOtherKey(objects []kernel.Object, peer kernel.Peer) bool {
	return !has(objects, peer) && slices.ContainsFunc(objects, func(o kernel.Object) bool {
		other, ok := o.(kernel.Peer)
		return ok && other.Dev == peer.Dev
	})
}

// greetsFirst reports whether of the two nodes this one greets first.
func (b *planned) greetsFirst(peer kernel.Peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Compare(b.public[:], peer.PublicKey[:]) < 0
}

// greet puts before each WireGuard peer what greets it, if this node is the one to do so. One to which packets go by a detour gets its
// prefixes at once: when hands have been shaken with it, it sends.
func (b *planned) greet(reason hooks.Reason, scope string, objects []kernel.Object) (all []kernel.Object) {
	takesOver := reason == hooks.Change && !b.detour.uses(scope)
	for _, o := range objects {
		p, ok := o.(kernel.Peer)
		if ok && takesOver {
			all = append(all, bare(p))
		}
		if ok && b.greetsAtOnce(reason, scope, p) {
			all = append(all, greeted(p))
		}
		all = append(all, o)
	}
	return all
}

// greetLate greets the peers that have not greeted this node, once each, until the context ends.
func (b *planned) greetLate(ctx context.Context) error {
	done := map[string]time.Time{}
	for {
		if err := sleep.For(ctx, greetingPause); err != nil {
			return err
		}
		late := b.latePeers(done)
		if len(late) == 0 {
			continue
		}
		shaken, err := b.handshakes(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("WireGuard peers are not known", "err", err)
		}
		for scope, peers := range late {
			for _, p := range peers {
				if at, there := shaken[p.Key()]; err == nil && there && at.IsZero() && !b.greetsFirst(p) {
					b.log.Debug("peer is greeted", "subnet", scope)
					err = b.set.kernel.Do(ctx, nudge(p)...)
				}
			}
			b.mu.Lock()
			done[scope] = b.live[scope].since
			b.mu.Unlock()
		}
	}
}

// latePeers are the peers that were added a while ago, by scope, but for those that have been looked at since.
func (b *planned) latePeers(done map[string]time.Time) map[string][]kernel.Peer {
	b.mu.Lock()
	var scopes []string
	for scope, peer := range b.live {
		if age := time.Since(peer.since); age > greetingWait && age < greetingOver && done[scope] != peer.since {
			scopes = append(scopes, scope)
		}
	}
	b.mu.Unlock()
	late := map[string][]kernel.Peer{}
	for _, scope := range scopes {
		for _, o := range b.set.scopes.Owned(scope) {
			if p, ok := o.(kernel.Peer); ok {
				late[scope] = append(late[scope], p)
			}
		}
	}
	return late
}
