package wireguard

import (
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

// In the modes of one link, flannel v0.28 crashed at the first peer of a network without IPv6, and without IPv4 it routed
// 0.0.0.0/0 into the tunnel.
func TestDefect07ModesOfOneLinkNeedNoSecondFamily(t *testing.T) {
	for _, mode := range []string{"auto", "ipv4", "ipv6"} {
		for _, families := range []nativetest.Families{nativetest.OnlyV4, nativetest.OnlyV6} {
			if mode == "ipv4" && families == nativetest.OnlyV6 || mode == "ipv6" && families == nativetest.OnlyV4 {
				continue // no peer has an address for it
			}
			p := plan(t, `{"Mode": "`+mode+`"}`)
			objects, err := p.Node(families.Node("wireguard", 1))
			if err != nil {
				t.Fatal(err)
			}
			text := nativetest.Text(objects)
			if strings.Contains(text, "/0 ") || strings.Contains(text, "default") || strings.Count(text, "ip route add") != 1 {
				t.Errorf("%s, %s:\n%s", mode, families, text)
			}
			if _, err := p.Peer(families.Node("wireguard", 1), new(families.Lease("wireguard", 7, data4, data6))); err != nil {
				t.Errorf("%s, %s: peer: %v", mode, families, err)
			}
		}
	}
}
