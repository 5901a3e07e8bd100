package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
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
	news := 0
	time.Sleep(detourPause)
	r.must(r.backend.(*planned).detour.step(r.t.Context(), func([]string) { news++ }))
	if news == 0 {
		return
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

// A node with another key has its peers come to the detour, takes the key when all are there, goes back when all know it, and
// leaves nothing.
func TestANodeGetsAnotherKeyWhilePacketsGoByADetour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", peerOf("wireguard", 7, 1), peerOf("wireguard", 8, 1))
		r.shake(t, "")
		before, old := r.String(), r.data.PublicKey
		next := r.rotate()
		r.wants("at first", 0, 0, old, "")
		r.step()
		r.wants("told", 2, 0, old, next)
		r.step()
		r.shake(t, "flannel-wg-x")
		r.step()
		r.wants("met by one family alone", 2, 0, old, next)
		r.shake(t, "flannel-wg-x6")
		r.step()
		r.wants("met", 2, 4, old, next)
		for range turnOffSteps {
			r.step()
		}
		r.wants("taken", 2, 4, next, next)
		r.shake(t, "flannel-wg")
		r.step()
		r.wants("answered by one family alone", 2, 4, next, next)
		r.shake(t, "flannel-wg-v6")
		r.step()
		r.wants("answered", 2, 0, next, "")
		for range 52 {
			r.step()
		}
		same(t, "in the end", before, r.String())
		if names := filesIn(t, r.dir); names != "ledger wireguard-key" {
			t.Errorf("the state directory has %s", names)
		}
	})
}

func filesIn(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A node goes by the detour to a peer that gets another key, from when they have met there until it knows the key.
func TestANodeGoesByTheDetourOfAPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", peerOf("wireguard", 8, 1), peerOf("wireguard", 7, 1))
		own := r.data.PublicKey
		r.change(1, withNext(7, 1, 2))
		r.step()
		r.wants("told", 2, 0, own, "")
		text := r.String()
		for _, want := range []string{
			"wg set flannel-wg-x peer " + kernel.PublicKey{2, 7}.String() + " endpoint 192.0.2.7:5555 persistent-keepalive 0 allowed-ips 10.50.7.0/24",
			"wg set flannel-wg peer " + kernel.PublicKey{1, 7}.String() + " endpoint 192.0.2.7:4444 persistent-keepalive 0 allowed-ips 10.50.7.0/24",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("there is no %s in\n%s", want, text)
			}
		}
		if strings.Count(text, "wg set flannel-wg-x peer") != 1 {
			t.Errorf("others are on the detour:\n%s", text)
		}
		r.shake(t, "")
		r.step()
		r.wants("met", 2, 2, own, "")
		r.change(1, withNext(7, 2, 2))
		r.step()
		r.wants("given another key", 2, 2, own, "")
		r.shake(t, "")
		r.step()
		r.wants("answered", 2, 0, own, "")
		r.change(1, peerOf("wireguard", 7, 2))
		for range 52 {
			r.step()
		}
		r.wants("in the end", 0, 0, own, "")
	})
}

// When a daemon is killed at any moment, the next one comes to an end with one key, and with nothing left of the detour.
func TestANodeThatIsKilledOnTheDetourGetsItsKeyAllTheSame(t *testing.T) {
	for moment := range turnOffSteps + 8 {
		synctest.Test(t, func(t *testing.T) {
			r := newTraveller(t, "", peerOf("wireguard", 7, 1))
			r.shake(t, "")
			before := r.String()
			next := r.rotate()
			for range moment {
				r.step()
				r.shake(t, "")
			}
			r.begin("")
			for range 200 {
				r.step()
				r.shake(t, "")
			}
			r.wants("in the end", 0, 0, next, "")
			same(t, "in the end", before, r.String())
			if names := filesIn(t, r.dir); names != "ledger wireguard-key" {
				t.Errorf("after %d steps the state directory has %s", moment, names)
			}
		})
	}
}

// Nodes that do not come, as flannel's do not, are not waited for longer than it takes.
func TestNobodyComesToTheDetour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", peerOf("wireguard", 7, 1))
		r.shake(t, "")
		old, next := r.data.PublicKey, r.rotate()
		r.step()
		for began := time.Now(); r.data.PublicKey == old; r.step() {
			if time.Since(began) > 2*meetingTime {
				t.Fatal("it waits")
			}
			r.wants("while nobody comes", 2, 0, old, next)
		}
		for range 60 {
			r.step()
		}
		r.wants("in the end", 0, 0, next, "")
	})
}

// Without room for the detour the key changes all the same.
func TestAKeyIsTakenWithoutADetour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, `, "Name": "fourteen-bytes", "Mode": "auto"`, peerOf("wireguard", 7, 1))
		next := r.rotate()
		r.step()
		r.wants("at once", 0, 0, next, "")
		r.step()
		r.wants("and then", 0, 0, next, "")
	})
}

// A node that is on another's detour changes its own key when that is gone, and does not wait for ever for who does not come to an end.
func TestANodeWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", withNext(7, 1, 2))
		r.step()
		old, next := r.data.PublicKey, r.rotate()
		for range 20 {
			r.step()
			r.wants("on another's detour", 2, 0, old, "")
		}
		r.change(0, peerOf("wireguard", 7, 2))
		for range 55 {
			r.step()
		}
		r.wants("in turn", 2, 0, old, next)

		r = newTraveller(t, "", withNext(7, 1, 2))
		r.step()
		next = r.rotate()
		for range int(returnTime/detourPause) + 2 {
			r.step()
		}
		r.wants("without end", 2, 0, next, "")
		for range int(helpTime / detourPause) {
			r.step()
		}
		r.wants("when the other is dead", 0, 0, next, "")
	})
}

// Of two nodes that get other keys in the same moment, each is on the other's detour under its next key, and one greets.
func TestTwoNodesAreOnTheirDetoursAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", peerOf("wireguard", 7, 1))
		r.shake(t, "")
		old, next := r.data.PublicKey, r.rotate()
		r.step()
		r.change(0, withNext(7, 1, 2))
		for range turnOffSteps + 2 {
			r.step()
			r.shake(t, "")
		}
		r.wants("taken by this one alone", 2, 2, next, next)
		if text := r.String(); strings.Count(text, kernel.PublicKey{2, 7}.String()) != 2 || old == next {
			t.Errorf("the other is not on the detour under its next key:\n%s", text)
		}
		r.change(0, withNext(7, 2, 2))
		r.shake(t, "")
		r.step()
		r.wants("taken by both", 2, 0, next, "")
	})
}

// Without links, on which packets could pass, a key that waits is taken at the start.
func TestAKeyThatWaitsIsTakenAtAStartWithoutLinks(t *testing.T) {
	r := newTraveller(t, "", peerOf("wireguard", 7, 1))
	next := r.rotate()
	for _, name := range []string{"flannel-wg", "flannel-wg-v6"} {
		r.do(kernel.Del, kernel.Link{Name: name})
	}
	r.begin("")
	r.wants("started", 0, 0, next, "")
	if _, err := wireguard.Pending(r.keyPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it waits still: %v", err)
	}
}

// Where the kernel takes packets by the way alone that leads to their sender, it takes them by either while there is a detour.
func TestPacketsAreTakenByEitherWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", withNext(7, 1, 2))
		strict := kernel.Sysctl{Name: "net/ipv4/conf/all/rp_filter", Value: "1"}
		r.do(kernel.Set, strict)
		filter := func() (values string) {
			for _, link := range []string{"flannel-wg", "flannel-wg-v6"} {
				list, err := r.List(t.Context(), kernel.Sysctl{Name: "net/ipv4/conf/" + link + "/rp_filter"})
				r.must(err)
				values += list[0].(kernel.Sysctl).Value
			}
			return values
		}
		before := filter()
		r.step()
		if got := filter(); got != "20" {
			t.Errorf("on the detour it is %s", got)
		}
		r.change(0, peerOf("wireguard", 7, 1))
		for range 52 {
			r.step()
		}
		if got := filter(); got != before {
			t.Errorf("afterwards it is %s, and was %s", got, before)
		}
	})
}

// The end of the node's life, and of the type, takes the detour along.
func TestADetourGoesWithTheBackend(t *testing.T) {
	r := newTraveller(t, "", withNext(7, 1, 2))
	r.step()
	r.wants("before", 2, 0, r.data.PublicKey, "")
	for _, scope := range r.backend.Scopes() {
		if isDetour(scope) {
			t.Errorf("%s passes for a peer's", scope)
		}
	}
	r.must(r.set.SetAside())
	r.must(r.start("vxlan", ""))
	r.wants("with another type", 0, 0, r.data.PublicKey, "")

	r = newTraveller(t, "", withNext(7, 1, 2))
	r.step()
	r.must(r.backend.Shutdown(t.Context(), r.call))
	r.wants("shut down", 0, 0, r.data.PublicKey, "")
}
