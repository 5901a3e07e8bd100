package firewall

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

// The golden file is what nft prints, see TestNftListsTheTableAsWritten.
func TestARulePrintsAsNftDoes(t *testing.T) {
	listed, err := os.ReadFile("testdata/masquerade-and-forward.nft")
	if err != nil {
		t.Fatal(err)
	}
	p := netip.MustParsePrefix
	r := Rules{
		Paths: []Path{
			{Network: p("10.50.0.0/16"), Subnet: p("10.50.1.0/24")}, {Network: p("fd50::/48"), Subnet: p("fd50:0:0:1::/64")},
		},
		Masquerade: true, Forward: true, Keep: []netip.Prefix{p("192.0.2.99/32"), p("2001:db8::99/128")},
	}
	n := 0
	for _, c := range r.chains() {
		for _, rule := range c.rules {
			n++
			if !strings.Contains(string(listed), "\t\t"+rule.String()+"\n") {
				t.Errorf("nft prints no rule %s", rule)
			}
		}
	}
	if lines := strings.Count(string(listed), "comment"); n != lines {
		t.Errorf("%d rules, and nft prints %d", n, lines)
	}
}
