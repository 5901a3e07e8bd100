package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func (s *system) doSysctl(verb Verb, o Sysctl) error {
	if verb == Del {
		have, err := s.readSysctl(o.Name)
		if err != nil {
			return err
		}
		value, ok := o.restores(have)
		if !ok {
			return unix.ENOENT // somebody has set it since
		}
		o.Value = value
	}
	file, err := o.file()
	if err != nil {
		return err
	}
	return s.inside(func() error {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(o.Value + "\n")
		return errors.Join(err, f.Close())
	})
}

// listSysctl lists the setting of that name. There is no list of all.
func (s *system) listSysctl(like Sysctl) ([]Object, error) {
	value, err := s.readSysctl(like.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Object{Sysctl{Name: like.Name, Value: value}}, nil
}

func (s *system) readSysctl(name string) (value string, err error) {
	err = s.inside(func() error {
		value, err = readSysctl(name)
		return err
	})
	return value, err
}

// readSysctl reads a setting of the network namespace that the calling thread is in.
func readSysctl(name string) (string, error) {
	file, err := Sysctl{Name: name}.file()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	return oneBlank(string(text)), err
}

// inside calls do with the thread in the kernel's network namespace, where /proc/sys shows its settings. As a rule the
// thread is there already.
func (s *system) inside(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("identify network namespace: %w", err)
	}
	defer home.Close()
	var here, there unix.Stat_t
	if err := errors.Join(unix.Fstat(int(home.Fd()), &here), unix.Fstat(int(s.namespace.Fd()), &there)); err != nil {
		return fmt.Errorf("identify network namespace: %w", err)
	}
	if here.Ino == there.Ino && here.Dev == there.Dev {
		return do()
	}
	if err := unix.Setns(int(s.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("leave network namespace: %v", err)) // going on would change the wrong network
		}
	}()
	return do()
}
