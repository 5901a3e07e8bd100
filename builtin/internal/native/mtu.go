package native

import (
	"fmt"

	"github.com/overlayd/overlayd/internal/strictjson"
)

// CheckMTU refuses a config's MTU, in bytes, that no underlay has. 0 is not given.
func CheckMTU(object *strictjson.Object, mtu int) error {
	if mtu == 0 {
		return nil
	}
	return object.Within("MTU", mtu, 576, 65535)
}

// Underlay is the MTU in bytes of the packets that carry the overlay's: the interface's, or the config's when that is not 0.
func (n *Node) Underlay(config int) (int, error) {
	if config > n.MTU {
		return 0, fmt.Errorf("MTU: %d is more than %s carries, which is %d", config, n.Interface, n.MTU)
	}
	if config == 0 {
		return n.MTU, nil
	}
	return config, nil
}
