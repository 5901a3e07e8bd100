package firewall_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A capture is a tcpdump that runs until the test ends, of packets that begin TCP connections to its host.
type capture struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// startCapture starts to capture what comes in at the host's links, and returns nothing where there is no tcpdump.
func startCapture(t *testing.T, h host) *capture {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Log("no tcpdump is installed to see the packets with")
		return nil
	}
	c := new(capture)
	// The flags of TCP over IPv6 are known to tcpdump by their place alone. Of packets without a limit only eight have room until they
	// are read.
	cmd := exec.Command("tcpdump", "-nlt", "-s", "128", "-i", "any", "--immediate-mode", "tcp[13] & 18 == 2 or (ip6[6] == 6 and ip6[53] & 18 == 2)")
	cmd.Stdout, cmd.Stderr = c, c
	must(t, h.Start(cmd))
	t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("tcpdump: %v: %s", err, c)
		}
	})
	await(t, "tcpdump's start", func() bool { return strings.Contains(c.String(), "listening on") })
	return c
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// A witness tells of connections by other means than their ends.
type witness struct {
	site     *site
	captures map[host]*capture
}

// newWitness watches all hosts of the site that connections go to.
func newWitness(t *testing.T, s *site) *witness {
	t.Helper()
	w := &witness{s, map[host]*capture{}}
	for _, h := range []host{s.node, s.pod, s.farPod, s.outside} {
		if c := startCapture(t, h); c != nil {
			w.captures[h] = c
		}
	}
	return w
}

// confirm checks that a connection to the host's address came there from the one that its end saw, by the packets of it, and by the
// node's connection tracking if it has any. Both ports of a connection are known to its ends.
func (w *witness) confirm(t *testing.T, when string, to host, server, client netip.AddrPort, tracked bool) {
	t.Helper()
	if c := w.captures[to]; c != nil {
		packet := fmt.Sprintf("%s.%d > %s.%d: Flags [S]", client.Addr(), client.Port(), server.Addr(), server.Port())
		await(t, when+": a packet "+packet, func() bool { return strings.Contains(c.String(), packet) })
	}
	if !tracked {
		return
	}
	if _, err := exec.LookPath("conntrack"); err != nil {
		t.Log("no conntrack is installed to see connections with")
		return
	}
	family := "ipv4"
	if server.Addr().Is6() {
		family = "ipv6"
	}
	// The answer's way back tells who the other end takes the client for.
	back := fmt.Sprintf("src=%s dst=%s sport=%d dport=%d", server.Addr(), client.Addr(), server.Port(), client.Port())
	list := run(t, w.site.node.Namespace, "", "conntrack", "-L", "-f", family, "-p", "tcp", "--reply-src", server.Addr().String())
	if !strings.Contains(list, back) {
		t.Errorf("%s: the node's connections are without %s:\n%s", when, back, list)
	}
}
