package command

import (
	"errors"
	"fmt"
	"syscall"
	"unicode"
	"unicode/utf8"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// ipRefused tells as ip does what the kernel refused.
func ipRefused(e *kernel.OpError) *failure {
	if device, ok := errors.AsType[kernel.NoDevice](e); ok {
		if link, ok := e.Op.Object.(kernel.Link); ok && link.Master == device.Name {
			return &failure{text: fmt.Sprintf("Error: argument %q is wrong: Device does not exist\n", device.Name), status: statusUsage}
		}
		return noDevice(device, 1)
	}
	return netlinkRefused(e, 2)
}

// bridgeRefused tells as bridge does what the kernel refused.
func bridgeRefused(e *kernel.OpError) *failure {
	if device, ok := errors.AsType[kernel.NoDevice](e); ok {
		switch e.Op.Object.(type) {
		case kernel.Link, kernel.VLAN:
			return noBridge(device.Name)
		}
		return noDevice(device, statusUsage)
	}
	return netlinkRefused(e, statusUsage)
}

// arpRefused tells as arp does what the kernel refused.
func arpRefused(e *kernel.OpError) *failure {
	neigh, _ := e.Op.Object.(kernel.Neigh)
	request := "SIOCSARP"
	if e.Op.Verb == kernel.Del {
		request = "SIOCDARP(dontpub)"
		if e.Errno == syscall.ENOENT {
			return &failure{onStdout: "No ARP entry for " + neigh.IP.String() + "\n", status: statusUsage}
		}
	}
	return &failure{text: request + ": " + cause(e), status: statusUsage}
}

// wgRefused tells as wg does what the kernel refused.
func wgRefused(e *kernel.OpError) *failure {
	return &failure{text: "Unable to modify interface: " + cause(e), status: 1}
}

func noBridge(name string) *failure {
	return &failure{text: fmt.Sprintf("Cannot find bridge device %q", name), status: statusUsage}
}

func isNoDevice(err error) bool {
	_, ok := errors.AsType[kernel.NoDevice](err)
	return ok
}

func noDevice(device kernel.NoDevice, status interp.ExitStatus) *failure {
	return &failure{text: fmt.Sprintf("Cannot find device %q", device.Name), status: status}
}

func netlinkRefused(e *kernel.OpError, status interp.ExitStatus) *failure {
	switch {
	case e.Errno == 0:
		return &failure{text: "Error: " + ended(e.Err.Error()), status: status}
	case e.Detail != "":
		return &failure{text: "Error: " + ended(e.Detail), status: status}
	}
	return &failure{text: "RTNETLINK answers: " + strerror(e.Errno), status: status}
}

// ended is the kernel's sentence with the full stop that iproute2 gives it.
func ended(sentence string) string {
	if last := sentence[len(sentence)-1]; last == '.' || last == '\n' {
		return sentence
	}
	return sentence + "."
}

// cause is the refusal in the C library's words.
func cause(e *kernel.OpError) string {
	switch {
	case isNoDevice(e):
		return strerror(syscall.ENODEV)
	case e.Errno == 0:
		return e.Err.Error()
	}
	return strerror(e.Errno)
}

// strerror is the C library's text for an error number. Go's has the same words, but begins them in lower case.
func strerror(errno syscall.Errno) string {
	text := errno.Error()
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// fileFailure tells why a file cannot be opened, in the C library's words.
func fileFailure(what string, err error) *failure {
	text := err.Error()
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		text = strerror(errno)
	}
	return &failure{text: what + ": " + text, status: 1, cause: err}
}
