package node

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckNetAdmin refuses to go on without the right to change links, addresses and routes.
func CheckNetAdmin() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // capabilities 0 to 31, and 32 to 63
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if sets[unix.CAP_NET_ADMIN/32].Effective&(1<<(unix.CAP_NET_ADMIN%32)) == 0 {
		return errors.New("this process may not change links, addresses and routes: it lacks CAP_NET_ADMIN")
	}
	return nil
}
