package builtin

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/internal/sleep"
)

// RotateWireGuardKey makes a new private key for the node of the state directory, which must have one, and returns its public
// key. A daemon that runs takes it up in a few seconds. In use reports whether one has, before the context ended; without any
// WireGuard device in this network namespace it does not wait. The error is fs.ErrExist while an earlier key is not taken up yet.
func RotateWireGuardKey(ctx context.Context, dir string) (public string, inUse bool, err error) {
	path := filepath.Join(dir, wireguard.KeyName)
	key, err := wireguard.Rotate(path)
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
		_, waits := wireguard.Pending(path)
		for _, o := range devices { // until it is taken up the detour's may have it
			if o.(kernel.Device).PublicKey == key && errors.Is(waits, fs.ErrNotExist) {
				return key.String(), true, nil
			}
		}
		if sleep.For(ctx, 50*time.Millisecond) != nil {
			return key.String(), false, nil
		}
	}
}
