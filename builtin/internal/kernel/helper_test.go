package kernel

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/netns"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr       { return netip.MustParseAddr(s) }

func netipPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, prefix(s))
	}
	return p
}

// openIn opens the real kernel in a new namespace.
func openIn(t *testing.T) Kernel {
	t.Helper()
	k, done := opened(t)
	t.Cleanup(done)
	return k
}

// opened is for tests that want so many of them that they have to be closed before the end.
func opened(t *testing.T) (Kernel, func()) {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	var k Kernel
	if err := ns.Do(func() (err error) { k, err = Open(slog.New(slog.DiscardHandler)); return err }); err != nil {
		t.Fatal(err)
	}
	return k, func() { k.Close(); ns.Close() }
}

// eachKernel runs a test on the Fake and on Linux, which have to agree.
func eachKernel(t *testing.T, test func(*testing.T, Kernel)) {
	t.Run("fake", func(t *testing.T) { test(t, NewFake()) })
	t.Run("linux", func(t *testing.T) { test(t, openIn(t)) })
}

func do(t *testing.T, k interface {
	Do(context.Context, ...Op) error
}, ops ...Op) {
	t.Helper()
	if err := k.Do(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, k Kernel, like Object) []Object {
	t.Helper()
	l, err := k.List(t.Context(), like)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// state is what there is in the kernel as commands, less what it makes by itself and the addresses it invents.
func state(t *testing.T, k Kernel) string {
	t.Helper()
	var all []Object
	for _, like := range []Object{Link{}, Addr{}, Neigh{}, FDB{}, VLAN{}, Route{Table: AnyTable}, Device{}, Peer{}} {
		for _, o := range list(t, k, like) {
			a, isAddr := o.(Addr)
			v, isVLAN := o.(VLAN)
			if lasting(o) && !(isVLAN && v.ID == firstVLAN) && !(isAddr && a.Prefix.Addr().IsLinkLocalUnicast()) {
				all = append(all, plain(o))
			}
		}
	}
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/vx/rp_filter", "net/ipv4/conf/vx/forwarding"} {
		for _, o := range list(t, k, Sysctl{Name: name}) {
			if o.(Sysctl).Value != "0" {
				all = append(all, o)
			}
		}
	}
	return describe(all)
}

func plain(o Object) Object {
	if l, ok := o.(Link); ok {
		l.TxQueue = 0
		if l.Kind != "vxlan" {
			l.Address = ""
		}
		return l
	}
	return o
}

// reason is the kernel's part of an error.
func reason(err error) string {
	var refused *OpError
	if !errors.As(err, &refused) {
		return ""
	}
	return strings.TrimPrefix(refused.Error(), refused.Op.String()+": ")
}
