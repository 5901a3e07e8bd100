package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Claim is something of the machine that two daemons must not share, though each has a run directory of its own.
type Claim struct {
	What string // "subnet file /run/flannel/subnet.env"
	By   string // what another one can be chosen by: "--subnet-file"

	address string       // of the socket that stands for it, the same for all names of the same thing
	network netip.Prefix // of ClaimNetwork
}

// ClaimName claims what goes by the name in this network namespace.
func ClaimName(what, by string) Claim { return newClaim(what, by, what) }

func newClaim(what, by, key string) Claim {
	return Claim{What: what, By: by, address: fmt.Sprintf("@overlayd/%x", sha256.Sum256([]byte(key)))}
}

// ClaimPath claims a file or directory, which need not be there yet.
func ClaimPath(what, by, path string) (Claim, error) {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return Claim{}, fmt.Errorf("stat /: %w", err)
	}
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		resolved, err := filepath.EvalSymlinks(at)
		switch {
		case err == nil:
			// Two processes may have different files by one name, but not below one root.
			return newClaim(what+" "+path, by, fmt.Sprintf("path %d:%d %s", root.Dev, root.Ino, filepath.Join(resolved, rest))), nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			return Claim{}, fmt.Errorf("%s %s: %w", what, path, err)
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// Hold makes this process the only one with the claims, until release or its end, however that comes. The error says which daemon
// has one of them already.
//
// Claims are sockets without a file, which the kernel keeps apart by network namespace. Everybody can make such sockets; those of
// other users, but for root, count for nothing.
func Hold(claims ...Claim) (release func(), err error) {
	var held []net.Listener
	release = func() {
		for _, l := range held {
			l.Close()
		}
	}
	for _, c := range claims {
		l, err := c.hold()
		if err != nil {
			release()
			return nil, err
		}
		if l != nil {
			held = append(held, l)
		}
		if err := c.checkOverlap(); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// hold returns no listener where somebody holds the claim of whom it does not count.
func (c Claim) hold() (net.Listener, error) {
	for {
		l, err := net.Listen("unix", c.address)
		if !errors.Is(err, unix.EADDRINUSE) {
			return l, err
		}
		holder, err := holderOf(c.address)
		switch {
		case errors.Is(err, unix.ECONNREFUSED): // it has ended meanwhile
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: ask who has it: %w", c.What, err)
		case !counts(holder):
			return nil, nil
		}
		return nil, fmt.Errorf("another overlayd has %s (pid %d): stop it, or choose another one by %s", c.What, holder.Pid, c.By)
	}
}

// counts reports whether the holder of a claim can be a daemon that matters.
func counts(holder *unix.Ucred) bool { return holder.Uid == 0 || int(holder.Uid) == os.Geteuid() }

// holderOf is the process that listens at the address.
func holderOf(address string) (*unix.Ucred, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var holder *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { holder, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return holder, errors.Join(controlErr, err)
}
