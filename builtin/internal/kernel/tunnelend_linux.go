package kernel

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// A TunnelEnd is where a tunnel's link receives what other nodes send.
type TunnelEnd struct {
	Port  uint16     // of UDP
	Local netip.Addr // the address that it sends from; the zero Addr when the kernel chooses
}

// ReadTunnelEnd reads that of a vxlan, geneve or wireguard link. It is an error for other links.
func ReadTunnelEnd(name string) (TunnelEnd, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return TunnelEnd{}, fmt.Errorf("read link %s: %w", name, err)
	}
	switch l := link.(type) {
	case *netlink.Vxlan:
		local, _ := netip.AddrFromSlice(l.SrcAddr)
		return TunnelEnd{uint16(l.Port), local.Unmap()}, nil
	case *netlink.Geneve:
		return TunnelEnd{Port: l.Dport}, nil
	case *netlink.Wireguard:
		return readWireGuardEnd(name)
	}
	return TunnelEnd{}, fmt.Errorf("read link %s: a %s link is no tunnel over UDP", name, link.Type())
}

func readWireGuardEnd(name string) (TunnelEnd, error) {
	client, err := wgctrl.New()
	if err != nil {
		return TunnelEnd{}, fmt.Errorf("ask for WireGuard devices: %w", err)
	}
	defer client.Close()
	device, err := client.Device(name)
	if err != nil {
		return TunnelEnd{}, fmt.Errorf("read WireGuard device %s: %w", name, err)
	}
	return TunnelEnd{Port: uint16(device.ListenPort)}, nil
}
