// Package netns makes network namespaces for a demonstration or a test, and removes them with it.
//
// A Namespace is a network namespace and a mount namespace, with a /sys that shows its links and an empty /run. It is
// held by file descriptors alone: it has no name, other programs do not see it, and it ends with the process that made
// it, however that process ends. The machine's own links, addresses and routes are never touched.
//
// MainInside and Relaunch go one step further and put the whole process into namespaces of its own.
//
// Beside builtin/internal/kernel this is the one package that imports netlink: what overlayd does to a machine goes
// through the kernel layer, what demonstrations and tests prepare around it goes through here.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Namespace is a network namespace with a mount namespace beside it. Its methods may be called concurrently.
type Namespace struct {
	net, mnt *os.File
	links    *netlink.Handle
}

// New makes a namespace whose loopback is up. It needs CAP_SYS_ADMIN, as root and processes in MainInside have.
func New() (*Namespace, error) {
	var n *Namespace
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("create namespace: %w", err)
		}
		if err := furnish(); err != nil {
			return err
		}
		n, err = Current()
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := n.Up("lo"); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Current returns the namespaces that the caller's thread is in, which outside of Do are the process's own.
func Current() (_ *Namespace, err error) {
	n := new(Namespace)
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if n.net, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return nil, err
	}
	if n.mnt, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
		return nil, err
	}
	if n.links, err = netlink.NewHandleAt(vnetns.NsHandle(n.Fd()), unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return n, nil
}

// Fd returns the descriptor of the network namespace, valid until Close.
func (n *Namespace) Fd() int { return int(n.net.Fd()) }

// Close lets go of the namespace. The kernel removes it, and all links in it, when no process or socket is left inside.
func (n *Namespace) Close() error {
	if n.links != nil {
		n.links.Close()
	}
	n.mnt.Close()
	return n.net.Close()
}

// Do calls fn with the caller's thread inside the network namespace (not the mount namespace), and returns its error.
// Sockets that fn opens stay inside. Goroutines that it starts do not run inside.
func (n *Namespace) Do(fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			// Going on would run the rest of the program in the wrong network.
			panic(fmt.Sprintf("leave namespace: %v", err))
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// onThread calls fn on a thread that ends with it, so that fn may change the thread for good.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/self shows what it is in. Keep it busy, and use another one.
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// furnish gives the thread's new namespaces a /sys that shows their links, a /run of their own, and links that work at once.
func furnish() error {
	// A link looks for other holders of its IPv6 addresses for a second or two before it uses them. Here are none. Where
	// the kernel does not let itself be told so, links only take longer.
	os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Containers often forbid a new sysfs. Better none than one that shows the links of another namespace.
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("sysfs", "/sys", "sysfs", quiet, ""); err != nil {
		if err := unix.Mount("none", "/sys", "tmpfs", quiet|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
	}
	for _, dir := range [...]string{"/run", "/var/run"} {
		// /var/run is a link to /run on most systems, and a directory or absent on some.
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
}
