package builtin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
)

// A machine is a host in a namespace of its own, with a bridge that a container engine would make.
type machine struct {
	host
	inside *netns.Namespace
}

// twoMachines are nodes 1 and 2 with a cable between them.
func twoMachines(t *testing.T, families nativetest.Families) [2]*machine {
	t.Helper()
	var m [2]*machine
	for i := range m {
		n, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		one := &machine{*hostOn(t, nil, families, i+1), n}
		t.Cleanup(func() { one.must(one.set.Close()) })
		m[i] = one
	}
	if err := netns.Connect(m[0].inside, "eth0", m[1].inside, "eth0", 1500); err != nil {
		t.Fatal(err)
	}
	for _, m := range m {
		number := m.number
		err := errors.Join(
			m.inside.Addr("eth0", netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", number)), netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", number))),
			m.inside.Bridge("pods0"),
			m.inside.Addr("pods0", netip.PrefixFrom(m.pod(nativetest.OnlyV4), 24), netip.PrefixFrom(m.pod(nativetest.OnlyV6), 64)),
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// pod is the address of the machine's bridge.
func (m *machine) pod(f nativetest.Families) netip.Addr {
	l := f.Lease("", m.number, "", "")
	for p := range l.Paths() {
		return p.Subnet.Addr().Next()
	}
	return netip.Addr{}
}

// up begins a life of the daemon on the machine.
func (m *machine) up(kind, keys string) {
	m.t.Helper()
	if m.set != nil {
		m.must(m.set.Close())
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	m.must(m.inside.Do(func() error {
		m.set, err = Open(Options{Ledger: filepath.Join(m.dir, "ledger"), Logger: log})
		return err
	}))
	m.backend, err = m.set.Backend(lease.Backend{Type: kind, Raw: fmt.Appendf(nil, `{"Type": %q%s}`, kind, keys)},
		BackendOptions{NodeID: fmt.Sprint("node ", m.number), Dir: m.dir, Logger: log})
	m.must(err)
	m.data, err = m.backend.PreStartup(m.t.Context(), m.call)
	m.must(err)
	m.must(m.backend.PostStartup(m.t.Context(), m.call))
}

// lease is what the machine tells the other.
func (m *machine) lease(kind string) lease.Lease {
	return m.families.Lease(kind, m.number, string(m.data.V4), string(m.data.V6))
}

// echo answers each packet at the machine's address until the test ends.
func (m *machine) echo(f nativetest.Families) netip.AddrPort {
	m.t.Helper()
	var conn net.PacketConn
	m.must(m.inside.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(m.pod(f), 7).String())
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 2000); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			conn.WriteTo(b[:n], from)
		}
	}()
	m.t.Cleanup(func() { conn.Close(); <-done })
	return netip.AddrPortFrom(m.pod(f), 7)
}

// dial is a socket to the address, from the machine's own in the overlay.
func (m *machine) dial(f nativetest.Families, to netip.AddrPort) *net.UDPConn {
	m.t.Helper()
	var conn *net.UDPConn
	m.must(m.inside.Do(func() (err error) {
		from := netip.AddrPortFrom(m.pod(f), 0)
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		return err
	}))
	m.t.Cleanup(func() { conn.Close() })
	return conn
}

// ping sends a packet of that many bytes and waits for it to come back.
func ping(conn *net.UDPConn, size int, wait time.Duration) error {
	if _, err := conn.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	n, err := conn.Read(make([]byte, 2000))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came back of %d", n, size)
	}
	return err
}

// pinged waits until pings come back.
func pinged(t *testing.T, conn *net.UDPConn) {
	t.Helper()
	var err error
	for range 100 {
		if err = ping(conn, 100, 100*time.Millisecond); err == nil {
			return
		}
	}
	t.Fatalf("ping %s: %v", conn.RemoteAddr(), err)
}

var natives = []struct{ kind, keys string }{
	{"vxlan", ""}, {"vxlan", `, "Checksum": false, "Learning": true, "GBP": true, "Port": 4789`}, {"vxlan", `, "DirectRouting": true`}, {"host-gw", ""},
}

func TestNodesReachEachOtherAndARestartLosesNoPacket(t *testing.T) {
	for _, tt := range natives {
		for _, families := range []nativetest.Families{nativetest.OnlyV4, nativetest.OnlyV6, nativetest.Dual} {
			t.Run(tt.kind+tt.keys+" "+families.String(), func(t *testing.T) {
				t.Parallel()
				m := twoMachines(t, families)
				m[0].up(tt.kind, tt.keys)
				m[1].up(tt.kind, tt.keys)
				m[0].must(m[0].add(m[1].lease(tt.kind)))
				m[1].must(m[1].add(m[0].lease(tt.kind)))
				var conns []*net.UDPConn
				for _, f := range []nativetest.Families{nativetest.OnlyV4, nativetest.OnlyV6} {
					if f.V4 && families.V4 || f.V6 && families.V6 {
						conns = append(conns, m[0].dial(f, m[1].echo(f)))
					}
				}
				for _, c := range conns {
					pinged(t, c)
				}
				before := m[0].links()
				restarted := make(chan struct{})
				lost := make(chan error, 1)
				go func() { lost <- pingUntil(conns, restarted) }()
				for range 5 {
					m[0].up(tt.kind, tt.keys)
					m[0].must(m[0].add(m[1].lease(tt.kind)))
				}
				close(restarted)
				if err := <-lost; err != nil {
					t.Errorf("during restarts: %v", err)
				}
				same(t, "links", before, m[0].links())
			})
		}
	}
}

// pingUntil pings on all sockets in turn until done, and returns the first loss.
func pingUntil(conns []*net.UDPConn, done <-chan struct{}) error {
	for {
		for _, c := range conns {
			if err := ping(c, 100, 5*time.Second); err != nil {
				return err
			}
		}
		select {
		case <-done:
			return nil
		default:
		}
	}
}

// links are the machine's links with their numbers and addresses.
func (m *machine) links() string {
	m.t.Helper()
	list, err := m.set.kernel.List(m.t.Context(), kernel.Link{})
	m.must(err)
	var text strings.Builder
	for _, o := range list {
		l := o.(kernel.Link)
		fmt.Fprintln(&text, l.Index, l.Name, l.Address)
	}
	return text.String()
}

func TestWhatOursIsCanBeToldWithTheRealTools(t *testing.T) {
	requireIP(t)
	m := twoMachines(t, nativetest.Dual)
	m[0].up("vxlan", "")
	m[1].up("vxlan", "")
	m[0].must(m[0].add(m[1].lease("vxlan")))
	for line, want := range map[string]string{
		"ip -o link show flannel.1":                  "alias overlayd",
		"ip route show proto 111":                    "10.50.2.0/24 via 10.50.2.0 dev flannel.1 metric 12803 onlink",
		"ip -6 route show proto 111":                 "fd50:0:0:2::/64 via fd50:0:0:2:: dev flannel-v6.1",
		"ip -d link show flannel-v6.1":               "local 2001:db8::1 dev eth0",
		"bridge fdb show dev flannel.1":              "dst 192.0.2.2 self permanent",
		"bridge fdb show dev flannel-v6.1":           "dst 2001:db8::2 self permanent",
		"ip -6 neigh show dev flannel-v6.1":          "fd50:0:0:2:: lladdr",
		"ip -6 addr show dev flannel-v6.1":           "inet6 fd50:0:0:1::/128 scope global nodad",
		"ip -d link show flannel.1 | grep -c UP,LOW": "1",
	} {
		if got := output(t, m[0].inside, line); !strings.Contains(got, want) {
			t.Errorf("%s says\n%swant %q", line, got, want)
		}
	}
}
