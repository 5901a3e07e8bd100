package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// NoDevice is the cause of an OpError whose object names a link that is not there. It is fs.ErrNotExist.
type NoDevice struct{ Name string }

// Error is ip's sentence for it.
func (e NoDevice) Error() string { return fmt.Sprintf("Cannot find device %q", e.Name) }

// Is makes a NoDevice fs.ErrNotExist.
func (NoDevice) Is(target error) bool { return target == fs.ErrNotExist }

// refusal makes an OpError of what a library answered, nil when it answered nothing.
func refusal(op Op, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return &OpError{Op: op, Err: err}
	}
	// nl puts the kernel's sentence behind the number's text.
	_, detail, _ := strings.Cut(err.Error(), errno.Error()+": ")
	return &OpError{Op: op, Errno: errno, Detail: detail}
}
