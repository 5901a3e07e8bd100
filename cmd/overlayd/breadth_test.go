package main

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// peersAt are peers with an IPv4 subnet, at an address each.
func peersAt(addresses ...string) lease.Peers {
	var peers []*lease.Lease
	for i, text := range addresses {
		at := netip.MustParseAddr(text)
		l := lease.Lease{V4: lease.Path{Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, byte(i)}), 24)}}
		if at.Is4() {
			l.V4.PublicIP = at
		} else {
			l.V6.PublicIP = at
		}
		peers = append(peers, &l)
	}
	return lease.NewSet(peers...)
}

func TestBothAddressesAreToldWhileAPeerNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreadth()
		usual, mixed := peersAt("192.0.2.1", "192.0.2.2"), peersAt("192.0.2.1", "2001:db8::2")
		turned := false
		after := func(what string, wait time.Duration, peers lease.Peers, both, turns bool) {
			t.Helper()
			b.see(peers)
			time.Sleep(wait)
			synctest.Wait()
			select {
			case <-b.turned:
				turned = true
			default:
				turned = false
			}
			if b.now() != both || turned != turns {
				t.Errorf("%s: both %v, turned %v, want %v, %v", what, b.now(), turned, both, turns)
			}
		}
		after("peers with IPv4", time.Hour, usual, false, false)
		after("one that has not yet got its IPv4 address", broadenAfter-1, mixed, false, false)
		after("which it has now", time.Hour, usual, false, false)
		after("one without", broadenAfter-1, mixed, false, false)
		after("still", 2, mixed, true, true)
		after("it is restarted", narrowAfter-1, usual, true, false)
		after("and back", time.Hour, mixed, true, false)
		after("it is gone", narrowAfter+1, usual, false, true)
		b.begin(lease.List(usual))
		after("a restart", time.Hour, usual, false, false)
		b.begin(lease.List(mixed))
		after("a restart in a cluster that has one", time.Hour, mixed, true, false)
		b.see(usual)
		b.end()
		time.Sleep(time.Hour)
		if !b.now() {
			t.Error("it changed after its end")
		}
	})
}

func TestANodeThatLosesAnAddressCountsAsBeingWhereItWas(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	none := netip.Addr{}
	at := func(v4, v6 netip.Addr) lease.Lease {
		return lease.Lease{V4: lease.Path{PublicIP: v4}, V6: lease.Path{PublicIP: v6}}
	}
	only4, only6 := lease.Network{V4: lease.Pool{Network: netip.MustParsePrefix("10.50.0.0/16")}}, lease.Network{V6: lease.Pool{Network: netip.MustParsePrefix("fd50::/48")}}
	dual := lease.Network{V4: only4.V4, V6: only6.V6}
	for name, tt := range map[string]struct {
		network         lease.Network
		last, now, want lease.Lease
	}{
		"IPv4 between two leases of DHCP": {only4, at(v4, none), at(none, v6), lease.Lease{}},
		"which both were told":            {only4, at(v4, v6), at(none, v6), lease.Lease{}},
		"IPv6 in a network of IPv6":       {only6, at(none, v6), at(v4, none), lease.Lease{}},
		"one of two":                      {dual, at(v4, v6), at(v4, none), at(v4, v6)},
		"the spare one":                   {only4, at(v4, v6), at(v4, none), at(v4, none)},
		"one that it never had":           {only4, at(none, v6), at(none, v6), at(none, v6)},
		"one that comes":                  {only4, at(none, v6), at(v4, none), at(v4, none)},
	} {
		got, err := lasting(tt.network, tt.now, tt.last)
		if nowhere := tt.want.Equal(lease.Lease{}); nowhere != (err != nil) || !nowhere && !got.Equal(tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, tt.want)
		}
	}
}

func TestACompanyIsSeenBeforeItIsHandedOn(t *testing.T) {
	b := newBreadth()
	defer b.end()
	c := company{listed{peersAt("2001:db8::2")}, b}
	err := c.Peers(t.Context(), func(peers lease.Peers) error {
		if b.turns == nil || peers.Len() != 1 {
			t.Errorf("got %v, and no change is due", peers)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// listed is leases that are always the same.
type listed struct{ peers lease.Peers }

func (l listed) Peers(_ context.Context, set func(lease.Peers) error) error { return set(l.peers) }

func (listed) Acquire(_ context.Context, want lease.Lease) (lease.Lease, error) { return want, nil }
func (listed) Hold(context.Context) error                                       { return nil }
func (listed) Republish(want lease.Lease) (lease.Lease, error)                  { return want, nil }

var _ hooks.Leases = listed{}
