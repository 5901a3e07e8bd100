package kernel

import (
	"path/filepath"
	"strings"
	"syscall"
)

// A Sysctl is a setting of the running kernel, a file below /proc/sys. It cannot be made, only set, and is deleted by giving it
// back the value that it had before.
type Sysctl struct {
	Name   string  `json:",omitzero"` // the file, such as "net/ipv4/conf/eth0.7/forwarding"
	Value  string  `json:",omitzero"` // numbers or words with one blank between them
	Before *string `json:",omitzero"` // what Del brings back, if Value is there still; nil leaves it
}

// Key is "sysctl NAME".
func (s Sysctl) Key() string { return "sysctl " + s.Name }

// place is where the ledger has the setting of that scope: several may want it.
func (s Sysctl) place(scope string) string { return s.Key() + " for " + scope }

func (s Sysctl) command(verb Verb) string {
	value := s.Value
	if verb == Del && s.Before != nil {
		value = *s.Before
	}
	if strings.ContainsAny(value, " ;&|<>()#*?[~'\"\\$`!") {
		value = quoted(value)
	}
	return "sysctl -w " + s.dotted() + "=" + value
}

// dotted is the name as sysctl writes it: dots for slashes, and slashes for the dots in it.
func (s Sysctl) dotted() string { return swapDots.Replace(s.Name) }

var swapDots = strings.NewReplacer("/", ".", ".", "/")

// SysctlName is the Name of a setting that a person spelled, with dots or with slashes: the first of them tells which.
func SysctlName(text string) string {
	if i := strings.IndexAny(text, "./"); i >= 0 && text[i] == '.' {
		return swapDots.Replace(text)
	}
	return text
}

// file is the path of the setting, if there can be one of that name.
func (s Sysctl) file() (string, error) {
	if !filepath.IsLocal(s.Name) {
		return "", syscall.ENOENT
	}
	return filepath.Join("/proc/sys", s.Name), nil
}

// ofLink is the name of the link that the setting is of, "" for one of no link.
func (s Sysctl) ofLink() string {
	parts := strings.Split(s.Name, "/")
	if len(parts) < 5 || parts[0] != "net" || parts[2] != "conf" && parts[2] != "neigh" || parts[3] == "all" || parts[3] == "default" {
		return ""
	}
	return parts[3]
}

// renamed is the setting after its link has got another name.
func (s Sysctl) renamed(from, to string) Sysctl {
	if s.ofLink() == from {
		parts := strings.Split(s.Name, "/")
		parts[3] = to
		s.Name = strings.Join(parts, "/")
	}
	return s
}

// restores reports what a deletion is to write, given what there is.
func (s Sysctl) restores(have string) (value string, ok bool) {
	if s.Before == nil || have != oneBlank(s.Value) {
		return "", false
	}
	return *s.Before, true
}

// oneBlank is a value with one blank between its parts: the kernel puts tabs there, and takes either.
func oneBlank(value string) string { return strings.Join(strings.Fields(value), " ") }
