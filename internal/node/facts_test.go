package node

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func rowsOf(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

func TestDefaultsAreTheRoutesThatLeadEverywhere(t *testing.T) {
	for name, test := range map[string]struct {
		columns columns
		text    string
		want    []Route
	}{
		"IPv4: no header, no narrower route, not the lower half, no unreachable one, nothing cut short": {columns4, `
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
wg0	00000000	00000000	0001	0	0	0	00000080	0	0	0
*	00000000	00000000	0201	0	0	4294967295	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
wlan0	00000000	010200C0	0003	0	0	600	00000000	0	0	0
eth0	00000000
`, []Route{{"eth0", false, 100}, {"wlan0", false, 600}}},
		"IPv6: metrics in hexadecimal, the name last": {columns6, `
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000000 00 fd000000000000000000000000000000 40 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth1
`, []Route{{"eth0", true, 1024}}},
		"nothing where the family is missing": {columns6, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.columns.defaults(rowsOf(test.text))); diff != "" {
				t.Errorf("default routes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsTellWhichAddressesAreFit(t *testing.T) {
	flags := flags6(rowsOf(`
fd000000000000000000000000000002 04 40 00 80     eth0
fd000000000000000000000000000003 04 40 00 00     eth0
fd000000000000000000000000000004 04 40 00 01     eth0
fd000000000000000000000000000005 04 40 00 20     eth0
fd000000000000000000000000000006 1f 40 00 88     veth31
damaged 04 40 00 80 eth0
`))
	for name, test := range map[string]struct {
		index  int
		prefix string
		want   Address
	}{
		"permanent":                           {4, "fd00::2/64", Address{}},
		"dynamic":                             {4, "fd00::3/64", Address{Dynamic: true}},
		"temporary":                           {4, "fd00::4/64", Address{Dynamic: true, Temporary: true}},
		"deprecated":                          {4, "fd00::5/64", Address{Dynamic: true, Unfit: true}},
		"duplicate, the index in hexadecimal": {31, "fd00::6/64", Address{Unfit: true}},
		"IPv4 has no flags":                   {4, "192.0.2.2/24", Address{}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Prefix = netip.MustParsePrefix(test.prefix)
			got := newAddress(test.want.Prefix, flags[located{test.index, test.want.Addr()}])
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("address (-want +got):\n%s", diff)
			}
		})
	}
}
