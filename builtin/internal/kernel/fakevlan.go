package kernel

import (
	"fmt"
	"syscall"
)

// doVLAN keeps the VLANs of bridges and their ports. One PVID takes the place of another.
func (f *Fake) doVLAN(verb Verb, v VLAN) error {
	l, err := f.link(v.Dev)
	if err != nil {
		return err
	}
	bridge := l
	if !v.Self {
		bridge, _ = f.link(l.Master)
	}
	switch {
	case bridge.Kind != "bridge":
		return syscall.EOPNOTSUPP
	case (v.ID < 1 || v.ID > 4094) && verb == Del:
		return syscall.EINVAL
	case v.ID < 1 || v.ID > 4094:
		return fmt.Errorf("%w: bridge: Vlan id is invalid", syscall.EINVAL)
	}
	for i, o := range f.objects {
		if other, ok := o.(VLAN); ok && v.PVID && verb != Del && other.Dev == v.Dev && other.Self == v.Self {
			other.PVID = false
			f.objects[i] = other
		}
	}
	if verb == Add || verb == Append {
		verb = Replace
	}
	return f.put(verb, v, nil)
}

// isPortVLAN reports whether the object is a VLAN of a port, which it loses with its bridge.
func isPortVLAN(o Object) bool {
	v, ok := o.(VLAN)
	return ok && !v.Self
}
