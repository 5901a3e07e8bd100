package firewall

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The socket options by which the kernel tells of a table, and hands over its entries.
const (
	legacyGetInfo    = 64
	legacyGetEntries = 65
)

// read reads the table. It asks again where the table has changed between the two questions.
func (f legacyFamily) read(name string) (t legacyTable, err error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return t, err
	}
	defer unix.Close(fd)
	for range 10 {
		if t, err = f.readOnce(fd, name); !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	return t, err
}

func (f legacyFamily) readOnce(fd int, name string) (t legacyTable, err error) {
	const nameSize, hooks = 32, len(legacyHooks)
	info := make([]byte, nameSize+4+2*4*hooks+4+4)
	copy(info[:nameSize-1], name)
	if err := getsockopt(fd, f.level, legacyGetInfo, info); err != nil {
		return t, err
	}
	number := func(i int) int { return int(binary.NativeEndian.Uint32(info[nameSize+4*i:])) }
	t = legacyTable{name: name, family: f, first: map[string]int{}, last: map[string]int{}}
	for i, hook := range legacyHooks {
		if number(0)&(1<<i) != 0 {
			t.first[hook], t.last[hook] = number(1+i), number(1+hooks+i)
		}
	}
	size := number(1 + 2*hooks + 1)
	entries := make([]byte, f.header+size)
	copy(entries[:nameSize-1], name)
	binary.NativeEndian.PutUint32(entries[nameSize:], uint32(size))
	if err := getsockopt(fd, f.level, legacyGetEntries, entries); err != nil {
		return t, err
	}
	t.entries = entries[f.header:]
	return t, nil
}

// getsockopt asks the kernel with the value, which it changes.
func getsockopt(fd, level, option int, value []byte) error {
	size := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
