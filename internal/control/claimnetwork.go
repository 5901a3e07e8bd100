package control

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// networkSockets begin the addresses of sockets that stand for networks. The network follows in words, since others must be able to
// compare theirs with it.
const networkSockets = "@overlayd/network/"

// ClaimNetwork claims the addresses of an overlay, all of them: no other daemon's network may overlap it.
func ClaimNetwork(network netip.Prefix, by string) Claim {
	network = network.Masked()
	return Claim{What: "network " + network.String(), By: by, address: networkSockets + network.String(), network: network}
}

// checkOverlap refuses the network, which is held already, where another process holds one that overlaps it. Of two that come at once
// both may be refused, but never none.
func (c Claim) checkOverlap() error {
	if !c.network.IsValid() {
		return nil
	}
	others, err := claimedNetworks()
	if err != nil {
		return fmt.Errorf("%s: look for networks of other daemons: %w", c.What, err)
	}
	for _, other := range others {
		if !other.Overlaps(c.network) {
			continue
		}
		holder, err := holderOf(networkSockets + other.String())
		switch {
		case errors.Is(err, unix.ECONNREFUSED): // it has ended meanwhile
		case err != nil:
			return fmt.Errorf("%s: ask who has network %s: %w", c.What, other, err)
		case counts(holder) && int(holder.Pid) != os.Getpid(): // a daemon may give its own network another size
			return fmt.Errorf("another overlayd has network %s (pid %d), which overlaps %s: stop it, or choose another one by %s",
				other, holder.Pid, c.network, c.By)
		}
	}
	return nil
}

// claimedNetworks are the networks for which there are sockets in this network namespace, whoever made them. Without a /proc none are
// known.
func claimedNetworks() (networks []netip.Prefix, err error) {
	file, err := os.Open("/proc/thread-self/net/unix")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		_, text, found := strings.Cut(lines.Text(), " "+networkSockets)
		if !found {
			continue
		}
		if network, err := netip.ParsePrefix(text); err == nil && network == network.Masked() {
			networks = append(networks, network)
		}
	}
	return networks, lines.Err()
}
