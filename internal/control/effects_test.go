package control

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// peerScope is the peer of these tests.
const peerScope = "10.50.7.0/24"

// knowing is the state of a daemon that has made these objects for the peer.
func knowing(commands ...string) *State {
	return NewState(Facts{Effects: func(context.Context, string) (list []Effect, err error) {
		for _, c := range commands {
			list = append(list, Effect{Command: c})
		}
		return list, nil
	}})
}

// ran has a hook of the peer run at that second, and do these things if it reports them.
func ran(s *State, second int64, err error, hook hooks.Hook, did ...string) {
	if did != nil {
		s.ReportHook(hook, peerScope, "", "", did)
	}
	run := hooks.HookRun{Hook: hook, Scope: peerScope, Started: time.Unix(second, 0), Err: err}
	s.ObserveHook(run)
	s.ObservePeer(hooks.PeerStatus{Lease: &lease.Lease{V4: lease.Path{Subnet: netip.MustParsePrefix(peerScope)}}, Last: run})
}

// makers are the seconds at which runs made the peer's objects, 0 where none is known.
func makers(t *testing.T, s *State) (seconds []int64) {
	t.Helper()
	effects, err := s.Effects(t.Context(), peerScope)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range effects {
		if e.MadeBy == nil {
			seconds = append(seconds, 0)
		} else {
			seconds = append(seconds, e.MadeBy.Started.Unix())
		}
	}
	return seconds
}

func TestAnObjectIsOfTheLastRunThatMadeIt(t *testing.T) {
	s := knowing("ip route add 10.50.7.0/24 via 192.0.2.7", "ip link add x type bridge", "ip neighbour add 10.50.7.0 dev x", "ip link add old type bridge")
	ran(s, 1, nil, hooks.SubnetAdd, "ip route add 10.50.7.0/24 via 192.0.2.7", "ip link add x type bridge")
	ran(s, 2, nil, hooks.SubnetAdd, "ip link set x up", "ip neighbour replace 10.50.7.0 dev x")
	ran(s, 3, errors.New("exit status 1"), hooks.SubnetAdd, "ip route add 10.50.7.0/24 via 192.0.2.7") // and undone
	if diff := cmp.Diff([]int64{1, 1, 2, 0}, makers(t, s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Configure("vxlan", 2) // whose runs report nothing
	ran(s, 4, nil, hooks.SubnetAdd)
	if diff := cmp.Diff([]int64{1, 1, 2, 4}, makers(t, s)); diff != "" {
		t.Errorf("with a built-in backend (-want +got):\n%s", diff)
	}
	ran(s, 5, errors.New("no such device"), hooks.SubnetRemove)
	if diff := cmp.Diff([]int64{1, 1, 2, 0}, makers(t, s)); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}
}

func TestWhatEtcdHoldsIsAskedForOnTheSocketAlone(t *testing.T) {
	held := Record{Key: "/coreos.com/network/subnets/10.50.7.0-24", Revision: 7}
	s := NewState(Facts{Record: func(_ context.Context, subnet netip.Prefix) (Record, error) {
		switch subnet.String() {
		case peerScope:
			return held, nil
		case "10.50.8.0/24":
			return Record{}, errors.New("etcd is not reachable")
		}
		return Record{}, nil
	}})
	socket := SocketPath(t.TempDir())
	defer serve(t, socket, s)()
	for subnet, want := range map[string]Record{peerScope: held, "10.50.9.0/24": {}} {
		if got, err := FetchLease(t.Context(), socket, netip.MustParsePrefix(subnet)); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", subnet, got, err)
		}
	}
	_, err := FetchLease(t.Context(), socket, netip.MustParsePrefix("10.50.8.0/24"))
	if want := "ask overlayd at " + socket + ": it answers 500 Internal Server Error: etcd is not reachable"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := FetchLease(t.Context(), socket, netip.Prefix{}); err == nil {
		t.Error("no subnet is answered")
	}
	w := httptest.NewRecorder()
	newMux(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/lease?subnet="+peerScope, nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("everybody is answered: %d", w.Code)
	}
}
