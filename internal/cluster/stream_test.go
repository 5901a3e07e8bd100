package cluster

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/netns"
)

func TestAStreamTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	ns, addr := cabled(t, 1500, "192.0.2.%d/24")
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	nodes := [2]*Node{{number: 1, ns: ns[0]}, {number: 2, ns: ns[1]}}
	pair := Pair{From: nodes[0], To: nodes[1], source: addr[0], addr: addr[1]}
	for _, lossy := range []bool{false, true} {
		s, err := StartStream(t.Context(), []Pair{pair})
		must(t, err)
		pinged := func() {
			for n := s.pairs[0].loss().Sent; s.pairs[0].loss().Sent < n+5; {
				time.Sleep(streamInterval)
			}
		}
		pinged()
		if lossy {
			_, err := nodes[0].Shell("ip route add blackhole 192.0.2.2")
			must(t, err)
			pinged()
			_, err = nodes[0].Shell("ip route del blackhole 192.0.2.2")
			must(t, err)
			pinged()
		}
		losses := s.Stop()
		if !lossy && len(losses) > 0 || lossy && (len(losses) != 1 || losses[0].Lost < 4) {
			t.Errorf("lossy: %t: losses %v", lossy, losses)
		}
	}
}

func TestATransferKnowsThePathsMTU(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"192.0.2.%d/24", "2001:db8::%d/64"} {
		ns, addr := cabled(t, 1400, network)
		p, err := listen(t.Context(), ns[0], addr[0])
		must(t, err)
		defer p.Close()
		pair := Pair{From: &Node{number: 1, ns: ns[0]}, To: &Node{number: 2, ns: ns[1]}, ping: p, addr: addr[1]}
		if mtu, err := pair.Transfer(t.Context()); mtu != 1400 || err != nil {
			t.Errorf("%s: %d, %v", network, mtu, err)
		}
	}
}

// cabled returns two namespaces with a veth of the MTU between them, and their addresses.
func cabled(t *testing.T, mtu int, network string) (ns [2]*netns.Namespace, addr [2]netip.Addr) {
	t.Helper()
	var prefixes [2]netip.Prefix
	for i := range ns {
		n, err := netns.New()
		must(t, err)
		t.Cleanup(func() { n.Close() })
		prefixes[i] = netip.MustParsePrefix(fmt.Sprintf(network, i+1))
		ns[i], addr[i] = n, prefixes[i].Addr()
	}
	must(t, netns.Connect(ns[0], "eth0", ns[1], "eth0", mtu))
	for i, n := range ns {
		must(t, n.Addr("eth0", prefixes[i]))
	}
	return ns, addr
}
