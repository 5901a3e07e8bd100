package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/internal/netns"
	nodepkg "github.com/overlayd/overlayd/internal/node"
)

// pods is the bridge that a container engine would make for a node's containers; its address answers the pings.
const pods = "pods0"

// A node is one daemon in its namespace.
type node struct {
	number  int
	ns      *netns.Namespace
	cmd     *exec.Cmd
	log     *os.File
	file    nodepkg.SubnetFile
	pingers []*pinger // one per family of the overlay, in the order of file.Subnets

	stopping atomic.Bool
	ended    chan struct{} // closed when the process has ended
	err      error         // how it ended; read after ended
}

func (n *node) String() string { return fmt.Sprintf("node %d", n.number) }

// subnets is the node's part of the overlay as text.
func (n *node) subnets() string {
	var texts []string
	for _, s := range n.file.Subnets {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, ", ")
}

// add makes a node's namespace and connects it to the underlay.
func (c *cluster) add() (*node, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	n := &node{number: len(c.nodes) + 1, ns: ns, ended: make(chan struct{})}
	c.nodes = append(c.nodes, n)
	port := fmt.Sprint("node", n.number)
	if err := netns.Connect(c.ground, port, ns, "eth0", underlayMTU); err != nil {
		return nil, err
	}
	if err := c.ground.Attach(port, bridge); err != nil {
		return nil, err
	}
	for _, u := range c.underlays() {
		if err := ns.Addr("eth0", host(u, n.number)); err != nil {
			return nil, err
		}
		everywhere := netip.PrefixFrom(u.Addr(), 0).Masked()
		if err := ns.Route(everywhere, host(u, routerHost).Addr()); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// connected waits until each node reaches the underlay's bridge. A new link takes up to a second or two to carry IPv6,
// which should not count as the overlay's.
func (c *cluster) connected(ctx context.Context, nodes []*node) error {
	var group errgroup.Group
	for _, n := range nodes {
		for _, u := range c.underlays() {
			group.Go(func() error {
				p, err := listen(ctx, n.ns, host(u, n.number).Addr())
				if err != nil {
					return err
				}
				defer p.conn.Close()
				if _, err := p.ping(ctx, host(u, routerHost).Addr(), smallPacket, firstWait); err != nil {
					return fmt.Errorf("%s: reach the underlay: %w", n, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// start starts the node's daemon. Its run directory and subnet file are at their usual places: the node has its own /run.
func (c *cluster) start(n *node) (err error) {
	n.log, err = os.Create(filepath.Join(files, fmt.Sprintf("node%d.log", n.number)))
	if err != nil {
		return err
	}
	n.cmd = exec.Command(c.Binary, c.arguments()...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	n.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OVERLAYD_") })
	if err := n.ns.Start(n.cmd); err != nil {
		n.cmd = nil
		return err
	}
	go func() {
		defer close(n.ended)
		n.err = n.cmd.Wait()
		if !n.stopping.Load() {
			c.fail(fmt.Errorf("%s ended by itself: %v\n%s", n, n.cmd.ProcessState, n.lastWords()))
		}
	}()
	return nil
}

func (c *cluster) arguments() []string {
	return []string{"run", "--etcd-endpoints", etcdURL, "--state-dir", "/run/state"}
}

// root is a file of the node, by the path that the demo sees it at.
func (n *node) root(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", n.cmd.Process.Pid, path)
}

// join waits until the daemon has written its subnet file, and gives the node an address of its subnet to be pinged at,
// as a container engine would.
func (n *node) join(ctx context.Context) (err error) {
	for {
		n.file, err = nodepkg.ReadSubnetFile(n.root("/run/flannel/subnet.env"))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", n, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: wait for its subnet: %w\n%s", n, context.Cause(ctx), n.lastWords())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := n.ns.Bridge(pods); err != nil {
		return err
	}
	for _, s := range n.file.Subnets {
		addr := s.Addr().Next()
		if err := n.ns.Addr(pods, netip.PrefixFrom(addr, s.Bits())); err != nil {
			return err
		}
		p, err := listen(ctx, n.ns, addr)
		if err != nil {
			return err
		}
		n.pingers = append(n.pingers, p)
	}
	return nil
}

// stop asks the daemon to end, waits until it has, and answers how it ended. When the context ends first, it is killed.
// A daemon that has ended before is no error here.
func (n *node) stop(ctx context.Context) error {
	if n.cmd == nil || n.hasEnded() {
		return nil
	}
	n.stopping.Store(true)
	n.cmd.Process.Signal(unix.SIGTERM) // fails only when it has ended
	var late error
	select {
	case <-n.ended:
	case <-ctx.Done():
		late = errors.New("killed, since it did not stop in time")
		n.cmd.Process.Kill()
		<-n.ended
	}
	err := errors.Join(late, n.err)
	if err == nil || n.cmd.ProcessState.String() == "signal: terminated" { // which came before the daemon listened
		return nil
	}
	return fmt.Errorf("stop %s: %w\n%s", n, err, n.lastWords())
}

func (n *node) hasEnded() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// close lets go of the namespace.
func (n *node) close() error {
	var errs []error
	for _, p := range n.pingers {
		errs = append(errs, p.conn.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(append(errs, n.ns.Close())...)
}

// lastWords is the end of the daemon's log, each line indented.
func (n *node) lastWords() string {
	const lines = 8
	text, err := os.ReadFile(n.log.Name())
	if err != nil || len(text) == 0 {
		return "  its log is empty"
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return "  its log ends:\n    " + string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n    ")))
}
