package builtin

import (
	"context"
	"path/filepath"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/wireguard"
)

// RotateWireGuardKey makes a new private key for the node of the state directory, which must have one, and returns its public
// key. A daemon that runs takes it up within a second. In use reports whether one has, before the context ended; without any
// WireGuard device in this network namespace it does not wait.
func RotateWireGuardKey(ctx context.Context, dir string) (public string, inUse bool, err error) {
	key, err := wireguard.Rotate(filepath.Join(dir, wireguard.KeyName))
	if err != nil {
		return "", false, err
	}
	set, err := Open(Options{})
	if err != nil {
		return key.String(), false, err
	}
	defer set.Close()
	for {
		devices, err := set.kernel.List(ctx, kernel.Device{})
		if err != nil || len(devices) == 0 {
			return key.String(), false, err
		}
		for _, o := range devices {
			if o.(kernel.Device).PublicKey == key {
				return key.String(), true, nil
			}
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return key.String(), false, nil
		}
	}
}
