package node

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// A Tunnel is where a tunnel's link receives what other nodes send.
type Tunnel struct {
	Port  uint16     // of UDP
	Local netip.Addr // the address that it sends from; the zero Addr when the kernel chooses
}

// ReadTunnel reads the tunnel of a vxlan, geneve or wireguard link. It is an error for other links.
func ReadTunnel(name string) (Tunnel, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return Tunnel{}, fmt.Errorf("read link %s: %w", name, err)
	}
	switch l := link.(type) {
	case *netlink.Vxlan:
		local, _ := netip.AddrFromSlice(l.SrcAddr)
		return Tunnel{uint16(l.Port), local.Unmap()}, nil
	case *netlink.Geneve:
		return Tunnel{Port: l.Dport}, nil
	case *netlink.Wireguard:
		return readWireGuard(name)
	}
	return Tunnel{}, fmt.Errorf("read link %s: a %s link is no tunnel over UDP", name, link.Type())
}

func readWireGuard(name string) (Tunnel, error) {
	client, err := wgctrl.New()
	if err != nil {
		return Tunnel{}, fmt.Errorf("ask for WireGuard devices: %w", err)
	}
	defer client.Close()
	device, err := client.Device(name)
	if err != nil {
		return Tunnel{}, fmt.Errorf("read WireGuard device %s: %w", name, err)
	}
	return Tunnel{Port: uint16(device.ListenPort)}, nil
}
