package command

import (
	"strings"
	"testing"
)

// Where the kernel's bridges know no VLANs, what is compared is how it says so. Debian's do: make test-kernel.
func TestVLANsAreAnsweredAsByTheRealBridge(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add br0 type bridge vlan_filtering 1
		ip link add br0 type bridge
		ip link add fifteen-letters type bridge
		ip link add ve0 type veth peer name ve1
		bridge vlan
		bridge -j vlan
		ip link set ve0 master br0
		bridge vlan show
		bridge vlan add dev ve0 vid 5
		bridge vlan add dev ve0 vid 5
		bridge vlan add dev ve0 vid 10-14 untagged
		bridge vlan add vid 16-18 dev ve0 master
		bridge vlan add dev ve0 vid 7 pvid untagged
		bridge vlan a dev ve0 vid 8 pvid
		bridge vlan add dev br0 vid 9
		bridge vlan add dev br0 vid 9 self
		bridge vlan add dev br0 vid 20-21 self
		bridge vlan add dev fifteen-letters vid 3 self
		bridge vlan add dev ve1 vid 9
		bridge vlan add dev ve1 vid 9 self
		bridge vlan add dev ve0 vid 9 self
		bridge vlan add dev nope vid 9
		bridge vlan add dev nope vid 5000
		bridge vlan add dev ve0 vid 0
		bridge vlan add dev ve0 vid 4094
		bridge vlan add dev ve0 vid 4095
		bridge vlan add dev ve0 vid 4096
		bridge vlan add dev ve0 vid 9-7
		bridge vlan add dev ve0 vid 7-7
		bridge vlan add dev ve0 vid 7-5000
		bridge vlan add dev ve0 vid 30-31 pvid
		bridge vlan add dev ve0
		bridge vlan add vid 3
		bridge vlan add vid
		bridge vlan add dev
		bridge vlan
		bridge -compressvlans vlan
		bridge -o vlan
		bridge -j vlan
		bridge -j -p vlan
		bridge -j -compressvlans vlan
		bridge -p -j -compressvlans vlan
		bridge vlan show dev ve0
		bridge vlan show dev ve1
		bridge -j vlan show dev ve1
		bridge vlan show vid 17
		bridge vlan list vid 1
		bridge -compressvlans vlan show vid 17
		bridge -compressvlans -j vlan show vid 17 dev ve0
		bridge vlan show vid 17 dev br0
		bridge vlan show dev nope
		bridge vlan show dev
		bridge vlan del dev ve0 vid 999
		bridge vlan del dev br0 vid 999 self
		bridge vlan del dev ve0 vid 0
		bridge vlan del dev ve0 vid 10-11 untagged
		bridge vlan del dev ve0 vid 8 pvid
		bridge vlan del dev ve0 vid 5 self
		bridge vlan delete dev br0 vid 20-21 self
		bridge vlan
		bridge vlan del dev ve0 vid 1-300
		bridge vlan
		ip link set ve0 nomaster
		ip link set ve0 master br0
		bridge vlan add dev ve0 vid 100-199
		bridge -compressvlans vlan
		ip link del br0
		bridge vlan
	`)
}

// The listing is not sorted away: of one link the numbers ascend.
func TestVLANsAreListedInTheOrderOfTheRealBridge(t *testing.T) {
	t.Parallel()
	requireTools(t, "ip", "bridge")
	theirs, ours := newNamespace(t), newNamespace(t)
	real, own := &reference{theirs, t.TempDir()}, &shell{kernel: openKernel(t, ours), dir: t.TempDir()}
	for line := range strings.Lines(`ip link add br0 type bridge
ip link add ve0 type veth peer name ve1
ip link set ve0 master br0
bridge vlan add dev ve0 vid 20-22
bridge vlan add dev ve0 vid 3 untagged
bridge vlan`) {
		line = strings.TrimSpace(line)
		want := real.run(t, line)
		if got, _ := own.run(t, line); got != want {
			t.Errorf("%s\n got %+v\nwant %+v", line, got, want)
		}
	}
}
