package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Forwarding is the kernel's switch for passing packets on, of one family.
type Forwarding struct {
	V6 bool
}

func (f Forwarding) name() string {
	if f.V6 {
		return "net.ipv6.conf.all.forwarding"
	}
	return "net.ipv4.ip_forward"
}

// String is the sysctl that is wanted: "net.ipv4.ip_forward=1".
func (f Forwarding) String() string { return f.name() + "=1" }

// On reports whether packets are passed on in the network namespace of the calling thread. A kernel without the family is an
// error that is fs.ErrNotExist.
func (f Forwarding) On() (bool, error) {
	value, err := os.ReadFile(f.path())
	if err != nil {
		return false, fmt.Errorf("read %s: %w", f.name(), err)
	}
	return !bytes.Equal(bytes.TrimSpace(value), []byte("0")), nil
}

// Enable has packets passed on. The interface's own address and default route may come from IPv6 router advertisements, to
// which a router is deaf unless told otherwise: it is told otherwise.
func (f Forwarding) Enable(external string) error {
	if f.V6 {
		if err := heed(filepath.Join("/proc/sys/net/ipv6/conf", external, "accept_ra")); err != nil {
			return err
		}
	}
	if err := os.WriteFile(f.path(), []byte("1"), 0); err != nil {
		return fmt.Errorf("set %s: %w", f, err)
	}
	return nil
}

func (f Forwarding) path() string {
	if f.V6 {
		return "/proc/sys/net/ipv6/conf/all/forwarding"
	}
	return "/proc/sys/net/ipv4/ip_forward"
}

// heed makes an interface that listens to router advertisements do so as a router too.
func heed(path string) error {
	const host, always = "1", "2"
	value, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(bytes.TrimSpace(value)) != host {
		return nil
	}
	if err == nil {
		err = os.WriteFile(path, []byte(always), 0)
	}
	if err != nil {
		return fmt.Errorf("heed router advertisements: %w", err)
	}
	return nil
}
