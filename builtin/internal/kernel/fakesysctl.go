package kernel

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sysctlsOfLinks are the settings that the Fake has for each link, and for all and default, all 0 at first.
var sysctlsOfLinks = []string{"forwarding", "rp_filter", "arp_ignore", "accept_local", "disable_ipv6", "accept_ra"}

// sysctl is the value of a setting: what was set, or else what it is at first.
func (f *Fake) sysctl(name string) (string, error) {
	if i := f.find(Sysctl{Name: name}); i >= 0 {
		return f.objects[i].(Sysctl).Value, nil
	}
	return f.unset(name)
}

// unsetSysctl is what a setting of the Fake is at first.
func (f *Fake) unsetSysctl(name string) (string, error) {
	if name == "net/ipv4/ip_forward" {
		return "0", nil
	}
	parts := strings.Split(name, "/")
	known := len(parts) == 5 && parts[0] == "net" && (parts[1] == "ipv4" || parts[1] == "ipv6") && parts[2] == "conf" &&
		slices.Contains(sysctlsOfLinks, parts[4])
	if known && parts[3] != "all" && parts[3] != "default" {
		_, err := f.link(parts[3])
		known = err == nil
	}
	if !known {
		return "", syscall.ENOENT
	}
	return "0", nil
}

func (f *Fake) listSysctl(like Sysctl) ([]Object, error) {
	value, err := f.sysctl(like.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Object{Sysctl{Name: like.Name, Value: value}}, nil
}

// doSysctl keeps only settings that differ from what they are at first. All of them are numbers.
func (f *Fake) doSysctl(verb Verb, s Sysctl) error {
	have, err := f.sysctl(s.Name)
	if err != nil {
		return err
	}
	if verb == Del {
		value, ok := s.restores(have)
		if !ok {
			return syscall.ENOENT
		}
		s.Value = value
	}
	s.Value, s.Before = oneBlank(s.Value), nil
	if _, err := strconv.Atoi(s.Value); err != nil && have != s.Value {
		return syscall.EINVAL
	}
	if first, err := f.unset(s.Name); err == nil && first == s.Value {
		f.objects = slices.DeleteFunc(f.objects, func(o Object) bool { return o.Key() == s.Key() })
		return nil
	}
	return f.put(Replace, s, nil)
}
