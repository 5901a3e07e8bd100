package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lists counts how often peers are listed.
type lists struct {
	Kernel
	peers int
}

func (l *lists) List(ctx context.Context, like Object) ([]Object, error) {
	if _, ok := like.(Peer); ok {
		l.peers++
	}
	return l.Kernel.List(ctx, like)
}

func TestAWireGuardPeerThatJoinsOthersIsNotLookedFor(t *testing.T) {
	fake := NewFake()
	do(t, fake, Op{Add, Link{Name: "wg", Kind: "wireguard"}}, Op{Set, Device{Name: "wg", PrivateKey: &Secret{1}}})
	k := &lists{Kernel: fake}
	s := scopesOn(t, k, "")
	want := func(number byte, port int) Want {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, number, 0}), 24)
		peer := Peer{
			Dev: "wg", PublicKey: PublicKey{number}, Endpoint: netipPort(fmt.Sprintf("192.0.2.%d:%d", number, port)),
			AllowedIPs: []netip.Prefix{subnet}, ReplaceIPs: true,
		}
		return Want{subnet.String(), []Object{peer}}
	}
	listed := func(what string, times int) {
		t.Helper()
		if k.peers != times {
			t.Errorf("%s: peers were listed %d times, want %d", what, k.peers, times)
		}
		k.peers = 0
	}
	stranger := want(2, 5).Objects[0]
	do(t, fake, Op{Set, stranger})
	apply(t, s, want(1, 1), want(2, 2))
	listed("at the start, with one that is there", 1)
	apply(t, s, want(3, 3), want(4, 4))
	listed("two more", 0)
	apply(t, s, want(3, 33))
	listed("one that changes", 1)
	before := state(t, k)
	failing := want(5, 5)
	failing.Objects = append(failing.Objects, Neigh{IP: neigh.IP, Dev: "nope", Address: station})
	if errs := s.Apply(t.Context(), slices.Values([]Want{failing}), func(string) bool { return true }); errs == nil {
		t.Error("a neighbour on a link that is not there was made")
	}
	if diff := cmp.Diff(before, state(t, k)); diff != "" {
		t.Errorf("after one that failed (-before +after):\n%s", diff)
	}
}
