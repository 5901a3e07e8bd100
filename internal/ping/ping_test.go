package ping

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }

// must stops the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

var families = []struct {
	name   string
	prefix string // of node n's address, in hexadecimal and decimal alike below 10
	bits   int
}{{"IPv4", "192.0.2.", 24}, {"IPv6", "2001:db8::", 64}}

// cabled returns two namespaces with a veth of the MTU between them, and their addresses.
func cabled(t *testing.T, mtu int, prefix string, bits int) (ns [2]*netns.Namespace, addr [2]netip.Addr) {
	t.Helper()
	for i := range ns {
		n, err := netns.New()
		must(t, err)
		t.Cleanup(func() { n.Close() })
		ns[i], addr[i] = n, netip.MustParseAddr(fmt.Sprint(prefix, i+1))
	}
	must(t, netns.Connect(ns[0], "eth0", ns[1], "eth0", mtu))
	for i, n := range ns {
		must(t, n.Addr("eth0", netip.PrefixFrom(addr[i], bits)))
	}
	return ns, addr
}

// listen opens a pinger in the namespace until the test ends.
func listen(t *testing.T, ns *netns.Namespace, from netip.Addr) (p *Pinger) {
	t.Helper()
	must(t, ns.Do(func() (err error) {
		p, err = Listen(t.Context(), from)
		return err
	}))
	t.Cleanup(func() { p.Close() })
	return p
}

func TestPing(t *testing.T) {
	t.Parallel()
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			ns, addr := cabled(t, 1500, f.prefix, f.bits)
			p := listen(t, ns[0], addr[0])

			for range 3 {
				rtt, err := p.Ping(t.Context(), addr[1], Small, 10*time.Second)
				if err != nil || rtt <= 0 {
					t.Fatalf("the other end answered %v, %v", rtt, err)
				}
			}
			nobody := netip.MustParseAddr(f.prefix + "9")
			start := time.Now()
			if _, err := p.Ping(t.Context(), nobody, Small, 50*time.Millisecond); err == nil {
				t.Error("an address that nobody has answered")
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("silence answered %v, want a deadline error", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("waited %s instead of 50 ms", took)
			}
		})
	}
}

func TestPathMTUIsTheLinks(t *testing.T) {
	t.Parallel()
	for _, f := range families {
		for _, mtu := range []int{1400, 1500, 9000} {
			t.Run(fmt.Sprintf("%s over %d", f.name, mtu), func(t *testing.T) {
				t.Parallel()
				ns, addr := cabled(t, mtu, f.prefix, f.bits)
				p := listen(t, ns[0], addr[0])
				if got, err := p.PathMTU(t.Context(), addr[1]); err != nil || got != mtu {
					t.Errorf("measured %d, %v", got, err)
				}
			})
		}
	}
}

func TestASweepTellsWhoAnswers(t *testing.T) {
	t.Parallel()
	ns, addr := cabled(t, 1500, families[0].prefix, families[0].bits)
	addr6 := netip.MustParseAddr("fd00:77::2")
	must(t, ns[0].Addr("eth0", netip.MustParsePrefix("fd00:77::1/64")), ns[1].Addr("eth0", netip.PrefixFrom(addr6, 64)))
	silent, nowhere := netip.MustParseAddr(families[0].prefix+"9"), netip.MustParseAddr("203.0.113.1")
	var trips map[netip.Addr]time.Duration
	ask := func(wait time.Duration, to ...netip.Addr) {
		t.Helper()
		must(t, ns[0].Do(func() (err error) {
			trips, err = Sweep(t.Context(), to, time.Millisecond, wait)
			return err
		}))
	}
	for len(trips) < 2 { // IPv6 addresses are good for use only after a while
		ask(time.Second, addr[1], addr6)
	}
	began := time.Now()
	ask(time.Minute, addr[1], addr6)
	if took := time.Since(began); len(trips) != 2 || trips[addr[1]] <= 0 || trips[addr6] <= 0 || took > 30*time.Second {
		t.Errorf("both answer, and a sweep of %v found %v", took, trips)
	}
	ask(50*time.Millisecond, silent, addr[1], nowhere, addr6)
	if _, ok := trips[silent]; ok || len(trips) != 2 {
		t.Errorf("two answer, and a sweep found %v", trips)
	}

	ended, end := context.WithCancel(t.Context())
	end()
	must(t, ns[0].Do(func() error {
		if _, err := Sweep(ended, []netip.Addr{silent}, time.Minute, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted, a sweep answers %v", err)
		}
		return nil
	}))
}
