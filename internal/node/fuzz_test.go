package node

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzParseSubnetFile(f *testing.F) {
	f.Add("FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
	f.Add("export FLANNEL_IPV6_NETWORK='fd00::/48' # all\r\nFLANNEL_IPV6_SUBNET=\"fd00:0:0:7::1/64\"\nFLANNEL_MTU=-0\n")
	f.Add("FLANNEL_SUBNET==\n=\nexport =\x00")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := parseSubnetFile(text)
		if err != nil {
			return
		}
		for _, subnet := range read.Subnets {
			if !subnet.Contains(subnet.Addr().Next()) {
				return // too small to have an address for the bridge
			}
		}
		again, err := parseSubnetFile(string(read.text()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(read, again, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("written and read (-want +got):\n%s", diff)
		}
	})
}
