package builtin

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/wireguard"
)

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
			for range 130 {
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

// A key that somebody deletes while it waits is forgotten.
func TestAKeyThatIsDeletedIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTraveller(t, "", peerOf("wireguard", 7, 1))
		r.shake(t, "")
		old, next := r.data.PublicKey, r.rotate()
		r.step()
		r.wants("told", 2, 0, old, next)
		r.must(os.Remove(r.keyPath() + "-next"))
		failed := 0
		for range turnOffSteps + leaveSteps + 5 {
			r.shake(t, "")
			failed += r.try()
		}
		r.wants("in the end", 0, 0, old, "")
		if failed != 1 {
			t.Errorf("it failed %d times, want once", failed)
		}
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
