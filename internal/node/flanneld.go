package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Process is one of this machine's.
type Process struct {
	PID  int
	Unit string // the systemd service it belongs to, "" for none
}

// String names it as a person would.
func (p Process) String() string {
	if p.Unit == "" {
		return fmt.Sprint("process ", p.PID)
	}
	return fmt.Sprintf("process %d of %s", p.PID, p.Unit)
}

// Flannelds are the processes named flanneld that are in this process's network namespace, in a container or not, but for those
// that are overlayd under that name.
func Flannelds() (found []Process, err error) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find flanneld: %w", err)
	}
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("find flanneld: %w", err)
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, fmt.Errorf("find flanneld: %w", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(text)) != "flanneld" {
			continue // or it has ended
		}
		dir := filepath.Dir(name)
		its, err := os.Readlink(filepath.Join(dir, "ns/net"))
		if err != nil || its != here {
			continue
		}
		if program, err := os.Stat(filepath.Join(dir, "exe")); err != nil || os.SameFile(program, self) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, fmt.Errorf("find flanneld: %w", err)
		}
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup")) // without, its unit is not known
		found = append(found, Process{pid, unitOf(string(groups))})
	}
	return found, nil
}

// unitOf finds the service in what /proc says of a process's control groups.
func unitOf(groups string) string {
	for line := range strings.Lines(groups) {
		for _, part := range strings.Split(strings.TrimSpace(line), "/") {
			if strings.HasSuffix(part, ".service") {
				return part
			}
		}
	}
	return ""
}
