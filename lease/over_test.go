package lease_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease"
)

// reached is a lease with a subnet of each of the families, at addresses of each of the others: "4" or "6" or "46".
func reached(n byte, subnets, addresses string) (l lease.Lease) {
	at := node(n)
	if strings.Contains(addresses, "4") {
		l.V4.PublicIP = at.V4.PublicIP
	}
	if strings.Contains(addresses, "6") {
		l.V6.PublicIP = at.V6.PublicIP
	}
	if strings.Contains(subnets, "4") {
		l.V4.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, n}), 24)
	}
	if strings.Contains(subnets, "6") {
		l.V6.Subnet = prefix(fmt.Sprintf("fc00:0:0:%x::/64", n))
	}
	return l
}

// Two nodes use the subnet's own family where both have it, and the other only where both have that.
func TestNodesChooseAlikeByWhichAddressTheyReachEachOther(t *testing.T) {
	const v4, v6 = "192.0.2.", "2001:db8::"
	for _, tt := range []struct{ subnets, a, b, by string }{
		{"4", "4", "4", v4}, {"4", "46", "46", v4}, {"4", "46", "4", v4}, {"4", "6", "6", v6}, {"4", "46", "6", v6},
		{"6", "6", "6", v6}, {"6", "46", "46", v6}, {"6", "4", "4", v4}, {"6", "46", "4", v4},
		{"4", "4", "6", ""}, {"6", "4", "6", ""}, {"4", "4", "", ""}, {"6", "", "6", ""},
	} {
		a, b := reached(1, tt.subnets, tt.a), reached(2, tt.subnets, tt.b)
		for _, pair := range [][2]lease.Lease{{a, b}, {b, a}} {
			for half := range pair[1].Paths() {
				got := pair[1].Toward(&half, &pair[0])
				if text := got.PublicIP.String(); tt.by == "" && got.PublicIP.IsValid() || tt.by != "" && !strings.HasPrefix(text, tt.by) {
					t.Errorf("IPv%s, nodes at IPv%s and IPv%s: reached by %s, want %q", tt.subnets, tt.a, tt.b, text, tt.by)
				}
			}
		}
	}
}

func TestPeopleAreToldAnAddressWhereThereIsAny(t *testing.T) {
	for _, tt := range []struct{ subnets, from, at, want string }{
		{"4", "4", "4", "10.3.2.0/24 at 192.0.2.2"},
		{"4", "46", "6", "10.3.2.0/24 at 2001:db8::2"},
		{"4", "6", "46", "10.3.2.0/24 at 2001:db8::2"},
		{"4", "4", "6", "10.3.2.0/24 at 2001:db8::2"}, // though there is no way there
		{"4", "", "46", "10.3.2.0/24 at 192.0.2.2"},
		{"46", "6", "6", "10.3.2.0/24 at 2001:db8::2, fc00:0:0:2::/64 at 2001:db8::2"},
		{"46", "46", "46", "10.3.2.0/24 at 192.0.2.2, fc00:0:0:2::/64 at 2001:db8::2"},
	} {
		var texts []string
		for _, p := range reached(2, tt.subnets, tt.at).Reached(reached(1, tt.subnets, tt.from)) {
			texts = append(texts, fmt.Sprintf("%s at %s", p.Subnet, p.PublicIP))
		}
		if got := strings.Join(texts, ", "); got != tt.want {
			t.Errorf("IPv%s, from IPv%s: got %s, want %s", tt.subnets, tt.from, got, tt.want)
		}
	}
}

// A node without an IPv4 address is told apart from others like it: all of them have 0.0.0.0 where flannel looks for a node's name.
func TestNodesWithoutAnIPv4AddressHaveLeasesOfTheirOwn(t *testing.T) {
	inWorld(t, "", func(w *world) {
		var s seen
		w.store.Put("10.3.2.0-24", `{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::2"}`)
		a := w.acquire(w.manager("a"), reached(1, "", "6"))
		m := w.manager("b")
		b := w.acquire(m, reached(2, "", "6"))
		w.holds(a.Key()+" a", "10.3.2.0-24 b*") // which was reserved for it
		stop := w.holding(m, s.set)
		s.want(w.T, a.String())
		again := w.acquire(w.manager("a"), reached(1, "", "6"))
		if !again.Equal(a) || a.V4.Subnet == b.V4.Subnet {
			w.Errorf("got %+v again after %+v, beside %+v", again, a, b)
		}
		time.Sleep(time.Minute)
		if own := m.Own(); !own.Equal(b) {
			w.Errorf("it says %+v after %+v", own, b)
		}
		stop()
	})
}
