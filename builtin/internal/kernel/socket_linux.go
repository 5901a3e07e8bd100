package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// datagramSize is how many bytes of requests are sent at once. More saves nothing.
	datagramSize = 8 << 10
	// answerSize is how many bytes of a list the kernel is given room for at once. It takes no more.
	answerSize = 64 << 10
	// answerRoom is how much of the receive buffer the kernel's answer to one request may take.
	answerRoom = 1 << 10
	// room is what the buffers of a socket should have, in bytes.
	room = 1 << 20
	// patience is how many seconds an answer may take.
	patience = 30
)

// A message is a request in the kernel's form, but for the nlmsghdr that goes before it.
type message struct {
	kind, flags int
	header      []byte
	attrs       attrs
}

func newMessage(kind, flags int, header nl.NetlinkRequestData, a attrs) message {
	return message{kind, unix.NLM_F_REQUEST | flags, header.Serialize(), a}
}

// size needs no padding: all headers end where an attribute may begin.
func (m message) size() int { return unix.SizeofNlMsghdr + len(m.header) + len(m.attrs) }

// append puts the message behind what is in b.
func (m message) append(b []byte, seq uint32) []byte {
	native := binary.NativeEndian
	b = native.AppendUint32(b, uint32(m.size()))
	b = native.AppendUint16(b, uint16(m.kind))
	b = native.AppendUint16(b, uint16(m.flags))
	b = native.AppendUint32(b, seq)
	b = native.AppendUint32(b, 0)
	b = append(b, m.header...)
	return append(b, m.attrs...)
}

// A datagram is requests that are sent at once.
type datagram struct {
	bytes    []byte
	requests int
	last     int // where the last request begins

	// What a batch knows of it.
	ops   []Op // each a request
	first int  // which of the batch's operations the first one is
}

// hasRoom reports whether one more request would not be too many, or too many bytes, which it is in none that there is.
func (d *datagram) hasRoom(m message, most, limit int) bool {
	return d == nil || d.requests < most && len(d.bytes)+m.size() <= limit
}

func (d *datagram) put(m message) {
	d.last = len(d.bytes)
	d.bytes = m.append(d.bytes, 0)
	d.requests++
}

// seal numbers the requests. The kernel is to answer the last one; it answers any other only when it fails.
func (d *datagram) seal(first uint32) {
	native := binary.NativeEndian
	for at := 0; at < len(d.bytes); at += int(native.Uint32(d.bytes[at:])) {
		native.PutUint32(d.bytes[at+8:], first)
		first++
	}
	flags := d.bytes[d.last+6:]
	native.PutUint16(flags, native.Uint16(flags)|unix.NLM_F_ACK)
}

// datagram is one without requests, with room for so many bytes of them unless it was in use before.
func (c *socket) datagram(size int) *datagram {
	if d, ok := c.spare.Get().(*datagram); ok {
		return d
	}
	return &datagram{bytes: make([]byte, 0, size)}
}

// release takes a datagram back that is not needed any more.
func (c *socket) release(d *datagram) {
	clear(d.ops)
	*d = datagram{bytes: d.bytes[:0], ops: d.ops[:0]}
	c.spare.Put(d)
}

// A socket speaks with the kernel about routes, links and neighbours. Its methods may be called concurrently.
type socket struct {
	mu   sync.Mutex
	fd   int
	seq  uint32 // of the last request
	most int    // requests in one datagram, so that there is room for the answers to all of them
	out  []byte
	in   []byte

	spare sync.Pool // datagrams
}

// openSocket opens a socket in the thread's network namespace. It answers refusals with the kernel's sentence, and lists with
// what was asked for alone.
func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &socket{fd: fd, in: make([]byte, answerSize)}
	if err := c.setUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), c.close())
	}
	return c, nil
}

func (c *socket) setUp() error {
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, option, 1); err != nil {
			return err
		}
	}
	for force, ask := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, force, room) != nil {
			_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, ask, room) // gives what the machine allows, which is looked at below
		}
	}
	if err := c.measure(); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		return err
	}
	// Connected, it hears the kernel alone.
	return unix.Connect(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// measure finds how many requests the receive buffer has room to answer.
func (c *socket) measure() error {
	size, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	c.most = max(1, size/answerRoom)
	return err
}

func (c *socket) close() error { return unix.Close(c.fd) }

// carry has the kernel carry out one request.
func (c *socket) carry(m message) (err error) {
	d := c.datagram(m.size())
	defer c.release(d)
	d.put(m)
	c.exchange(d, func(_ int, refused error) { err = refused })
	return err
}

// exchange sends the datagram, and calls failed with the number of each request that the kernel refuses until the last one is
// answered. When answers are lost, what has none counts as failed.
func (c *socket) exchange(d *datagram, failed func(i int, err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.seq + 1
	c.seq += uint32(d.requests)
	d.seal(first)
	err := write(c.fd, d.bytes)
	for answered := 0; answered < d.requests; {
		var size int
		if err == nil {
			size, err = read(c.fd, c.in)
		}
		if err != nil {
			c.drain()
			for i := answered; i < d.requests; i++ {
				failed(i, err)
			}
			return
		}
		eachMessage(c.in[:size], func(h header, data []byte) {
			i := int(h.seq - first)
			if h.kind != unix.NLMSG_ERROR || i < 0 || i >= d.requests {
				return // of an earlier request, which was given up
			}
			if err := refusalOf(h, data); err != nil {
				failed(i, err)
			}
			answered = i + 1
		})
	}
}

// drain takes what is left of answers.
func (c *socket) drain() {
	for {
		_, _, err := unix.Recvfrom(c.fd, c.in, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// ask sends a question and calls visit with each message of the answer, which is good for the length of the call. It reports
// whether what was asked for changed meanwhile, so that the answer is not of one time.
func (c *socket) ask(question message, visit func([]byte)) (torn bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.out = question.append(c.out[:0], c.seq)
	if err := write(c.fd, c.out); err != nil {
		return false, err
	}
	for done := false; !done; {
		size, readErr := read(c.fd, c.in)
		if readErr != nil {
			c.drain()
			return torn, readErr
		}
		eachMessage(c.in[:size], func(h header, data []byte) {
			if h.seq != c.seq || done {
				return
			}
			torn = torn || h.flags&unix.NLM_F_DUMP_INTR != 0
			switch h.kind {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				err, done = refusalOf(h, data), true
			default:
				visit(data)
				done = h.flags&unix.NLM_F_MULTI == 0
			}
		})
	}
	return torn, err
}

// askWhole is ask for a whole table. The kernel says when that changed while it was being read: it is then read again, after forget was
// called, a few times before what there is has to do.
func (c *socket) askWhole(question message, visit func([]byte), forget func()) error {
	const tries = 10
	for try := 1; ; try++ {
		torn, err := c.ask(question, visit)
		if err != nil || !torn || try == tries {
			return err
		}
		forget()
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// A header is what is of interest in an nlmsghdr.
type header struct {
	kind, flags int
	seq         uint32
}

// eachMessage calls f with each message in a datagram.
func eachMessage(b []byte, f func(h header, data []byte)) {
	native := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(native.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		h := header{int(native.Uint16(b[4:])), int(native.Uint16(b[6:])), native.Uint32(b[8:])}
		f(h, b[unix.SizeofNlMsghdr:size])
		b = b[min(aligned(size), len(b)):]
	}
}

// refusalOf is the error in the kernel's answer, with its sentence if it has one; nil when it says yes.
func refusalOf(h header, data []byte) error {
	if len(data) < 4 {
		return nil
	}
	errno := syscall.Errno(-int32(binary.NativeEndian.Uint32(data)))
	if errno == 0 {
		return nil
	}
	rest := data[4:]
	if h.kind == unix.NLMSG_ERROR && len(rest) >= unix.SizeofNlMsghdr { // the request that it answers, capped to its header
		said := unix.SizeofNlMsghdr
		if h.flags&unix.NLM_F_CAPPED == 0 {
			said = aligned(number(rest[:4]))
		}
		rest = rest[min(said, len(rest)):]
	}
	if h.flags&unix.NLM_F_ACK_TLVS == 0 {
		return errno
	}
	err := error(errno)
	visit(rest, func(kind int, value []byte) {
		if kind == nl.NLMSGERR_ATTR_MSG {
			err = fmt.Errorf("%w: %s", errno, unix.ByteSliceToString(value))
		}
	})
	return err
}

func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func write(fd int, b []byte) error {
	for {
		if _, err := unix.Write(fd, b); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func read(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Read(fd, b); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
