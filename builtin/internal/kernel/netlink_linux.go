package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// system is the kernel of the namespace it was opened in. Changes and questions have sockets of their own, so that a long list
// holds up no change.
type system struct {
	changes *socket
	lists   [2]*socket // of which any may be asked
	notices *os.File   // a socket on which the kernel tells of changes while somebody watches
	ioctl   int
	// What is opened here is of this namespace; files in /proc/sys are of the thread's.
	namespace *os.File
	tunnels   *tunnels

	clientMu sync.Mutex
	client   *wgctrl.Client
}

// Open returns the kernel of the network namespace that the calling thread is in; afterwards any goroutine may use it.
// Userspace WireGuard opens its UDP sockets on whichever thread runs then, so a process that makes such devices has to
// be in that namespace as a whole.
func Open(log *slog.Logger) (Kernel, error) {
	s := &system{ioctl: -1, tunnels: newTunnels(log)}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *system) open() (err error) {
	if s.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("identify network namespace: %w", err)
	}
	if s.changes, err = openSocket(); err != nil {
		return err
	}
	for i := range s.lists {
		if s.lists[i], err = openSocket(); err != nil {
			return err
		}
	}
	if s.notices, err = openNotices(); err != nil {
		return err
	}
	if s.ioctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open socket for interface numbers: %w", err)
	}
	return nil
}

// Close is part of Kernel.
func (s *system) Close() error {
	s.tunnels.close()
	s.closeControl()
	for _, c := range append(s.lists[:], s.changes) {
		if c != nil {
			c.close()
		}
	}
	if s.notices != nil {
		s.notices.Close()
	}
	if s.namespace != nil {
		s.namespace.Close()
	}
	if s.ioctl < 0 {
		return nil
	}
	return unix.Close(s.ioctl)
}

// Do is part of Kernel.
func (s *system) Do(ctx context.Context, ops ...Op) error {
	for _, op := range ops {
		if err := ctx.Err(); err != nil {
			return &OpError{Op: op, Err: context.Cause(ctx)}
		}
		if err := refusal(op, s.do(op)); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) do(op Op) error {
	switch o := op.Object.(type) {
	case Link:
		return s.doLink(op.Verb, o)
	case Device:
		return s.doDevice(op.Verb, o)
	case Peer:
		return s.doPeer(op.Verb, o)
	case Sysctl:
		return s.doSysctl(op.Verb, o)
	}
	m, err := s.numbers().request(op)
	if err != nil {
		return err
	}
	return s.changes.carry(m)
}

// List is part of Kernel.
func (s *system) List(ctx context.Context, like Object) ([]Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	list, err := s.list(like)
	if err != nil {
		return nil, fmt.Errorf("list %T: %w", like, err)
	}
	return list, nil
}

func (s *system) list(like Object) ([]Object, error) {
	switch o := like.(type) {
	case Link:
		return s.listLinks(o)
	case Addr:
		return s.listAddrs(o)
	case Route:
		return s.listRoutes(o)
	case Rule:
		return s.listRules(o)
	case Neigh:
		return s.listNeighs(o)
	case FDB:
		return s.listFDB(o)
	case VLAN:
		return s.listVLANs(o)
	case Device:
		return s.listDevices(o)
	case Peer:
		return s.listPeers(o)
	case Sysctl:
		return s.listSysctl(o)
	}
	return nil, fmt.Errorf("unknown object")
}

// creation maps a verb to the flags of a request that makes things.
func creation(verb Verb) int {
	return [...]int{
		Add:     unix.NLM_F_CREATE | unix.NLM_F_EXCL,
		Append:  unix.NLM_F_CREATE | unix.NLM_F_APPEND,
		Replace: unix.NLM_F_CREATE | unix.NLM_F_REPLACE,
		Change:  unix.NLM_F_REPLACE,
		Set:     unix.NLM_F_REPLACE,
		Del:     0,
	}[verb]
}

// request is what makes or changes something, or deletes it, as the verb says.
func request(verb Verb, making, deleting int, header []byte, a attrs) message {
	if verb == Del {
		return message{deleting, unix.NLM_F_REQUEST, header, a}
	}
	return message{making, unix.NLM_F_REQUEST | creation(verb), header, a}
}

// send carries out one request and waits for the kernel's word.
func (s *system) send(kind, flags int, header nl.NetlinkRequestData, a attrs) error {
	return s.changes.carry(newMessage(kind, flags, header, a))
}

// dump calls visit with each answer to a question, once all are there.
func (s *system) dump(kind, flags int, header nl.NetlinkRequestData, a attrs, visit func([]byte)) error {
	var answers [][]byte
	err := s.lists[0].askWhole(newMessage(kind, flags, header, a), func(m []byte) { answers = append(answers, slices.Clone(m)) },
		func() { answers = nil })
	if err != nil {
		return err
	}
	for _, a := range answers {
		visit(a)
	}
	return nil
}

// index is the number of the link of that name, 0 for no name. It costs one ioctl, far less than a request.
func (s *system) index(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, NoDevice{name}
	}
	if err := unix.IoctlIfreq(s.ioctl, unix.SIOCGIFINDEX, req); err != nil {
		return 0, NoDevice{name}
	}
	return int(req.Uint32()), nil
}

// names finds links' names by number and remembers them for the length of one list.
type names struct {
	system *system
	known  map[int]string
}

func (s *system) names() names { return names{s, map[int]string{0: ""}} }

func (n names) of(index int) string {
	name, ok := n.known[index]
	if ok {
		return name
	}
	req := unix.Ifreq{}
	req.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(n.system.ioctl, unix.SIOCGIFNAME, &req); err == nil {
		name = req.Name()
	} else {
		name = fmt.Sprintf("if%d", index)
	}
	n.known[index] = name
	return name
}
