package builtin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/sleep"
)

// keyInterval is how often a plan is asked whether the node has another private key.
const keyInterval = 500 * time.Millisecond

// devices are the WireGuard devices of the plan, with the key that the node has now.
func (b *planned) devices(n *native.Node) []kernel.Device {
	objects, err := b.plan.Links(n)
	if err != nil {
		b.log.Debug("the node's key is not known", "err", err) // its hooks will say so
	}
	return devicesOf(objects)
}

func devicesOf(objects []kernel.Object) (devices []kernel.Device) {
	for _, o := range objects {
		if d, ok := o.(kernel.Device); ok {
			devices = append(devices, d)
		}
	}
	return devices
}

// followKey tells of the node when its key is another one than its peers are told.
func (b *planned) followKey(ctx context.Context, tell func([]string)) error {
	b.mu.Lock()
	last := b.public
	b.mu.Unlock()
	for {
		if now := b.devices(b.lastNode(ctx)); len(now) > 0 && now[0].PublicKey != last {
			b.log.Info("the node has another WireGuard key")
			last = now[0].PublicKey
			tell([]string{hooks.NodeNews})
		}
		if err := sleep.For(ctx, keyInterval); err != nil {
			return err
		}
	}
}

// noteKey notes the key that the peers are about to be told.
func (b *planned) noteKey(n *native.Node) {
	devices := b.devices(n)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.public = kernel.PublicKey{}
	for _, d := range devices {
		b.public = d.PublicKey
	}
}

// rekey gives the node's WireGuard devices the key that it has now, before the others are told. They send the first packet under
// it: one that came before its device knew of it would be lost, and the next only tried after 5 s.
//
// What the others send under the old key is still read. What this node sends to them waits, up to 128 packets for each, until they
// greet the new key. So all that can be done before is. The device tries each of them under the new key, in vain: WireGuard then keeps
// quiet for 5 s, in which they greet it.
func (b *planned) rekey(ctx context.Context) error {
	var keys, peers []kernel.Op
	for _, d := range b.devices(b.lastNode(ctx)) {
		list, err := b.set.kernel.List(ctx, kernel.Device{Name: d.Name})
		if err != nil {
			return err
		}
		if len(list) == 0 || list[0].(kernel.Device).PublicKey == d.PublicKey {
			continue
		}
		if list, err = b.set.kernel.List(ctx, kernel.Peer{Dev: d.Name}); err != nil {
			return err
		}
		keys = append(keys, kernel.Op{Verb: kernel.Set, Object: kernel.Device{Name: d.Name, PrivateKey: d.PrivateKey}})
		for _, o := range list {
			peers = append(peers, hush(o.(kernel.Peer), *d.ListenPort)...)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	b.mu.Lock()
	b.rekeyed = time.Now()
	b.mu.Unlock()
	run := b.set.scopes.Begin(hooks.NodeScope)
	defer run.Keep()
	return errors.Join(run.Do(ctx, keys...), errors.Join(b.set.kernel.Batch(ctx, slices.Values(peers))...))
}

// isRekeyed reports whether this node got another key a moment ago.
func (b *planned) isRekeyed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.rekeyed) < greetingWait
}
