package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A link that somebody deleted came back with another address, of which the peers were not told, and without any peer.
func TestDefect11ALinkThatIsLostComesBackAsThePeersKnowIt(t *testing.T) {
	t.Parallel()
	tools(t, "ip", "bridge")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16"}`), 2)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	look := func() (mac, entries string) {
		link, err := nodes[0].Shell("ip -o link show flannel.1")
		if err == nil {
			entries, err = nodes[0].Shell("ip route show dev flannel.1; ip neigh show dev flannel.1 nud permanent; bridge fdb show dev flannel.1")
		}
		if err != nil {
			return "", ""
		}
		return regexp.MustCompile(`link/ether \S+`).FindString(link), entries
	}
	mac, entries := look()
	_, err := nodes[0].Shell("ip link del flannel.1")
	must(t, err)
	w.until("the link and its entries are back", func() error {
		if m, e := look(); m != mac || e != entries {
			return fmt.Errorf("it was %s with\n%s\nand is %s with\n%s", mac, entries, m, e)
		}
		return nil
	})
	w.reach(nodes...)
}

// Of several routes to a peer's subnet only the first was looked at, and what was wrong with the others stayed.
func TestDefect20ARouteIsPutBackBesideThoseOfOthers(t *testing.T) {
	t.Parallel()
	tools(t, "ip")
	w := newWorld(t, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "host-gw"}}`), 2)
	nodes := w.Nodes()
	w.up(nodes...)
	w.reach(nodes...)
	subnet := nodes[1].Subnets()
	ours, err := nodes[0].Shell("ip route show " + subnet)
	must(t, err)
	_, foreignErr := nodes[0].Shell(fmt.Sprintf("ip route add unreachable %s metric 4000000", subnet))
	_, delErr := nodes[0].Shell(fmt.Sprintf("ip route del %s", strings.TrimSpace(ours)))
	must(t, foreignErr, delErr)
	w.until("both routes are there", func() error {
		now, err := nodes[0].Shell("ip route show " + subnet)
		if err == nil && (!strings.Contains(now, strings.TrimSpace(ours)) || !strings.Contains(now, "unreachable ")) {
			err = errors.New(now)
		}
		return err
	})
	w.reach(nodes...)
}
