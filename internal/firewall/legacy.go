package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A LegacyLeftover is a rule or a chain that flannel made by iptables-legacy, which keeps its rules apart from nftables. It is the
// command that removes it.
type LegacyLeftover []string

// String is the command as a person types it.
func (l LegacyLeftover) String() string { return strings.Join(l, " ") }

// LegacyLeftovers lists what flannel left by iptables-legacy in the network namespace of the calling thread, in the order in which it
// can be removed. It has the kernel load nothing: tables that nobody has used are not asked for.
func LegacyLeftovers() (found []LegacyLeftover, err error) {
	for _, f := range []legacyFamily{legacyIPv4, legacyIPv6} {
		names, err := os.ReadFile("/proc/thread-self/net/" + f.names)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list tables of %s: %w", f.program, err)
		}
		for _, name := range strings.Fields(string(names)) {
			if name != "nat" && name != "filter" {
				continue
			}
			table, err := f.read(name)
			if err != nil {
				return nil, fmt.Errorf("read table %s of %s: %w", name, f.program, err)
			}
			found = append(found, table.leftovers(f.program)...)
		}
	}
	return found, nil
}

// A legacyTable is a table as the kernel hands it over: entries one after another, each a match of addresses, more matches and a target.
type legacyTable struct {
	name        string
	family      legacyFamily
	first, last map[string]int // offsets of the first entry and the policy of the kernel's chains
	entries     []byte
}

// legacyHooks are the kernel's chains by the number of their hook.
var legacyHooks = [...]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// leftovers lists rules that jump to flannel's chains, the last one of a chain first since their numbers change, then those chains.
func (t legacyTable) leftovers(program string) (found []LegacyLeftover) {
	starts := t.chains()
	for _, from := range []string{"POSTROUTING", "FORWARD"} {
		at, there := t.first[from]
		for number := 1; there && at < t.last[from]; number++ {
			e, ok := t.entry(at)
			if !ok {
				return nil
			}
			if to, jumps := e.jump(); jumps && flannelChains[starts[to]] == from {
				rule := LegacyLeftover{program, "-t", t.name, "-D", from, fmt.Sprint(number)}
				found = append([]LegacyLeftover{rule}, found...)
			}
			at += e.size
		}
	}
	for at := 0; ; {
		e, ok := t.entry(at)
		if !ok {
			return found
		}
		if name, heads := e.chain(); heads && flannelChains[name] != "" {
			found = append(found, LegacyLeftover{program, "-t", t.name, "-F", name}, LegacyLeftover{program, "-t", t.name, "-X", name})
		}
		at += e.size
	}
}

// chains are the names of the users' chains by the offsets of their first rules.
func (t legacyTable) chains() map[int]string {
	names := map[int]string{}
	for at := 0; ; {
		e, ok := t.entry(at)
		if !ok {
			return names
		}
		at += e.size
		if name, heads := e.chain(); heads {
			names[at] = name
		}
	}
}

// A legacyEntry is a rule, or what the kernel has at the head of a user's chain.
type legacyEntry struct {
	size   int
	target string // "" is a verdict
	data   []byte // of the target
}

// entry reads the entry at the offset, if there is a whole one.
func (t legacyTable) entry(at int) (e legacyEntry, ok bool) {
	const targetHead = 32 // its size, its name of 29 bytes, and a revision
	if at < 0 || at+t.family.head > len(t.entries) {
		return e, false
	}
	rest := t.entries[at:]
	target := int(binary.NativeEndian.Uint16(rest[t.family.offsets:]))
	size := int(binary.NativeEndian.Uint16(rest[t.family.offsets+2:]))
	if target < t.family.head || target+targetHead+4 > size || size > len(rest) {
		return e, false
	}
	return legacyEntry{size, text(rest[target+2 : target+31]), rest[target+targetHead : size]}, true
}

// jump is the offset to which a rule jumps.
func (e legacyEntry) jump() (to int, jumps bool) {
	verdict := int32(binary.NativeEndian.Uint32(e.data))
	return int(verdict), e.target == "" && verdict >= 0
}

// chain is the name of the chain that begins after the entry.
func (e legacyEntry) chain() (name string, heads bool) { return text(e.data), e.target == "ERROR" }

// text is what stands before the first zero.
func text(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}

// A legacyFamily is how the kernel tells of one family's tables, where numbers of 64 bits lie at multiples of eight.
type legacyFamily struct {
	program      string
	names        string // file with the names of tables in use
	domain       int
	level        int
	offsets      int // where in an entry the offset of its target and its size are
	head, header int // sizes of an entry without matches, and of what comes before the first one
}

var (
	legacyIPv4 = legacyFamily{"iptables-legacy", "ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 88, 112, 40}
	legacyIPv6 = legacyFamily{"ip6tables-legacy", "ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 140, 168, 40}
)
