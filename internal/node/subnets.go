package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Remember keeps the subnets that the node holds in the state directory's file subnets, for Previous to find.
func Remember(stateDir string, subnets []netip.Prefix) error {
	var text strings.Builder
	for _, subnet := range subnets {
		fmt.Fprintln(&text, subnet)
	}
	if err := replaceFile(subnetsPath(stateDir), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("remember subnets: %w", err)
	}
	return nil
}

// Previous returns the subnets that the node held last: those that Remember kept, else those of the subnet file, which
// flannel may have written. A file that is not there says nothing. An error is a warning about a file that cannot be
// used; the subnets beside it are good.
func Previous(stateDir, subnetFile string) ([]netip.Prefix, error) {
	subnets, err := readSubnets(subnetsPath(stateDir))
	if err == nil {
		return subnets, nil
	}
	file, fileErr := ReadSubnetFile(subnetFile)
	return file.Subnets, errors.Join(present(err), present(fileErr))
}

// present passes errors on, but for that of a file that is not there.
func present(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func subnetsPath(stateDir string) string { return filepath.Join(stateDir, "subnets") }

func readSubnets(path string) ([]netip.Prefix, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var subnets []netip.Prefix
	for n, line := range strings.Fields(string(text)) {
		subnet, err := netip.ParsePrefix(line)
		if err != nil || subnet != subnet.Masked() {
			return nil, fmt.Errorf("%s:%d: %.60q is no subnet", path, n+1, line)
		}
		subnets = append(subnets, subnet)
	}
	return subnets, nil
}
