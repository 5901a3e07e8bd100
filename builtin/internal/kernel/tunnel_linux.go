package kernel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// tunnels are the WireGuard devices that run in this process.
type tunnels struct {
	log     *slog.Logger
	running sync.WaitGroup
	mu      sync.Mutex
	ours    map[string]*tunnel
	changed func(link string) // called when another program has changed a device; nil while nobody wants to know
}

// A tunnel is a WireGuard device on a TUN link. The link lives as long as the device has it open: whichever of the two
// ends first takes the other along.
type tunnel struct {
	device *device.Device
	socket *uapiSocket   // nil when another process has the socket of that name
	ended  chan struct{} // closed when device and socket are gone
	port   atomic.Int64  // that was asked for; 0 for any
}

func newTunnels(log *slog.Logger) *tunnels { return &tunnels{log: log, ours: map[string]*tunnel{}} }

// RunsWireGuard reports whether WireGuard devices run in this process.
func (s *system) RunsWireGuard() bool {
	s.tunnels.mu.Lock()
	defer s.tunnels.mu.Unlock()
	return len(s.tunnels.ours) > 0
}

// get is the tunnel behind the link of that name, nil when it is not one of this process.
func (ts *tunnels) get(name string) *tunnel {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.ours[name]
}

// create makes the link and runs WireGuard on it. Without a socket the device works all the same: programs other than
// this one just cannot see it.
func (ts *tunnels) create(name string, mtu int) error {
	ts.remove(name) // one whose link somebody deleted just now may not be through yet
	if mtu == 0 {
		mtu = device.DefaultMTU
	}
	link, err := tun.CreateTUN(name, mtu)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EBUSY) {
		return err
	}
	if err != nil {
		return fmt.Errorf("make TUN link for userspace WireGuard: %w (try: modprobe tun)", err)
	}
	t := &tunnel{
		device: device.NewDevice(link, conn.NewDefaultBind(), deviceLogger(ts.log.With("link", name))),
		ended:  make(chan struct{}),
	}
	// Soon the library takes the link to be up, which it is not, and opens a port. Now is better than amid what comes next.
	if err := t.device.Up(); err != nil {
		t.device.Close()
		return err
	}
	if t.socket, err = listenUAPI(name, func(c net.Conn) { t.device.IpcHandle(&overheard{Conn: c, changed: func() { ts.tell(name) }}) }); err != nil {
		ts.log.Warn("WireGuard device is not visible to other programs", "link", name, "err", err)
	}
	ts.mu.Lock()
	ts.ours[name] = t
	ts.mu.Unlock()
	ts.log.Info("WireGuard runs in userspace, since this kernel has none", "link", name)
	ts.running.Go(func() { ts.await(t) })
	return nil
}

// await closes what belongs to a tunnel when its device ends, by us or by somebody's ip link del.
func (ts *tunnels) await(t *tunnel) {
	<-t.device.Wait()
	t.socket.close()
	ts.mu.Lock()
	for name, other := range ts.ours {
		if other == t {
			delete(ts.ours, name)
		}
	}
	ts.mu.Unlock()
	close(t.ended)
}

// tell says that another program has changed the device of that name.
func (ts *tunnels) tell(name string) {
	ts.mu.Lock()
	changed := ts.changed
	ts.mu.Unlock()
	if changed != nil {
		changed(name)
	}
}

// onChange has changed called from then on.
func (ts *tunnels) onChange(changed func(link string)) {
	ts.mu.Lock()
	ts.changed = changed
	ts.mu.Unlock()
}

// An overheard connection is one of another program to a device, which can ask questions and make changes.
type overheard struct {
	net.Conn
	changed func()
	change  bool // the request that has come is one
}

// Read is part of net.Conn. A program sends the first line of a request, which says what it is, as one.
func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.change = o.change || bytes.Contains(p[:n], []byte("set=1\n"))
	return n, err
}

// Write is part of net.Conn. An answer says that the change is made.
func (o *overheard) Write(p []byte) (int, error) {
	n, err := o.Conn.Write(p)
	if o.change {
		o.change = false
		o.changed()
	}
	return n, err
}

// remove ends the tunnel of that name and reports whether there was one.
func (ts *tunnels) remove(name string) bool {
	t := ts.get(name)
	if t == nil {
		return false
	}
	t.device.Close()
	<-t.ended
	return true
}

// close ends all tunnels.
func (ts *tunnels) close() {
	ts.mu.Lock()
	names := slices.Collect(maps.Keys(ts.ours))
	ts.mu.Unlock()
	for _, name := range names {
		ts.remove(name)
	}
	ts.running.Wait()
}

// up opens the device's port, before its link is up. The device would do so by itself once the link is, but would only log
// that the port is in use.
func (t *tunnel) up(name string) error {
	return t.keepingPort(name, func() error {
		if err := t.remindOfPort(name); err != nil {
			return err
		}
		return t.device.Up()
	})
}

// remindOfPort gives the device its port again. It forgets it when it tries by itself to open it, late after the link was
// up for a moment, and finds it in use.
func (t *tunnel) remindOfPort(name string) error {
	now, err := t.read(name)
	port := int(t.port.Load())
	if err != nil || now.ListenPort != 0 || port == 0 {
		return err
	}
	return t.device.IpcSet(configText(wgtypes.Config{ListenPort: &port}))
}

// configure changes the device. A port that it has already it is not told, since it would close it for a moment.
func (t *tunnel) configure(name string, c wgtypes.Config) error {
	if c.ListenPort != nil {
		now, err := t.read(name)
		if err != nil {
			return err
		}
		if now.ListenPort == *c.ListenPort && int64(now.ListenPort) == t.port.Load() {
			c.ListenPort = nil
		}
	}
	set := func() error { return t.device.IpcSet(configText(c)) }
	if c.ListenPort == nil {
		return set()
	}
	if err := t.keepingPort(name, set); err != nil {
		return err
	}
	t.port.Store(int64(*c.ListenPort))
	return nil
}

// keepingPort does what may fail for want of a port, and then restores the port that the device had: by itself the device
// forgets it, would take any other the next time, and until then have none.
func (t *tunnel) keepingPort(name string, do func() error) error {
	before, err := t.read(name)
	if err != nil {
		return err
	}
	port := cmp.Or(before.ListenPort, int(t.port.Load()))
	if err := do(); err != nil {
		return errors.Join(err, t.device.IpcSet(configText(wgtypes.Config{ListenPort: &port})))
	}
	return nil
}

func (t *tunnel) read(name string) (*wgtypes.Device, error) {
	text, err := t.device.IpcGet()
	if err != nil {
		return nil, err
	}
	return readConfig(name, text)
}

// deviceLogger passes the library's messages on: what it does for debugging, errors as warnings. Two of them are no news:
// the MTU of a link that was deleted, and an error that IpcSet returns as well.
func deviceLogger(log *slog.Logger) *device.Logger {
	say := func(level slog.Level, format string, args []any) {
		if log.Enabled(context.Background(), level) {
			log.Log(context.Background(), level, "WireGuard: "+fmt.Sprintf(format, args...))
		}
	}
	return &device.Logger{
		Verbosef: func(format string, args ...any) { say(slog.LevelDebug, format, args) },
		Errorf: func(format string, args ...any) {
			if format == "%v" || format == "Failed to load updated MTU of device: %v" {
				say(slog.LevelDebug, format, args)
				return
			}
			say(slog.LevelWarn, format, args)
		},
	}
}

// A uapiSocket is where other programs, such as wg, reach a device. Whenever it is there somebody listens: wg removes one at which
// nobody does.
type uapiSocket struct {
	path     string
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool // nil once closed
	serving  sync.WaitGroup
}

func socketPath(name string) string { return "/var/run/wireguard/" + name + ".sock" }

// listenUAPI makes the socket and serves each connection by handle. The library has a listener of its own, which gives up
// when somebody changes the socket's mode or owner.
func listenUAPI(name string, handle func(net.Conn)) (*uapiSocket, error) {
	path := socketPath(name)
	if err := os.MkdirAll("/var/run/wireguard", 0o755); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	made := strings.TrimSuffix(path, ".sock") + ".new" // to wg no socket
	os.Remove(made)                                    // of a process that was killed
	mask := unix.Umask(0o077)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	unix.Umask(mask)
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Rename(made, path); err != nil {
		os.Remove(made)
		listener.Close()
		return nil, err
	}
	s := &uapiSocket{path: path, listener: listener, open: map[net.Conn]bool{}}
	s.serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.serve(c, handle)
		}
	})
	return s, nil
}

func (s *uapiSocket) serve(c net.Conn, handle func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		c.Close()
		return
	}
	s.open[c] = true
	s.serving.Go(func() {
		handle(c)
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	})
}

// close removes the socket, ends all connections and waits for their goroutines.
func (s *uapiSocket) close() {
	if s == nil {
		return
	}
	os.Remove(s.path)
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.open = nil
	s.mu.Unlock()
	s.serving.Wait()
}
