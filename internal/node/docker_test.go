package node_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/internal/node"
)

func TestDockerOptionsAreInOrderOfTheirNames(t *testing.T) {
	file := node.SubnetFile{Subnets: prefixes("fd00:0:0:7::/64", "10.50.7.0/24"), MTU: 1430, IPMasq: true}
	got := string(file.DockerOptions(node.DockerOptions{Individual: true, Combined: "OPTS", Before: "--debug"}))
	want := `DOCKER_OPT_BIP="--bip=10.50.7.1/24"
DOCKER_OPT_FIXED_CIDR_V6="--fixed-cidr-v6=fd00:0:0:7::/64"
DOCKER_OPT_IPMASQ="--ip-masq=false"
DOCKER_OPT_IPV6="--ipv6"
DOCKER_OPT_MTU="--mtu=1430"
OPTS="--debug --bip=10.50.7.1/24 --fixed-cidr-v6=fd00:0:0:7::/64 --ip-masq=false --ipv6 --mtu=1430"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestStaleRouteFindsOneThroughAnotherNodeAlone(t *testing.T) {
	ns, err := netns.New()
	must(t, err)
	defer ns.Close()
	must(t, netns.Connect(ns, "eth0", ns, "far", 1400))
	must(t, ns.Addr("eth0", prefixes("192.0.2.7/24", "10.50.9.1/24")...))
	for _, to := range []string{"10.50.7.0/24", "10.50.0.0/16", "10.50.9.128/25"} {
		must(t, ns.Route(netip.MustParsePrefix(to), addr("192.0.2.1")))
	}
	for to, want := range map[string]netip.Addr{
		"10.50.7.0/24": addr("192.0.2.1"), "10.50.7.0/25": {}, "10.50.8.0/24": {}, "10.50.9.0/24": {}, "192.0.2.0/24": {},
	} {
		must(t, ns.Do(func() error {
			got, err := node.StaleRoute(netip.MustParsePrefix(to))
			if got != want {
				t.Errorf("%s goes through %s, want %s", to, got, want)
			}
			return err
		}))
	}
}
