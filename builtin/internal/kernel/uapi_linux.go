package kernel

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// configText is a configuration in the lines that userspace WireGuard reads.
// See https://www.wireguard.com/xplatform/#configuration-protocol.
func configText(c wgtypes.Config) string {
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s=%v\n", key, value) }
	if c.PrivateKey != nil {
		line("private_key", hex.EncodeToString(c.PrivateKey[:]))
	}
	if c.ListenPort != nil {
		line("listen_port", *c.ListenPort)
	}
	if c.FirewallMark != nil {
		line("fwmark", *c.FirewallMark)
	}
	for _, p := range c.Peers {
		line("public_key", hex.EncodeToString(p.PublicKey[:]))
		if p.UpdateOnly {
			line("update_only", true)
		}
		if p.Remove {
			line("remove", true)
			continue
		}
		if p.PresharedKey != nil {
			line("preshared_key", hex.EncodeToString(p.PresharedKey[:]))
		}
		if p.Endpoint != nil {
			line("endpoint", p.Endpoint)
		}
		if p.PersistentKeepaliveInterval != nil {
			line("persistent_keepalive_interval", int(p.PersistentKeepaliveInterval.Seconds()))
		}
		if p.ReplaceAllowedIPs {
			line("replace_allowed_ips", true)
		}
		for _, ip := range p.AllowedIPs {
			line("allowed_ip", &ip)
		}
	}
	return b.String()
}

// readConfig reads the lines that userspace WireGuard writes.
func readConfig(name, text string) (*wgtypes.Device, error) {
	d := &wgtypes.Device{Name: name, Type: wgtypes.Userspace}
	var p *wgtypes.Peer
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		var err error
		switch {
		case key == "public_key":
			d.Peers = append(d.Peers, wgtypes.Peer{})
			p = &d.Peers[len(d.Peers)-1]
			err = readKey(&p.PublicKey, value)
		case p == nil:
			err = readDeviceLine(d, key, value)
		default:
			err = readPeerLine(p, key, value)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of WireGuard device %s: %w", key, name, err)
		}
	}
	if d.PrivateKey != (wgtypes.Key{}) {
		d.PublicKey = d.PrivateKey.PublicKey()
	}
	return d, nil
}

func readDeviceLine(d *wgtypes.Device, key, value string) (err error) {
	switch key {
	case "private_key":
		err = readKey(&d.PrivateKey, value)
	case "listen_port":
		d.ListenPort, err = strconv.Atoi(value)
	case "fwmark":
		d.FirewallMark, err = strconv.Atoi(value)
	}
	return err
}

func readPeerLine(p *wgtypes.Peer, key, value string) (err error) {
	var n int64
	switch key {
	case "preshared_key":
		return readKey(&p.PresharedKey, value)
	case "endpoint":
		var a netip.AddrPort
		a, err = netip.ParseAddrPort(value)
		p.Endpoint = net.UDPAddrFromAddrPort(a)
		return err
	case "allowed_ip":
		_, ip, err := net.ParseCIDR(value)
		if err == nil {
			p.AllowedIPs = append(p.AllowedIPs, *ip)
		}
		return err
	}
	if n, err = strconv.ParseInt(value, 10, 64); err != nil {
		return err
	}
	switch key {
	case "persistent_keepalive_interval":
		p.PersistentKeepaliveInterval = time.Duration(n) * time.Second
	case "last_handshake_time_sec":
		if n > 0 {
			p.LastHandshakeTime = time.Unix(n, 0)
		}
	case "last_handshake_time_nsec":
		p.LastHandshakeTime = p.LastHandshakeTime.Add(time.Duration(n))
	case "tx_bytes":
		p.TransmitBytes = n
	case "rx_bytes":
		p.ReceiveBytes = n
	}
	return nil
}

func readKey(k *wgtypes.Key, value string) error {
	b, err := hex.DecodeString(value)
	if err != nil || copy(k[:], b) != len(k) {
		return errors.New("want 32 bytes in hexadecimal")
	}
	return nil
}
