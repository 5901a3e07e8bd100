package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/overlayd/overlayd/internal/netns"
)

// The test program is also overlayd, which all tests find in PATH by this name, and by flanneld's.
func TestMain(m *testing.M) {
	testscript.Main(outside{m}, map[string]func(){"overlayd": main, "flanneld": main})
}

// outside runs the package's tests in namespaces of their own.
type outside struct{ *testing.M }

func (o outside) Run() int {
	defer buildFlannel()()
	return netns.MainInside(inside(o))
}

// inside runs them on a machine with an external interface.
type inside struct{ *testing.M }

func (i inside) Run() int {
	if err := makeMachine(); err != nil {
		fmt.Fprintln(os.Stderr, "make external interface:", err)
		return 1
	}
	return i.M.Run()
}

// makeMachine makes eth0, with an address and the default route. Nobody is at its other end. Packets are forwarded, as a
// daemon wants it.
func makeMachine() error {
	here, err := netns.Current()
	if err != nil {
		return err
	}
	defer here.Close()
	if err := netns.Connect(here, "eth0", here, "nowhere", 1500); err != nil {
		return err
	}
	return errors.Join(
		here.Addr("eth0", netip.MustParsePrefix("192.0.2.1/24")),
		here.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.254")),
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
	)
}
