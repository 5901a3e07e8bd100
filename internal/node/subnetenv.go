package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A SubnetFile is what subnet.env tells container engines and CNI plugins of this node, in flannel's format. Per family
// it has one network and one subnet, or neither. After flannel's lines come OVERLAYD_SUBNET and OVERLAYD_IPV6_SUBNET: what
// flannel calls the subnet is the address of the node's bridge, and who makes networks wants the subnet as it is.
type SubnetFile struct {
	Networks []netip.Prefix // the whole overlay
	Subnets  []netip.Prefix // this node's part, host bits zero; in the file it has the address of the node's bridge
	MTU      int            // bytes, for interfaces inside the overlay
	IPMasq   bool           // whether this node masquerades what leaves the overlay, so that its readers need not
}

// At returns the file as it is at the path.
func (s SubnetFile) At(path string) File { return File{"subnet file", path, s.text()} }

func (s SubnetFile) text() []byte {
	var text, plain []byte
	for _, family := range [...]family{ipv4, ipv6} {
		for _, network := range s.Networks {
			if family.has(network.Addr()) {
				text = fmt.Appendf(text, "FLANNEL_%sNETWORK=%s\n", family.key, network)
			}
		}
		for _, subnet := range s.Subnets {
			if family.has(subnet.Addr()) {
				text = fmt.Appendf(text, "FLANNEL_%sSUBNET=%s\n", family.key, bridgeOf(subnet))
				plain = fmt.Appendf(plain, "OVERLAYD_%sSUBNET=%s\n", family.key, subnet)
			}
		}
	}
	text = fmt.Appendf(text, "FLANNEL_MTU=%d\nFLANNEL_IPMASQ=%t\n", s.MTU, s.IPMasq)
	return append(text, plain...)
}

// bridgeOf is the address that a node's bridge has in the subnet: the first.
func bridgeOf(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(subnet.Masked().Addr().Next(), subnet.Bits())
}

// ReadSubnetFile reads what overlayd, flannel or a person wrote. Quotes, export, comments and unknown keys do no
// harm; nothing is expanded. An error is fs.ErrNotExist, or says in which line which key is wrong.
func ReadSubnetFile(path string) (SubnetFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return SubnetFile{}, fmt.Errorf("read subnet file: %w", err)
	}
	s, err := parseSubnetFile(string(text))
	if err != nil {
		return SubnetFile{}, fmt.Errorf("%s:%w", path, err)
	}
	return s, nil
}

// A setting is the last value of a key, with its line.
type setting struct {
	value string
	line  int
}

func parseSubnetFile(text string) (s SubnetFile, err error) {
	settings := map[string]setting{}
	line := 0
	for assignment := range strings.Lines(text) {
		line++
		key, value, _ := strings.Cut(assignment, "=")
		key = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(key), "export "))
		value, _, _ = strings.Cut(value, " #")
		settings[key] = setting{strings.Trim(strings.TrimSpace(value), `"'`), line}
	}
	// use hands a key's value to what understands it. A key that is not there says nothing.
	use := func(key string, understand func(string) error) {
		if set := settings[key]; set.value != "" {
			if wrong := understand(set.value); wrong != nil && err == nil {
				err = fmt.Errorf("%d: %s=%.60q: %w", set.line, key, set.value, wrong)
			}
		}
	}
	for _, family := range [...]family{ipv4, ipv6} {
		use("FLANNEL_"+family.key+"NETWORK", family.appendTo(&s.Networks))
		use("FLANNEL_"+family.key+"SUBNET", family.appendTo(&s.Subnets))
	}
	use("FLANNEL_MTU", func(v string) (err error) { s.MTU, err = strconv.Atoi(v); return })
	use("FLANNEL_IPMASQ", func(v string) (err error) { s.IPMasq, err = strconv.ParseBool(v); return })
	if err != nil {
		return SubnetFile{}, err
	}
	return s, nil
}

// appendTo understands a prefix of the family.
func (f family) appendTo(list *[]netip.Prefix) func(string) error {
	return func(text string) error {
		p, err := netip.ParsePrefix(text)
		if err == nil && !f.has(p.Addr()) {
			err = fmt.Errorf("not %s", f)
		}
		if err != nil {
			return err
		}
		*list = append(*list, p.Masked())
		return nil
	}
}

// CheckWritable reports what would keep the file from being written at the path that the flag names, and leaves nothing behind.
func CheckWritable(what, flag, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s %s: is a directory: name a file with %s", what, path, flag)
	}
	dir := filepath.Dir(path)
	for absent(dir) {
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("%s %s: cannot be written in %s: %w: name another place with %s", what, path, dir, cause(err), flag)
	}
	f.Close()
	return os.Remove(f.Name())
}

func absent(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}
