package kernel

import (
	"cmp"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// public is the device's settings with the public key in the private one's place, as they may be kept in a file.
func (d Device) public() Device {
	if d.PrivateKey != nil {
		d.PublicKey = PublicKey{}
		if private := wgtypes.Key(*d.PrivateKey); private != (wgtypes.Key{}) {
			d.PublicKey = PublicKey(private.PublicKey())
		}
	}
	d.PrivateKey, d.Userspace = nil, false
	return d
}

// with is the device's settings with those of the other put in.
func (d Device) with(other Device) Device {
	d.ListenPort, d.Mark = cmp.Or(other.ListenPort, d.ListenPort), cmp.Or(other.Mark, d.Mark)
	if other.PublicKey != (PublicKey{}) {
		d.PublicKey = other.PublicKey
	}
	return d
}

// equal reports whether both say the same.
func (d Device) equal(other Device) bool {
	return d.Name == other.Name && d.PublicKey == other.PublicKey && same(d.ListenPort, other.ListenPort) && same(d.Mark, other.Mark)
}

// cleared is what brings the settings that the device says back to what a new device has.
func (d Device) cleared() Device {
	c := Device{Name: d.Name}
	if d.PrivateKey != nil || d.PublicKey != (PublicKey{}) {
		c.PrivateKey = new(Secret)
	}
	if d.ListenPort != nil {
		c.ListenPort = new(int)
	}
	if d.Mark != nil {
		c.Mark = new(int)
	}
	return c
}

// same reports whether both say the same, or nothing.
func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }
