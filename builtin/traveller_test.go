package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// shaking is a Fake on which hands are shaken with peers, by what their keys begin with.
type shaking struct {
	*kernel.Fake
	at map[string]time.Time
}

func (s *shaking) List(ctx context.Context, like kernel.Object) ([]kernel.Object, error) {
	list, err := s.Fake.List(ctx, like)
	for i, o := range list {
		if p, ok := o.(kernel.Peer); ok {
			p.Handshake = s.at[p.Key()]
			list[i] = p
		}
	}
	return list, err
}

// shake shakes hands with all peers on the device.
func (s *shaking) shake(t *testing.T, dev string) {
	t.Helper()
	time.Sleep(time.Millisecond)
	list, err := s.Fake.List(t.Context(), kernel.Peer{Dev: dev})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		s.at[o.Key()] = time.Now()
	}
}

// A traveller is a host of type wireguard with peers whose daemon calls hooks as it should.
type traveller struct {
	*host
	*shaking
	peers []lease.Lease
	data  struct {
		PublicKey string
		Next      *struct {
			PublicKey string
			Port      int
		}
	}
}

func newTraveller(t *testing.T, keys string, peers ...lease.Lease) *traveller {
	t.Helper()
	h := newHost(t, nativetest.Dual)
	r := &traveller{host: h, shaking: &shaking{h.kernel.(*kernel.Fake), map[string]time.Time{}}, peers: peers}
	h.kernel = r.shaking
	r.begin(keys)
	return r
}

// begin begins another life of the daemon.
func (r *traveller) begin(keys string) {
	r.t.Helper()
	r.data.Next = nil
	r.must(r.start("wireguard", keys))
	r.must(json.Unmarshal(r.host.data.V4, &r.data))
	for _, p := range r.peers {
		r.must(r.add(p))
	}
}

// step is a step of the detour, and what the daemon does when it is told of news.
func (r *traveller) step() {
	r.t.Helper()
	if r.try() > 0 {
		r.t.Fatal("the step failed")
	}
}

// try is step, and counts failures.
func (r *traveller) try() (failed int) {
	r.t.Helper()
	news := 0
	time.Sleep(detourPause)
	if err := r.backend.(*planned).detour.step(r.t.Context(), func([]string) { news++ }); err != nil {
		r.t.Log(err)
		failed++
	}
	if news == 0 {
		return failed
	}
	r.data.Next = nil
	call := r.call
	call.Reason = hooks.Repair
	data, err := r.backend.PreStartup(r.t.Context(), call)
	r.must(err)
	r.must(json.Unmarshal(data.V4, &r.data))
	r.must(r.backend.PostStartup(r.t.Context(), call))
	var peers []*lease.Lease
	for _, p := range r.peers {
		peers = append(peers, &p)
	}
	r.must(errors.Join(r.backend.Sync(r.t.Context(), call, peers)...))
	return failed
}

// change has the peer tell something else.
func (r *traveller) change(i int, to lease.Lease) {
	r.t.Helper()
	call := r.call
	call.Reason = hooks.Change
	r.peers[i] = to
	r.must(r.backend.SubnetAdd(r.t.Context(), call, to))
}

func (r *traveller) rotate() string {
	r.t.Helper()
	key, err := wireguard.Rotate(r.keyPath())
	r.must(err)
	return key.String()
}

func (r *traveller) keyPath() string { return filepath.Join(r.dir, wireguard.KeyName) }

// wants fails the test unless the kernel has so many routes by the detour and so many of its links, and the node tells these keys.
func (r *traveller) wants(when string, links, routes int, key, next string) {
	r.t.Helper()
	told := ""
	if r.data.Next != nil {
		told = r.data.Next.PublicKey
	}
	text := r.String()
	hasLinks, hasRoutes := strings.Count(text, "ip link add flannel-wg-x"), 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "ip route add") && strings.Contains(line, " dev flannel-wg-x") {
			hasRoutes++
		}
	}
	if hasLinks != links || hasRoutes != routes || r.data.PublicKey != key || told != next {
		r.t.Fatalf("%s it has %d links and %d routes, want %d and %d; it tells %s and %s, want %s and %s\n%s", when, hasLinks, hasRoutes,
			links, routes, r.data.PublicKey, told, key, next, text)
	}
}

// withNext is the peer with a next key as well.
func withNext(n, make, next int) lease.Lease {
	text := func(k int) string { return kernel.PublicKey{byte(k), byte(n)}.String() }
	data := `{"PublicKey":"` + text(make) + `","Port":4444,"Next":{"PublicKey":"` + text(next) + `","Port":5555}}`
	return nativetest.Dual.Lease("wireguard", n, data, data)
}
