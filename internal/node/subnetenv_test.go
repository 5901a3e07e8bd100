package node_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/node"
)

func TestTheSubnetFileHasFlannelsBytesAndThenOurs(t *testing.T) {
	for name, test := range map[string]struct {
		file node.SubnetFile
		want string
	}{
		"IPv4": {
			node.SubnetFile{Networks: prefixes("10.50.0.0/16"), Subnets: prefixes("10.50.7.0/24"), MTU: 1450},
			"FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n" +
				"OVERLAYD_SUBNET=10.50.7.0/24\n",
		},
		"IPv6": {
			node.SubnetFile{Networks: prefixes("fd00::/48"), Subnets: prefixes("fd00:0:0:7::/64"), MTU: 1420, IPMasq: true},
			"FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\nFLANNEL_MTU=1420\nFLANNEL_IPMASQ=true\n" +
				"OVERLAYD_IPV6_SUBNET=fd00:0:0:7::/64\n",
		},
		"both, IPv4 first": {
			node.SubnetFile{Networks: prefixes("fd00::/48", "10.50.0.0/16"), Subnets: prefixes("10.50.7.64/26", "fd00:0:0:7::/64"), MTU: 1430},
			"FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.65/26\n" +
				"FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n" +
				"OVERLAYD_SUBNET=10.50.7.64/26\nOVERLAYD_IPV6_SUBNET=fd00:0:0:7::/64\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "subnet.env")
			must(t, test.file.At(path).Write())
			got, err := os.ReadFile(path)
			must(t, err)
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheSubnetFileIsForAllToReadWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	root := t.TempDir()
	path := filepath.Join(root, "run", "flannel", "subnet.env")
	must(t, node.SubnetFile{MTU: 1500}.At(path).Write())
	mode(t, filepath.Join(root, "run"), 0o755)
	mode(t, filepath.Join(root, "run", "flannel"), 0o755)
	mode(t, path, 0o644)
	only(t, filepath.Dir(path), "subnet.env")
}

func TestTheSubnetFileIsReplacedOnlyWhenItDiffers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subnet.env")
	inode := func(mtu int) uint64 {
		must(t, node.SubnetFile{MTU: mtu}.At(path).Write())
		info, err := os.Stat(path)
		must(t, err)
		return info.Sys().(*syscall.Stat_t).Ino
	}
	first := inode(1500)
	keep, err := os.Open(path) // so that the next file cannot get its inode
	must(t, err)
	defer keep.Close()
	if inode(1500) != first {
		t.Error("a file that said the same was replaced")
	}
	second := inode(1400)
	if second == first {
		t.Error("a file that differed was written in place")
	}
	must(t, os.Chmod(path, 0o600))
	inode(1400)
	mode(t, path, 0o644)
	must(t, os.Remove(path))
	inode(1400)
	only(t, filepath.Dir(path), "subnet.env")
}

func TestReadSubnetFileIsPatient(t *testing.T) {
	want := node.SubnetFile{Networks: prefixes("10.50.0.0/16", "fd00::/48"), Subnets: prefixes("10.50.7.0/24", "fd00:0:0:7::/64"), MTU: 1430, IPMasq: true}
	for name, text := range map[string]string{
		"as flannel writes it": "FLANNEL_NETWORK=10.50.0.0/16\nFLANNEL_SUBNET=10.50.7.1/24\nFLANNEL_IPV6_NETWORK=fd00::/48\n" +
			"FLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n",
		"as a person writes it": "# by hand\r\n\r\nexport FLANNEL_SUBNET=\"10.50.7.1/24\"\r\n FLANNEL_NETWORK = '10.50.9.9/16' # all\r\n" +
			"FLANNEL_IPV6_SUBNET=fd00:0:0:7::1/64\nFLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_MTU=1\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=1\n" +
			"OTHER=$(reboot)\nno assignment",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "subnet.env")
			must(t, os.WriteFile(path, []byte(text), 0o644))
			got, err := node.ReadSubnetFile(path)
			must(t, err)
			if diff := cmp.Diff(want, got, comparable); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadSubnetFileSaysWhereItIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"\nFLANNEL_SUBNET=10.50.7.1":       `subnet.env:2: FLANNEL_SUBNET="10.50.7.1": `,
		"FLANNEL_SUBNET=$(id)/24":          `subnet.env:1: FLANNEL_SUBNET="$(id)/24": `,
		"FLANNEL_IPV6_SUBNET=10.50.7.1/24": `subnet.env:1: FLANNEL_IPV6_SUBNET="10.50.7.1/24": not IPv6`,
		"FLANNEL_MTU=big":                  `subnet.env:1: FLANNEL_MTU="big": `,
		"FLANNEL_IPMASQ=maybe":             `subnet.env:1: FLANNEL_IPMASQ="maybe": `,
	} {
		t.Run(text, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "subnet.env")
			must(t, os.WriteFile(path, []byte(text), 0o644))
			_, err := node.ReadSubnetFile(path)
			refused(t, err, want)
		})
	}
}

func TestCheckWritableLeavesNothingBehind(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o644))
	for name, test := range map[string]struct{ path, want string }{
		"a file in a directory that is there": {filepath.Join(root, "subnet.env"), ""},
		"a file that is there":                {filepath.Join(root, "file"), ""},
		"directories still to be made":        {filepath.Join(root, "a", "b", "subnet.env"), ""},
		"a directory":                         {root, "is a directory"},
		"a file below a file":                 {filepath.Join(root, "file", "subnet.env"), "not a directory"},
		"a file far below a file":             {filepath.Join(root, "file", "a", "subnet.env"), "not a directory"},
		"a place where nobody can write":      {"/proc/overlayd/subnet.env", "cannot be written in /proc: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := node.CheckWritable("subnet file", "--subnet-file", test.path)
			if test.want == "" {
				must(t, err)
			} else {
				refused(t, err, "subnet file "+test.path, test.want, "--subnet-file")
			}
			only(t, root, "file")
		})
	}
}

func TestTheSubnetFileSaysWhyItCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	refused(t, node.SubnetFile{}.At(dir).Write(), "write subnet file "+dir)
	only(t, dir)
	only(t, filepath.Dir(dir), filepath.Base(dir))
}
