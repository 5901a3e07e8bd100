package node_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

func TestPreviousFindsWhatTheNodeHeldLast(t *testing.T) {
	const flannels = "FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.9.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
	for name, test := range map[string]struct {
		remembered, subnetFile string // "" for no file
		want                   []netip.Prefix
		warning                string
	}{
		"nothing at the first start":            {"", "", nil, ""},
		"what was remembered":                   {"10.50.7.0/24\nfd00:7::/64\n", flannels, prefixes("10.50.7.0/24", "fd00:7::/64"), ""},
		"flannel's subnet, host bits cleared":   {"", flannels, prefixes("10.50.9.0/24"), ""},
		"flannel's subnet if memory is damaged": {"10.50.7.0/24\n10.5", flannels, prefixes("10.50.9.0/24"), `subnets:2: "10.5" is no subnet`},
		"no address of a host":                  {"10.50.7.1/24\n", "", nil, `subnets:1: "10.50.7.1/24" is no subnet`},
		"nothing if both are damaged":           {"\x00", "FLANNEL_SUBNET=ten", nil, `subnet.env:1: FLANNEL_SUBNET="ten": `},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"subnets": test.remembered, "subnet.env": test.subnetFile} {
				if text != "" {
					must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
				}
			}
			got, err := node.Previous(dir, filepath.Join(dir, "subnet.env"))
			if test.warning == "" {
				must(t, err)
			} else {
				refused(t, err, test.warning)
			}
			if diff := cmp.Diff(test.want, got, comparable); diff != "" {
				t.Errorf("subnets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRememberReplacesWhatWasRemembered(t *testing.T) {
	dir := t.TempDir()
	for _, want := range [][]netip.Prefix{prefixes("10.50.7.0/24"), prefixes("10.50.8.0/24", "fd00:8::/64")} {
		must(t, node.Remember(dir, want))
		got, err := node.Previous(dir, filepath.Join(dir, "absent"))
		must(t, err)
		if diff := cmp.Diff(want, got, comparable); diff != "" {
			t.Errorf("subnets (-want +got):\n%s", diff)
		}
	}
	only(t, dir, "subnets")
}
