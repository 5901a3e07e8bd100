package command

import "testing"

// Where the kernel lacks a kind, what is compared is how it says so. Debian's has them all: make test-kernel.
func TestLinksOfManyKindsAreAnsweredAsByTheRealIP(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add du0 type dummy
		ip link add du0 type dummy
		ip link add name du1 mtu 1400 address 02:00:00:00:00:01 up type dummy
		ip -d link show du1
		ip link set du0 up
		ip addr add 192.0.2.1/24 dev du0
		ip route add 10.50.7.0/24 via 192.0.2.7
		ip route show dev du0
		ip link add ge0 type geneve id 7 remote 192.0.2.7
		ip link add ge0 type geneve id 7 remote 192.0.2.7
		ip link add ge1 address 02:00:00:00:00:02 type geneve id 8 remote fd00::8 ttl 9 dstport 6082 noudpcsum
		ip link add ge2 type geneve id 9
		ip link add ge2 type geneve remote 192.0.2.7
		ip link set ge0 up
		ip -d link show ge0
		ip -d link show ge1
		ip link add ti0 type ipip remote 192.0.2.7 local 192.0.2.1
		ip link add ti1 type ipip remote 192.0.2.7 local 192.0.2.1
		ip link add ti2 type ipip remote 192.0.2.8 local 192.0.2.1 ttl 9 mode ipip
		ip link add ti3 type ipip remote 192.0.2.8 ttl 9 nopmtudisc
		ip link set ti0 up mtu 1400
		ip addr add 10.50.1.0/32 dev ti0
		ip route add 10.50.8.0/24 via 192.0.2.7 dev ti0 onlink
		ip -d link show ti0
		ip -d link show ti2
		ip route show dev ti0
		ip link add gr0 type gre remote 192.0.2.9 local 192.0.2.1 key 7
		ip link add gr1 address 02:00:00:00:00:03 type gretap remote 192.0.2.9 local 192.0.2.1
		ip -d link show gr0
		ip -d link show gr1
		ip link add g60 type ip6gre remote fd00::9 local fd00::1
		ip -d link show g60
		ip link add link du1 name mv0 address 02:00:00:00:00:04 type macvlan mode bridge
		ip link add link du1 name iv0 type ipvlan mode l3
		ip link add link du1 name vl0 type vlan id 7
		ip -d link show mv0
		ip -d link show iv0
		ip -d link show vl0
		ip link add vr0 type vrf table 10
		ip link set vr0 up
		ip link set du0 master vr0
		ip -d link show du0
		ip -d link show vr0
		ip link show master vr0
		ip link show type geneve
		ip -br link
		ip link del du1
		ip link del ti2
		ip link del ge0
		ip link del vr0
	`)
}
