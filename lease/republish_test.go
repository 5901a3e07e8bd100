package lease_test

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestANewAddressIsPublishedOnTheSameSubnet(t *testing.T) {
	for name, trouble := range map[string]func(*world){
		"at once":         func(*world) {},
		"after an outage": func(w *world) { w.store.Break(errors.New("nobody there")) },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inWorld(t, "", func(w *world) {
				m := w.manager("a")
				own := w.acquire(m, node(1))
				stop := w.holding(m, ignore)
				var s seen
				other := w.manager("b")
				w.acquire(other, node(2))
				stopOther := w.holding(other, s.set)
				s.want(w.T, own.String())
				trouble(w)
				moved := node(9).V4.PublicIP
				want := node(1)
				want.V4.PublicIP = moved
				if says, err := m.Republish(want); err != nil || !says.Equal(own.At(want)) {
					w.Errorf("got %+v, %v after %+v", says, err, own)
				}
				time.Sleep(time.Minute)
				w.store.Break(nil)
				time.Sleep(time.Minute)
				if got := m.Own(); got.V4.PublicIP != moved || got.V4.Subnet != own.V4.Subnet || string(got.V4.Data) != `"mac"` {
					w.Errorf("got %+v after %+v", got, own)
				}
				s.want(w.T, own.String()) // the same subnet, once more
				w.holds(own.Key()+" a", other.Own().Key()+" b")
				w.store.Remove(own.Key())
				time.Sleep(time.Minute)
				if now, _ := w.store.Load(w.Context()); !now.List()[0].Equal(m.Own()) {
					w.Errorf("taken again it says %+v, want %+v", now.List()[0], m.Own())
				}
				stop()
				stopOther()
			})
		})
	}
}

func TestWhatIsPublishedAgainAsItWasIsNotWritten(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		w.acquire(m, node(1))
		stop := w.holding(m, ignore)
		before, _ := w.store.Load(w.Context())
		if _, err := m.Republish(node(1)); err != nil {
			w.Error(err)
		}
		bad := node(1)
		bad.V4.Data = []byte("aa:bb")
		if _, err := m.Republish(bad); err == nil {
			w.Error("data that is not JSON: no error")
		}
		time.Sleep(time.Minute)
		stop()
		if after, _ := w.store.Load(w.Context()); after.Revision != before.Revision {
			w.Errorf("revision %d, then %d", before.Revision, after.Revision)
		}
	})
}

func TestANodeWithThisNodesAddressIsWarnedOfOnce(t *testing.T) {
	inWorld(t, "", func(w *world) {
		m := w.manager("a")
		w.acquire(m, node(1))
		stop := w.holding(m, ignore)
		w.acquire(w.manager("twin"), node(1))
		w.acquire(w.manager("c"), node(3))
		time.Sleep(time.Minute)
		stop()
		const warning = "another node has this node's public address"
		if n := strings.Count(w.log.String(), warning); n != 1 {
			w.Errorf("warned %d times, want once", n)
		}
		w.logged("node=twin", "public=192.0.2.1")
	})
}
