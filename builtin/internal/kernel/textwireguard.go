package kernel

import (
	"strconv"
	"strings"
)

// Key is "device NAME".
func (d Device) Key() string { return "device " + d.Name }

// Key is "peer DEV KEY".
func (p Peer) Key() string { return "peer " + p.Dev + " " + p.PublicKey.String() }

func (d Device) command(verb Verb) string {
	if verb == Del {
		d = d.cleared()
	}
	w := command("wg", "set", d.Name)
	if d.ListenPort != nil {
		w.add("listen-port", strconv.Itoa(*d.ListenPort))
	}
	if d.Mark != nil {
		w.add("fwmark", strconv.Itoa(*d.Mark))
	}
	if d.PrivateKey != nil {
		w.add("private-key", d.PrivateKey.String())
	}
	return w.String()
}

func (p Peer) command(verb Verb) string {
	w := command("wg", "set", p.Dev, "peer", p.PublicKey.String())
	if verb == Del {
		w.add("remove")
		return w.String()
	}
	if p.Preshared != nil {
		w.add("preshared-key", p.Preshared.String())
	}
	w.when(p.Endpoint.IsValid(), "endpoint", p.Endpoint.String())
	if p.Keepalive != nil {
		w.add("persistent-keepalive", strconv.Itoa(int(p.Keepalive.Seconds())))
	}
	if p.AllowedIPs != nil {
		w.add("allowed-ips", p.allowed())
	}
	return w.String()
}

// allowed is the peer's prefixes as wg reads them: a plus adds to those that are there.
func (p Peer) allowed() string {
	if len(p.AllowedIPs) == 0 {
		return quoted("")
	}
	plus := map[bool]string{false: "+"}[p.ReplaceIPs]
	var list []string
	for _, prefix := range p.AllowedIPs {
		list = append(list, plus+prefix.String())
	}
	return strings.Join(list, ",")
}
