package lease_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overlayd/overlayd/lease"
)

// seen collects the sets of peers as text.
type seen struct {
	mu   sync.Mutex
	sets []string
}

func (s *seen) set(peers []lease.Lease) {
	var texts []string
	for _, p := range peers {
		texts = append(texts, p.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets = append(s.sets, strings.Join(texts, " "))
}

func (s *seen) want(t *testing.T, sets ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := cmp.Diff(s.sets, sets, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("sets (-got +want)\n%s", d)
	}
	s.sets = nil
}

func TestPeersAreAllOthersAndOnlyChangesAreTold(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a", prefix("10.3.1.0/24"))
		w.acquire(m, node(1))
		b := w.manager("b", prefix("10.3.3.0/24"))
		w.acquire(b, node(2))
		var s seen
		stop := w.holding(m, s.set)
		s.want(w.T, "10.3.3.0/24")
		w.acquire(w.manager("c", prefix("10.3.2.0/24")), node(3))
		s.want(w.T, "10.3.2.0/24 10.3.3.0/24")
		w.acquire(w.manager("b"), node(2)) // restarted, nothing new
		w.store.Put("garbage", "garbage")
		w.store.Break(errors.New("nobody there"))
		synctest.Wait()
		w.store.Break(nil)
		s.want(w.T)
		w.acquire(w.manager("b"), node(4)) // at another address
		s.want(w.T, "10.3.2.0/24 10.3.3.0/24")
		w.store.Remove("10.3.2.0-24")
		s.want(w.T, "10.3.3.0/24")
		time.Sleep(25 * time.Hour) // nobody holds b's
		s.want(w.T, "")
		if err := stop(); !errors.Is(err, context.Canceled) {
			w.Errorf("hold: %v", err)
		}
	})
}

func TestWhatIsNoPeerIsSetAside(t *testing.T) {
	inWorld(t, "", func(w *world) {
		var told [][]lease.Unreadable
		m := lease.NewManager(w.store, w.network, lease.ManagerOptions{
			NodeID: "a", Previous: []netip.Prefix{prefix("10.3.1.0/24")},
			Unreadable: func(u []lease.Unreadable) { told = append(told, u) },
		})
		w.acquire(m, node(1))
		for key, value := range map[string]string{
			"10.3.2.0-24":                 `{"PublicIP":"192.0.2.2"}`,
			"10.3.3.0-24&fc00::-64":       `{"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3"}`, // IPv6 is off
			"0.0.0.0-0&fc00:1::-64":       `{"PublicIPv6":"2001:db8::4"}`,
			"10.3.0.0-23":                 `{"PublicIP":"192.0.2.5"}`,
			"10.3.1.0-24&fc00:2::-64":     `{"PublicIP":"192.0.2.6"}`,
			"10.0.0.0-8":                  `{"PublicIP":"192.0.2.7"}`,
			"192.168.0.0-24":              `{"PublicIP":"192.0.2.8"}`,
			"$(reboot)":                   `{}`,
			"10.3.4.0-24":                 `{"PublicIP":"` + "`reboot`" + `"}`,
			"10.3.200.0-24":               `{"PublicIP":"192.0.2.9","NodeID":"a"}`, // this node's, left over
			strings.Repeat("x", 1<<10):    ``,
			"10.3.100.0-24&fc00:3::-64":   `{"PublicIP":"192.0.2.10"}`,
			"10.3.100.0-24&fc00:3:1::-64": `{"PublicIP":"192.0.2.11"}`, // overlaps the one before
		} {
			w.store.Put(key, value)
		}
		var s seen
		stop := w.holding(m, s.set)
		s.want(w.T, "10.3.2.0/24 10.3.3.0/24 10.3.100.0/24")
		if len(told) != 1 {
			w.Fatalf("told %d times what is set aside, want once", len(told))
		}
		var got []string
		for _, u := range told[0] {
			got = append(got, fmt.Sprintf("%.20s: %.40s", u.Key, u.Err))
		}
		slices.Sort(got)
		want := []string{
			"$(reboot): parse lease key: \"$(reboot)\" is not ADDR",
			"10.0.0.0-8: 10.0.0.0/8 is not in 10.3.0.0/16",
			"10.3.0.0-23: 10.3.0.0/23 overlaps this node's 10.3.1.",
			"10.3.1.0-24&fc00:2::: 10.3.1.0/24 overlaps this node's 10.3.1.",
			"10.3.4.0-24: parse lease: ParseAddr(\"`reboot`\"): unab",
			"192.168.0.0-24: 192.168.0.0/24 is not in 10.3.0.0/16",
			"xxxxxxxxxxxxxxxxxxxx: parse lease key: \"xxxxxxxxxxxxxxxxxxxxxx",
		}
		if d := cmp.Diff(got, want); d != "" {
			w.Errorf("set aside (-got +want)\n%s", d)
		}
		w.store.Remove("$(reboot)")
		synctest.Wait()
		if len(told) != 2 || len(told[1]) != len(want)-1 {
			w.Errorf("after one is gone: told %d times", len(told))
		}
		s.want(w.T)
		stop()
	})
}

// Without the halves that the network does not use, several leases may be one peer, and one of them this node's own, left over.
func TestOfLeasesThatAreAlikeTheLastOneWrittenCounts(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := lease.NewManager(w.store, w.network, lease.ManagerOptions{NodeID: "a", Previous: []netip.Prefix{prefix("10.3.1.0/24")}})
		w.acquire(m, node(1))
		var last string
		stop := w.holding(m, func(peers []lease.Lease) {
			last = ""
			for _, p := range peers {
				last += fmt.Sprintf("%s at %s, ", p, p.V4.PublicIP)
			}
		})
		defer stop()
		const alone, both, other = "10.3.7.0-24", "10.3.7.0-24&fc00:7::-64", "10.3.7.0-24&fc00:8::-64"
		for _, step := range []struct{ key, value, want string }{
			{both, `{"PublicIP":"192.0.2.7"}`, "10.3.7.0/24 at 192.0.2.7, "},
			{alone, `{"PublicIP":"192.0.2.8"}`, "10.3.7.0/24 at 192.0.2.8, "},
			{both, `{"PublicIP":"192.0.2.9"}`, "10.3.7.0/24 at 192.0.2.9, "},
			{other, `{"PublicIP":"192.0.2.10","NodeID":"a"}`, "10.3.7.0/24 at 192.0.2.9, "},
			{both, "", "10.3.7.0/24 at 192.0.2.8, "},
			{other, "", "10.3.7.0/24 at 192.0.2.8, "},
			{"10.3.8.0-24", `{"PublicIP":"192.0.2.11"}`, "10.3.7.0/24 at 192.0.2.8, 10.3.8.0/24 at 192.0.2.11, "},
			{alone, "", "10.3.8.0/24 at 192.0.2.11, "},
		} {
			if w.store.Put(step.key, step.value); step.value == "" {
				w.store.Remove(step.key)
			}
			synctest.Wait()
			if last != step.want {
				w.Errorf("after %s says %s: peers are %q, want %q", step.key, step.value, last, step.want)
			}
		}
	})
}

func TestPeersEndsWithTheErrorOfSet(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		w.acquire(m, node(1))
		refused := errors.New("refused")
		if err := m.Peers(w.Context(), func(lease.Peers) error { return refused }); !errors.Is(err, refused) {
			w.Errorf("got %v, want the error of set", err)
		}
	})
}
