package node

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What /sys tells of an interface. It shows those of the network namespace that it was mounted in; of others it says nothing,
// and then an interface is neither hardware nor virtual.
const sysNet = "/sys/class/net"

// isHardware reports whether a device of the machine is behind the interface.
func isHardware(name string) bool { return exists(sysNet, name, "device") }

// tunnelKinds are the kinds of links, as the kernel names them, that carry packets inside others.
var tunnelKinds = []string{"vxlan", "geneve", "wireguard", "gretap", "ip6gretap", "ipvlan", "nlmon"}

// isVirtual reports whether the interface is a tunnel, or a bridge that no device of the machine is a port of. VLANs and bonds
// are neither, nor is the end of a cable between two containers, which can be all that a node has.
func isVirtual(name string) bool {
	kind := LinkKind(name)
	switch {
	case slices.Contains(tunnelKinds, kind), exists(sysNet, name, "tun_flags"):
		return true
	case kind == "bridge":
		return !hasDevice(name)
	}
	text, err := os.ReadFile(filepath.Join(sysNet, name, "type"))
	if err != nil {
		return false
	}
	medium, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && slices.Contains(tunnelMedia, medium)
}

// tunnelMedia are the media of links without a header of their own.
var tunnelMedia = []int{
	unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT, unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE, unix.ARPHRD_NONE,
}

// LinkKind is the kind of a link as the kernel names it, "" for plain ones, for TUN devices, and for links of another network
// namespace than /sys shows.
func LinkKind(name string) string {
	text, err := os.ReadFile(filepath.Join(sysNet, name, "uevent"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
			return kind
		}
	}
	return ""
}

// hasDevice reports whether a port of the bridge is hardware, or a VLAN or bond, which has such below it.
func hasDevice(bridge string) bool {
	ports, err := os.ReadDir(filepath.Join(sysNet, bridge, "brif"))
	return err == nil && slices.ContainsFunc(ports, func(port os.DirEntry) bool {
		kind := LinkKind(port.Name())
		return isHardware(port.Name()) || kind == "vlan" || kind == "bond"
	})
}

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}
