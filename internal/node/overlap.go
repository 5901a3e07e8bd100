package node

import (
	"fmt"
	"net/netip"
)

// CheckOverlap refuses a network that holds addresses of a network which this machine is connected to: routes of the
// overlay would take these away. An error names both and says what to try.
//
// An earlier run of the overlay leaves addresses inside the network, on a tunnel or a container bridge. So what is
// smaller than the network and lies within it is taken for the overlay's own, unless it is on the external interface or on
// hardware.
func (f Facts) CheckOverlap(networks []netip.Prefix, e External) error {
	for _, network := range networks {
		for _, i := range f.Interfaces {
			for _, a := range i.Addresses {
				inside := a.Bits() > network.Bits()
				if !network.Overlaps(a.Prefix) || inside && i.Name != e.Name && !i.Hardware {
					continue
				}
				return fmt.Errorf("network %s overlaps %s, which interface %q of this machine is connected to with address %s: choose another network",
					network, a.Masked(), i.Name, a.Addr())
			}
		}
	}
	return nil
}
