package command

import (
	"testing"
)

func TestNeighboursAreAnsweredAsByTheRealTools(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add vx0 type vxlan id 7 dstport 4789
		arp -s 192.0.2.5 02:00:00:00:00:05 dev vx0
		ip link set vx0 up
		ip addr add 192.0.2.1/24 dev vx0
		ip neigh add
		ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:01
		ip neigh add 192.0.2.9 lladdr zz dev vx0
		ip neigh add bogus lladdr 02:00:00:00:00:01 dev vx0
		ip neigh add 192.0.2.9 dev vx0
		ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:01 dev vx0 nud nope
		ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:01 dev nope
		ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:01 dev vx0
		ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:01 dev vx0
		ip neigh replace 192.0.2.8 lladdr 02:00:00:00:00:02 dev vx0
		ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:01 dev vx0 nud noarp
		ip neigh add fd00::9 lladdr 02:00:00:00:00:01 dev vx0 nud stale
		ip neigh change 192.0.2.10 lladdr 02:00:00:00:00:01 dev vx0
		ip neigh del 192.0.2.10 dev vx0
		ip neigh
		ip n s dev vx0
		ip -6 n
		ip neigh show 192.0.2.8
		ip neigh show dev nope
		ip neigh del 192.0.2.8 dev vx0
		ip link set lo up
		ip neigh add 192.0.2.78 lladdr 02:00:00:00:00:05 dev lo
		arp -n -i lo
		arp -an -i lo
		arp -s 10.50.7.0 zz dev vx0
		arp -s 10.50.7.0
		arp -s 10.50.7.0 02:00:00:00:00:01 dev nope
		arp -s 10.50.7.0 02:00:00:00:00:01 -i vx0
		arp -i vx0 -s 10.50.7.1 02:00:00:00:00:01
		arp -d 10.50.7.0 dev vx0
		arp -d 10.50.7.9 dev vx0
		arp -d 10.50.7.9 -i nope
		arp -d
		bridge fdb add zz dev vx0 dst 192.0.2.2
		bridge fdb add 02:00:00:00:00:07 dev nope dst 192.0.2.2
		bridge fdb add 02:00:00:00:00:07 dst 192.0.2.2
		bridge fdb add 02:00:00:00:00:07 dev vx0 dst bogus
		bridge fdb add 02:00:00:00:00:07 dev vx0 dst 192.0.2.2 vni x
		bridge fdb add 02:00:00:00:00:07 dev vx0 dst 192.0.2.2 vlan x
		bridge fdb add 02:00:00:00:00:07 dev vx0
		bridge fdb add 02:00:00:00:00:07 dev vx0 dst
		bridge fdb add 02:00:00:00:00:07 dev vx0 dst fd00::1
		bridge fdb append 02:00:00:00:00:07 dev vx0 dst 192.0.2.2
		bridge fdb append 02:00:00:00:00:07 dev vx0 dst 192.0.2.3
		bridge fdb replace 02:00:00:00:00:08 dev vx0 dst 192.0.2.2 port 4789 vni 7 via vx0
		bridge fdb del 02:00:00:00:00:44 dev vx0
		bridge fdb del 02:00:00:00:00:44 dev vx0 dst 192.0.2.1
		bridge fdb del 02:00:00:00:00:07 dev vx0 dst 192.0.2.3
		bridge fdb show dev vx0
		bridge fdb show
		bridge fdb
		bridge fdb show dev nope
		ip link add br0 type bridge
		ip link set vx0 master br0
		bridge fdb add 02:00:00:00:00:11 dev vx0 master
		bridge fdb add 02:00:00:00:00:12 dev vx0 master static
		bridge fdb add 02:00:00:00:00:13 dev vx0 master vlan 5
		bridge fdb show brport vx0
		bridge fdb del 02:00:00:00:00:11 dev vx0 master
	`)
}
