package lease_test

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/overlayd/overlayd/lease"
)

var (
	small4  = pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.4.0") // four subnets
	small6  = pool("fc00::/48", 64, "fc00:0:0:1::", "fc00:0:0:4::")
	long6   = pool("fc00::/16", 80, "fc00:0:0:0:1::", "fc00:ffff:ffff:ffff:ffff::") // 2^64-1 subnets
	endless = pool("fc00::/16", 126, "fc00::4", "fc00:ffff:ffff:ffff:ffff:ffff:ffff:fffc")
)

func TestPoolSizeAndIndex(t *testing.T) {
	for _, test := range []struct {
		pool  lease.Pool
		size  uint64
		index uint64
		want  string
	}{
		{lease.Pool{}, 0, 0, ""},
		{small4, 4, 3, "10.3.4.0/24"},
		{small6, 4, 3, "fc00:0:0:4::/64"},
		{pool("0.0.0.0/0", 30, "0.0.0.4", "255.255.255.252"), 1<<30 - 1, 1<<30 - 2, "255.255.255.252/30"},
		{pool("fc00::/40", 48, "fc00:0:1::", "fc00:0:ff::"), 255, 254, "fc00:0:ff::/48"},
		{pool("fc00::/40", 60, "fc00::10:0:0:0:0", "fc00:0:ff:fff0::"), 1<<20 - 1, 0xffffe, "fc00:0:ff:fff0::/60"},
		{pool("fc00::/120", 126, "fc00::4", "fc00::fc"), 63, 62, "fc00::fc/126"},
		{long6, math.MaxUint64, math.MaxUint64 - 1, "fc00:ffff:ffff:ffff:ffff::/80"},
		{endless, math.MaxUint64, math.MaxUint64 - 1, "fc00::3:ffff:ffff:ffff:fffc/126"},
	} {
		if got := test.pool.Size(); got != test.size {
			t.Errorf("%v: size %d, want %d", test.pool, got, test.size)
		}
		if test.size == 0 {
			continue
		}
		got := test.pool.At(test.index)
		if got != prefix(test.want) || !test.pool.Contains(got) {
			t.Errorf("%v: At(%d) = %s, want %s", test.pool, test.index, got, test.want)
		}
	}
}

func TestPoolContains(t *testing.T) {
	for _, test := range []struct {
		pool   lease.Pool
		subnet string
		want   bool
	}{
		{small4, "10.3.1.0/24", true},
		{small4, "10.3.4.0/24", true},
		{small4, "10.3.0.0/24", false},
		{small4, "10.3.5.0/24", false},
		{small4, "10.3.2.0/25", false},
		{small4, "10.3.2.0/23", false},
		{small4, "10.3.2.1/24", false},
		{small4, "fc00:0:0:1::/64", false},
		{small4, "", false},
		{small6, "fc00:0:0:1::/64", true},
		{small6, "fc00:0:0:5::/64", false},
		{lease.Pool{}, "10.3.1.0/24", false},
	} {
		if got := test.pool.Contains(prefix(test.subnet)); got != test.want {
			t.Errorf("%v contains %q: %t", test.pool, test.subnet, got)
		}
	}
}

func TestPick(t *testing.T) {
	for _, test := range []struct {
		name             string
		pool             lease.Pool
		n                int
		preferred, taken []string
		want             []string
		first            int // how many of those come first, in that order
	}{
		{"all that are free", small4, 8, nil, nil, []string{"10.3.1.0/24", "10.3.2.0/24", "10.3.3.0/24", "10.3.4.0/24"}, 0},
		{"none of an exhausted pool", small4, 8, nil, []string{"10.3.0.0/16"}, nil, 0},
		{"preferred ones first, once each", small4, 8, []string{"10.3.3.0/24", "10.3.2.0/24", "10.3.3.0/24"}, nil,
			[]string{"10.3.3.0/24", "10.3.2.0/24", "10.3.1.0/24", "10.3.4.0/24"}, 2},
		{"no more than asked for", small4, 1, []string{"10.3.3.0/24", "10.3.2.0/24"}, nil, []string{"10.3.3.0/24"}, 1},
		{"preferred ones that are taken or foreign are not", small4, 8, []string{"10.3.3.0/24", "10.9.2.0/24", "10.3.2.0/25"},
			[]string{"10.3.3.0/24"}, []string{"10.3.1.0/24", "10.3.2.0/24", "10.3.4.0/24"}, 0},
		{"what is taken may be smaller, larger, double and elsewhere", small4, 8, nil,
			[]string{"10.3.1.128/25", "10.3.2.0/23", "10.3.3.0/24", "10.3.3.7/32", "10.9.0.0/16", "fc00::/16"}, []string{"10.3.4.0/24"}, 0},
		{"IPv6", small6, 8, []string{"fc00:0:0:3::/64"}, []string{"fc00:0:0:1::/65", "10.3.0.0/16"},
			[]string{"fc00:0:0:3::/64", "fc00:0:0:2::/64", "fc00:0:0:4::/64"}, 1},
		{"the zero pool has none", lease.Pool{}, 8, []string{"10.3.3.0/24"}, nil, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.pool.Pick(test.n, prefixes(test.preferred), prefixes(test.taken), rand.New(rand.NewPCG(1, 2)))
			want := prefixes(test.want)
			if first := test.first; !slices.Equal(got[:min(first, len(got))], want[:first]) {
				t.Errorf("got %v, want %v first", got, want[:first])
			}
			byAddr := func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }
			slices.SortFunc(got, byAddr)
			slices.SortFunc(want, byAddr)
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func prefixes(texts []string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, prefix(s))
	}
	return all
}

func TestPickFromEndlessPools(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, p := range []lease.Pool{long6, endless} {
		taken := []netip.Prefix{p.At(0), p.At(p.Size() - 1), p.At(p.Size() / 2), prefix("fc00:8000::/17"), p.Network}[:4]
		got := p.Pick(100, nil, taken, rnd)
		seen := map[netip.Prefix]bool{}
		for _, s := range got {
			if seen[s] || !p.Contains(s) || slices.ContainsFunc(taken, s.Overlaps) {
				t.Errorf("%v: picked %s", p, s)
			}
			seen[s] = true
		}
		if len(got) != 100 {
			t.Errorf("%v: picked %d, want 100", p, len(got))
		}
	}
}

func TestEveryFreeSubnetIsPickedSooner(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	count := map[netip.Prefix]int{}
	for range 3000 {
		count[small4.Pick(1, nil, prefixes([]string{"10.3.2.0/24"}), rnd)[0]]++
	}
	for _, s := range prefixes([]string{"10.3.1.0/24", "10.3.3.0/24", "10.3.4.0/24"}) {
		if count[s] < 800 {
			t.Errorf("%s was picked %d times of 3000, want about 1000", s, count[s])
		}
	}
}

func TestSlotsDifferByIdentity(t *testing.T) {
	p := pool("10.3.0.0/16", 24, "10.3.1.0", "10.3.255.0")
	slots := map[netip.Prefix]bool{}
	for i := range 100 {
		s := p.Slot(string(rune('a' + i)))
		if !p.Contains(s) || s != p.Slot(string(rune('a'+i))) {
			t.Fatalf("slot %s", s)
		}
		slots[s] = true
	}
	if len(slots) < 70 {
		t.Errorf("100 identities have %d slots of 255, want more than 70", len(slots))
	}
}
