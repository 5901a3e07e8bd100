package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// system is the kernel of the namespace it was opened in. Changes and questions have sockets of their own: changes want
// the kernel's sentences about errors, on which nl stumbles when they come at the end of a list.
type system struct {
	changes map[int]*nl.SocketHandle
	lists   map[int]*nl.SocketHandle
	notices *os.File // a socket on which the kernel tells of changes while somebody watches
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
	if s.changes, err = openRoute(unix.NETLINK_EXT_ACK); err != nil {
		return err
	}
	// Without strict checking the kernel takes no notice of what narrows a list.
	if s.lists, err = openRoute(unix.NETLINK_GET_STRICT_CHK); err != nil {
		return err
	}
	if s.notices, err = openNotices(); err != nil {
		return err
	}
	if s.ioctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open socket for interface numbers: %w", err)
	}
	return nil
}

// openRoute opens a socket, in the form that nl wants, with one option turned on.
func openRoute(option int) (map[int]*nl.SocketHandle, error) {
	socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(socket.GetFd(), unix.SOL_NETLINK, option, 1),
		socket.SetReceiveTimeout(&unix.Timeval{Sec: 30}),
	)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	return map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}, nil
}

// Close is part of Kernel.
func (s *system) Close() error {
	s.tunnels.close()
	s.closeControl()
	for _, sockets := range []map[int]*nl.SocketHandle{s.changes, s.lists} {
		for _, h := range sockets {
			h.Close()
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
	case Addr:
		return s.doAddr(op.Verb, o)
	case Route:
		return s.doRoute(op.Verb, o)
	case Rule:
		return s.doRule(op.Verb, o)
	case Neigh:
		return s.doNeigh(op.Verb, o)
	case FDB:
		return s.doFDB(op.Verb, o)
	case Device:
		return s.doDevice(op.Verb, o)
	case Peer:
		return s.doPeer(op.Verb, o)
	case Sysctl:
		return s.doSysctl(op.Verb, o)
	}
	return fmt.Errorf("unknown object %T", op.Object)
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

// send carries out one request and waits for the kernel's word.
func (s *system) send(kind, flags int, header nl.NetlinkRequestData, attrs attrs) error {
	_, err := request(s.changes, kind, flags|unix.NLM_F_ACK, header, attrs).Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// dump calls visit with each answer to a request. The kernel says when a table changed while it was being read: the table
// is then read again, a few times before what there is has to do.
func (s *system) dump(kind, flags int, header nl.NetlinkRequestData, attrs attrs, visit func([]byte)) error {
	const patience = 10
	for try := 1; ; try++ {
		var answers [][]byte
		err := request(s.lists, kind, flags, header, attrs).ExecuteIter(unix.NETLINK_ROUTE, 0, func(m []byte) bool {
			answers = append(answers, m)
			return true
		})
		if errors.Is(err, nl.ErrDumpInterrupted) && try < patience {
			time.Sleep(time.Duration(try) * time.Millisecond)
			continue
		}
		if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) {
			return err
		}
		for _, a := range answers {
			visit(a)
		}
		return nil
	}
}

func request(over map[int]*nl.SocketHandle, kind, flags int, header nl.NetlinkRequestData, attrs attrs) *nl.NetlinkRequest {
	r := &nl.NetlinkRequest{Sockets: over}
	r.Type = uint16(kind)
	r.Flags = uint16(unix.NLM_F_REQUEST | flags)
	r.AddData(header)
	r.Data = append(r.Data, attrs...)
	return r
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
