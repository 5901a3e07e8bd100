package node_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/internal/node"
)

func TestReadSeesTheNamespaceOfItsThread(t *testing.T) {
	ns, err := netns.New()
	must(t, err)
	defer ns.Close()
	must(t, netns.Connect(ns, "eth0", ns, "far", 1400))
	must(t, ns.Addr("eth0", prefixes("192.0.2.7/24", "fd00::7/64")...))
	must(t, ns.Route(netip.MustParsePrefix("0.0.0.0/0"), addr("192.0.2.1")))
	must(t, ns.Route(netip.MustParsePrefix("::/0"), addr("fd00::1")))

	var facts node.Facts
	must(t, ns.Do(func() (err error) { facts, err = node.Read(); return err }))

	if diff := cmp.Diff([]node.Route{{Interface: "eth0"}, {Interface: "eth0", V6: true, Metric: 1024}}, facts.Defaults); diff != "" {
		t.Errorf("default routes (-want +got):\n%s", diff)
	}
	at := slices.IndexFunc(facts.Interfaces, func(i node.Interface) bool { return i.Name == "eth0" })
	want := node.Interface{Name: "eth0", MTU: 1400, Addresses: []node.Address{plain("192.0.2.7/24"), plain("fd00::7/64")}}
	got := facts.Interfaces[at]
	got.Addresses = slices.DeleteFunc(got.Addresses, func(a node.Address) bool { return a.Addr().IsLinkLocalUnicast() })
	if diff := cmp.Diff(want, got, comparable, cmpopts.IgnoreFields(node.Interface{}, "Index")); diff != "" {
		t.Errorf("interface (-want +got):\n%s", diff)
	}
	external, err := facts.External(node.Request{V4: true, V6: true})
	must(t, err)
	if external.V4 != addr("192.0.2.7") || external.V6 != addr("fd00::7") {
		t.Errorf("external addresses are %s and %s", external.V4, external.V6)
	}
}

// /sys shows the links of the namespace that it was mounted in, so a process of its own has to look.
func TestReadTellsTunnelsAndBridgesOfContainersApart(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the ip program is not installed: ", err)
	}
	if os.Getenv("LOOK_AT_LINKS") != "" {
		facts, err := node.Read()
		must(t, err)
		for _, i := range facts.Interfaces {
			fmt.Printf("%s virtual=%t loopback=%t\n", i.Name, i.Virtual, i.Loopback)
		}
		return
	}
	ns, err := netns.New()
	must(t, err)
	defer ns.Close()
	self, err := os.Executable()
	must(t, err)
	look := exec.Command("sh", "-c", `ip link add eth0 type veth peer eth1
		ip link add vx0 type vxlan id 7 dstport 0 dev eth0
		ip link add br0 type bridge
		ip link set eth1 master br0
		ip tuntap add tun0 mode tun
		ip tuntap add tap0 mode tap
		exec "$0" -test.run '^'"$1"'$'`, self, t.Name())
	look.Env = append(os.Environ(), "LOOK_AT_LINKS=1")
	var out bytes.Buffer
	look.Stdout, look.Stderr = &out, &out
	if err := ns.Run(look); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	for name, want := range map[string]string{
		"lo": "virtual=true loopback=true", "eth0": "virtual=false loopback=false", "vx0": "virtual=true loopback=false",
		"br0":  "virtual=true loopback=false",
		"tun0": "virtual=true loopback=false", "tap0": "virtual=true loopback=false",
	} {
		if !strings.Contains("\n"+out.String(), "\n"+name+" "+want+"\n") {
			t.Errorf("%s is not %s in\n%s", name, want, &out)
		}
	}
}

func TestCheckNetAdminMissesTheCapability(t *testing.T) {
	must(t, node.CheckNetAdmin())
	refusal := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: a thread without capabilities is of no use to other tests
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			refusal <- err
			return
		}
		refusal <- node.CheckNetAdmin()
	}()
	refused(t, <-refusal, "CAP_NET_ADMIN")
}
