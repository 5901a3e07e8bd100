package command

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A naming is a table of numbers and their names: those that iproute2 is built with, and those in its files.
type naming struct {
	file  string // below /etc/iproute2; beside it there may be a directory with files
	known map[int]string
}

var (
	tableNames = naming{"rt_tables", map[int]string{253: "default", 254: "main", 255: "local"}}
	scopeNames = naming{"rt_scopes", map[int]string{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}}
	groupNames = naming{"group", map[int]string{0: "default"}}
	realmNames = naming{"rt_realms", map[int]string{0: "unknown"}}
	tosNames   = naming{"rt_dsfield", map[int]string{}}
	protoNames = naming{"rt_protos", map[int]string{
		0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird",
		13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 99: "openr",
		186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
	}}
)

// of is the number's name, or the number.
func (n naming) of(number int, as layout) string {
	if as.numbers {
		return strconv.Itoa(number)
	}
	if name, ok := n.known[number]; ok {
		return name
	}
	if name, ok := n.read()[number]; ok {
		return name
	}
	return strconv.Itoa(number)
}

// number is the number of a name. Numbers are themselves.
func (n naming) number(word string) (int, bool) {
	for _, names := range []func() map[int]string{func() map[int]string { return n.known }, n.read} {
		for number, name := range names() {
			if name == word {
				return number, true
			}
		}
		if number, ok := number(word, 0, math.MaxUint32); ok {
			return number, true
		}
	}
	return 0, false
}

// read reads the names in the files. A file that is not there has none.
func (n naming) read() map[int]string {
	names := map[int]string{}
	path := "/etc/iproute2/" + n.file
	more, _ := filepath.Glob(path + ".d/*.conf") // the pattern is well-formed
	slices.Sort(more)
	for _, file := range append([]string{path}, more...) {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
				continue
			}
			if id, ok := number(fields[0], 0, math.MaxUint32); ok {
				names[id] = fields[1]
			}
		}
		f.Close()
	}
	return names
}
