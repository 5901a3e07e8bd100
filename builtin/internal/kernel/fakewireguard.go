package kernel

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func (f *Fake) doDevice(verb Verb, d Device) error {
	if verb == Del {
		d = d.cleared()
	}
	i := f.find(d)
	if i < 0 {
		return syscall.ENODEV
	}
	have := f.objects[i].(Device)
	if d.PrivateKey != nil {
		have.PrivateKey = secret(wgtypes.Key(*d.PrivateKey))
		have.PublicKey = PublicKey{}
		if have.PrivateKey != nil {
			have.PublicKey = PublicKey(wgtypes.Key(*d.PrivateKey).PublicKey())
		}
	}
	if d.ListenPort != nil {
		have.ListenPort = d.ListenPort
	}
	if d.Mark != nil {
		have.Mark = d.Mark
	}
	f.objects[i] = have
	return nil
}

func (f *Fake) doPeer(verb Verb, p Peer) error {
	if f.find(Device{Name: p.Dev}) < 0 {
		return syscall.ENODEV
	}
	i := f.find(p)
	if verb == Del || verb == Change && i < 0 {
		if i >= 0 {
			f.objects = slices.Delete(f.objects, i, i+1)
		}
		return nil
	}
	if i < 0 {
		i = len(f.objects)
		f.objects = append(f.objects, Peer{Dev: p.Dev, PublicKey: p.PublicKey, ReplaceIPs: true, Keepalive: new(time.Duration)})
	}
	f.objects[i] = f.objects[i].(Peer).merged(p)
	for j, o := range f.objects {
		if other, ok := o.(Peer); ok && i != j && other.Dev == p.Dev {
			f.objects[j] = other.without(p.AllowedIPs)
		}
	}
	return nil
}

// merged is the peer with what the other says put in.
func (p Peer) merged(with Peer) Peer {
	if with.Preshared != nil {
		p.Preshared = secret(wgtypes.Key(*with.Preshared))
	}
	if with.Endpoint.IsValid() {
		p.Endpoint = with.Endpoint
	}
	if with.Keepalive != nil {
		p.Keepalive = with.Keepalive
	}
	if with.ReplaceIPs {
		p.ReplaceIPs, p.AllowedIPs = true, nil
	}
	p.AllowedIPs = slices.Clone(p.AllowedIPs)
	for _, ip := range with.AllowedIPs {
		if !slices.Contains(p.AllowedIPs, ip) {
			p.AllowedIPs = append(p.AllowedIPs, ip)
		}
	}
	return p
}

// without is the peer less the prefixes, each of which can only be one peer's.
func (p Peer) without(ips []netip.Prefix) Peer {
	p.AllowedIPs = slices.DeleteFunc(slices.Clone(p.AllowedIPs), func(ip netip.Prefix) bool { return slices.Contains(ips, ip) })
	return p
}

// secret is a key that is set; WireGuard says zero for one that is not.
func secret(k wgtypes.Key) *Secret {
	if k == (wgtypes.Key{}) {
		return nil
	}
	return (*Secret)(&k)
}
