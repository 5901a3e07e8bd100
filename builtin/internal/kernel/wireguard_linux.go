package kernel

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func (s *system) doDevice(verb Verb, d Device) error {
	if verb == Del {
		d = d.cleared()
	}
	return s.configure(d.Name, wgtypes.Config{
		PrivateKey: (*wgtypes.Key)(d.PrivateKey), ListenPort: d.ListenPort, FirewallMark: d.Mark,
	})
}

// doPeer makes a peer that is not there and takes no offence at the removal of one, as wg does.
func (s *system) doPeer(verb Verb, p Peer) error {
	return s.configure(p.Dev, wgtypes.Config{Peers: []wgtypes.PeerConfig{peerConfig(verb, p)}})
}

func peerConfig(verb Verb, p Peer) wgtypes.PeerConfig {
	peer := wgtypes.PeerConfig{
		PublicKey: wgtypes.Key(p.PublicKey), Remove: verb == Del, UpdateOnly: verb == Change,
		PresharedKey: (*wgtypes.Key)(p.Preshared), PersistentKeepaliveInterval: p.Keepalive, ReplaceAllowedIPs: p.ReplaceIPs,
	}
	if p.Endpoint.IsValid() {
		peer.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
	}
	for _, a := range p.AllowedIPs {
		peer.AllowedIPs = append(peer.AllowedIPs, net.IPNet{
			IP: a.Masked().Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen()),
		})
	}
	return peer
}

// configure changes a device of this process directly, and any other through the kernel or its socket.
func (s *system) configure(name string, c wgtypes.Config) error {
	if t := s.tunnels.get(name); t != nil {
		return t.configure(name, c)
	}
	return s.control(func(client *wgctrl.Client) error { return client.ConfigureDevice(name, c) })
}

// control lends the wgctrl client. It is made when first wanted, since most networks never do, and anew after a link of
// the kernel's WireGuard was made, since a client made before the module was loaded does not know it.
func (s *system) control(use func(*wgctrl.Client) error) error {
	s.clientMu.Lock()
	defer s.clientMu.Unlock()
	if s.client == nil {
		client, err := wgctrl.New()
		if err != nil {
			return err
		}
		s.client = client
	}
	err := use(s.client)
	if errors.Is(err, fs.ErrNotExist) {
		return unix.ENODEV
	}
	return err
}

func (s *system) closeControl() {
	s.clientMu.Lock()
	defer s.clientMu.Unlock()
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// listDevices lists the device of that name, or all, by name.
func (s *system) listDevices(like Device) ([]Object, error) {
	found := []string{like.Name}
	if like.Name == "" {
		var err error
		if found, err = s.deviceNames(); err != nil {
			return nil, err
		}
	}
	var list []Object
	for _, name := range found {
		d, err := s.device(name)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, readDevice(d))
	}
	return list, nil
}

// deviceNames finds WireGuard links, and the links for which some process keeps a socket as userspace devices do.
func (s *system) deviceNames() ([]string, error) {
	links, err := s.listLinks(Link{Kind: "wireguard"})
	if err != nil {
		return nil, err
	}
	var found []string
	for _, l := range links {
		found = append(found, l.(Link).Name)
	}
	sockets, _ := filepath.Glob(socketPath("*")) // fails only on a bad pattern
	for _, path := range sockets {
		name := strings.TrimSuffix(filepath.Base(path), ".sock")
		if _, err := s.index(name); err == nil {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// listPeers lists the peers of the device, or of all; with a key, only that one.
func (s *system) listPeers(like Peer) ([]Object, error) {
	found := []string{like.Dev}
	if like.Dev == "" {
		var err error
		if found, err = s.deviceNames(); err != nil {
			return nil, err
		}
	}
	var list []Object
	for _, name := range found {
		d, err := s.device(name)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, p := range d.Peers {
			if key := PublicKey(p.PublicKey); like.PublicKey == (PublicKey{}) || like.PublicKey == key {
				list = append(list, readPeer(name, p))
			}
		}
	}
	return list, nil
}

func (s *system) device(name string) (d *wgtypes.Device, err error) {
	if t := s.tunnels.get(name); t != nil {
		return t.read(name)
	}
	err = s.control(func(client *wgctrl.Client) error {
		d, err = client.Device(name)
		return err
	})
	return d, err
}

func readDevice(d *wgtypes.Device) Device {
	return Device{
		Name: d.Name, PrivateKey: secret(d.PrivateKey), ListenPort: &d.ListenPort, Mark: &d.FirewallMark,
		PublicKey: PublicKey(d.PublicKey), Userspace: d.Type == wgtypes.Userspace,
	}
}

func readPeer(dev string, p wgtypes.Peer) Peer {
	peer := Peer{
		Dev: dev, PublicKey: PublicKey(p.PublicKey), Preshared: secret(p.PresharedKey),
		Keepalive: &p.PersistentKeepaliveInterval, ReplaceIPs: true, AllowedIPs: []netip.Prefix{},
		Handshake: p.LastHandshakeTime, Received: p.ReceiveBytes, Sent: p.TransmitBytes,
	}
	if p.Endpoint != nil {
		a := p.Endpoint.AddrPort()
		peer.Endpoint = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	for _, ip := range p.AllowedIPs {
		bits, _ := ip.Mask.Size()
		peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(addr(ip.IP).Unmap(), bits))
	}
	return peer
}
