package kernel

import (
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// namespaces is where ip keeps namespaces that have names.
const namespaces = "/var/run/netns"

// namespaceName is the name of the namespace with the number, "" without one.
func (s *system) namespaceName(id int) string {
	files, err := os.ReadDir(namespaces)
	if err != nil || id < 0 {
		return ""
	}
	for _, file := range files {
		if s.namespaceID(filepath.Join(namespaces, file.Name())) == id {
			return file.Name()
		}
	}
	return ""
}

// namespaceID is the number by which this namespace knows the one behind the file, -1 when it knows it by none.
func (s *system) namespaceID(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return -1
	}
	defer f.Close()
	var a attrs
	a.u32(netlink.NETNSA_FD, int(f.Fd()))
	id := -1
	header := nl.NewRtGenMsg()
	if err := s.dump(unix.RTM_GETNSID, 0, header, a, func(m []byte) {
		visit(m[header.Len():], func(kind int, value []byte) {
			if kind == netlink.NETNSA_NSID {
				id = int(int32(number(value)))
			}
		})
	}); err != nil {
		return -1
	}
	return id
}
