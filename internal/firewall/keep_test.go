package firewall_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/overlayd/overlayd/internal/firewall"
)

// A lockedBuffer can be read while something writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestARepairIsToldWithItsReason(t *testing.T) {
	t.Parallel()
	ns, said := newNamespace(t), new(lockedBuffer)
	tb := firewall.New(firewall.Options{Namespace: ns.Fd(), Logger: slog.New(slog.NewTextHandler(said, nil))})
	must(t, tb.Apply(rules()))
	keep(t, tb)
	run(t, ns, "flush chain inet overlayd forward", "nft", "-f", "-")
	await(t, "the log", func() bool {
		return strings.Contains(said.String(), `chain forward lacks in place 1 the rule ip saddr 10.50.0.0/16 counter accept`)
	})
}

func TestAChainThatDropsWhatIsForwardedIsNamedOnce(t *testing.T) {
	t.Parallel()
	ns, said := newNamespace(t), new(lockedBuffer)
	tb := firewall.New(firewall.Options{Namespace: ns.Fd(), Logger: slog.New(slog.NewTextHandler(said, nil))})
	must(t, tb.Apply(rules()))
	keep(t, tb)
	run(t, ns, "", "iptables-nft", "-P", "FORWARD", "DROP")
	await(t, "the log", func() bool { return strings.Contains(said.String(), `chains="ip filter FORWARD"`) })
	run(t, ns, "table ip else { }", "nft", "-f", "-")
	run(t, ns, "", "ip6tables-nft", "-P", "FORWARD", "DROP")
	await(t, "the log", func() bool { return strings.Contains(said.String(), `chains="ip filter FORWARD, ip6 filter FORWARD"`) })
	if n := strings.Count(said.String(), `chains="ip filter FORWARD"`); n != 1 {
		t.Errorf("the first chain alone is named %d times, want once:\n%s", n, said)
	}
}

func TestACheckLeavesNothing(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	must(t, table(ns).Check())
	if got := listing(t, ns); got != "" {
		t.Errorf("ruleset:\n%s", got)
	}
}

func TestForwardingIsSwitchedOnForRoutersThatListenToOthers(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	must(t, ns.Do(func() error {
		for _, f := range []firewall.Forwarding{{}, {V6: true}} {
			if on, err := f.On(); err != nil || on {
				t.Errorf("%s at first: %t, %v", f, on, err)
			}
			must(t, f.Enable("lo"))
			if on, err := f.On(); err != nil || !on {
				t.Errorf("%s then: %t, %v", f, on, err)
			}
		}
		for name, want := range map[string]string{"lo": "2\n", "default": "1\n"} {
			got, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/accept_ra")
			if errors.Is(err, fs.ErrNotExist) || string(got) != want {
				t.Errorf("accept_ra of %s is %q, want %q", name, got, want)
			}
		}
		return nil
	}))
}
