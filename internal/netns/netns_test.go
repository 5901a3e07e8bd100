package netns

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	if part := os.Getenv(play); part != "" {
		os.Exit(perform(part))
	}
	os.Exit(MainInside(m))
}

func newNamespace(t *testing.T) *Namespace {
	t.Helper()
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func links(t *testing.T, n *Namespace) []string {
	t.Helper()
	names, err := n.Links()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// must stops the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestANamespaceHasItsOwnLinks(t *testing.T) {
	t.Parallel()
	a, b := newNamespace(t), newNamespace(t)
	must(t, a.Bridge("only-a"))
	if diff := cmp.Diff([]string{"lo", "only-a"}, links(t, a)); diff != "" {
		t.Errorf("links of a (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lo"}, links(t, b)); diff != "" {
		t.Errorf("links of b (-want +got):\n%s", diff)
	}
	here, err := Current()
	must(t, err)
	defer here.Close()
	if got := links(t, here); slices.Contains(got, "only-a") {
		t.Errorf("the process's own namespace has links %q", got)
	}
}

func TestACableConnectsTwoNamespaces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, a, b string }{
		{"over IPv4", "192.0.2.1/24", "192.0.2.2/24"},
		{"over IPv6, at once", "2001:db8::1/64", "2001:db8::2/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, b := newNamespace(t), newNamespace(t)
			must(t, Connect(a, "eth0", b, "eth0", 1500),
				a.Addr("eth0", netip.MustParsePrefix(tt.a)), b.Addr("eth0", netip.MustParsePrefix(tt.b)))

			server := netip.AddrPortFrom(netip.MustParsePrefix(tt.b).Addr(), 7)
			var listener net.Listener
			must(t, b.Do(func() (err error) {
				listener, err = net.Listen("tcp", server.String())
				return err
			}))
			defer listener.Close()
			must(t, a.Do(func() error {
				conn, err := net.Dial("tcp", server.String())
				if err != nil {
					return err
				}
				return conn.Close()
			}))
		})
	}
}

func TestRoutesToFindsWhatLiesWithinThePrefix(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	p := netip.MustParsePrefix
	must(t, n.Bridge("br0"), n.Addr("br0", p("192.0.2.1/24")))
	for _, to := range []string{"0.0.0.0/0", "10.50.0.0/16", "10.50.7.0/24", "10.50.7.9/32", "10.51.0.0/16"} {
		must(t, n.Route(p(to), netip.MustParseAddr("192.0.2.2")))
	}
	got, err := n.RoutesTo(p("10.50.7.0/24"))
	must(t, err)
	want := []netip.Prefix{p("10.50.7.0/24"), p("10.50.7.9/32")}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestDoComesBackFromTheNamespace(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	where := func() string {
		link, err := os.Readlink("/proc/thread-self/ns/net")
		must(t, err)
		return link
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home := where()
	cause := errors.New("a cause")
	err := n.Do(func() error {
		if where() == home {
			t.Error("fn did not run inside")
		}
		return n.Do(func() error { return cause })
	})
	if err != cause {
		t.Errorf("Do returned %v, want what fn returned", err)
	}
	func() {
		defer func() { recover() }()
		n.Do(func() error { panic("a panic") })
	}()
	if where() != home {
		t.Error("the thread stayed inside")
	}
}

func TestCommandsRunInBothNamespaces(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	must(t, n.Bridge("br0"))
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", "pwd; ls /sys/class/net /run; echo here > /run/mark")
	cmd.Stdout = &out
	must(t, n.Run(cmd))
	dir, err := os.Getwd()
	must(t, err)
	if diff := cmp.Diff(dir+"\n/run:\n\n/sys/class/net:\nbr0\nlo\n", out.String()); diff != "" {
		t.Errorf("what a command sees (-want +got):\n%s", diff)
	}

	must(t, n.Run(exec.Command("test", "-e", "/run/mark")))
	if _, err := os.Stat("/run/mark"); err == nil {
		t.Error("the namespace's /run is the process's own")
	}
	if err := newNamespace(t).Run(exec.Command("test", "-e", "/run/mark")); err == nil {
		t.Error("two namespaces share /run")
	}
}

func TestAThreadsDeathSignalIsRefused(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("true")
	cmd.SysProcAttr = deathSignal()
	if err := newNamespace(t).Start(cmd); err == nil || cmd.Process != nil {
		t.Errorf("Start answered %v", err)
	}
}

// Not parallel: it counts what the whole process has.
func TestNothingIsLeft(t *testing.T) {
	count := func() (fds, mounts, links int) {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		info, err := os.ReadFile("/proc/self/mountinfo")
		must(t, err)
		here, err := Current()
		must(t, err)
		defer here.Close()
		names, err := here.Links()
		must(t, err)
		return len(entries), bytes.Count(info, []byte("\n")), len(names)
	}
	round := func() {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				a, errA := New()
				b, errB := New()
				if err := errors.Join(errA, errB); err != nil {
					t.Error(err)
					return
				}
				err := errors.Join(Connect(a, "eth0", b, "eth0", 1400), a.Bridge("br0", "eth0"),
					a.Run(exec.Command("true")), a.Close(), b.Close())
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	round() // the runtime opens its epoll descriptors
	fds, mounts, links := count()
	for range 5 {
		round()
	}
	fdsAfter, mountsAfter, linksAfter := count()
	if fds != fdsAfter || mounts != mountsAfter || links != linksAfter {
		t.Errorf("before %d descriptors, %d mounts, %d links; after %d, %d, %d",
			fds, mounts, links, fdsAfter, mountsAfter, linksAfter)
	}
}

func TestThisProcessIsApartFromTheMachine(t *testing.T) {
	t.Parallel()
	here, err := Current()
	must(t, err)
	defer here.Close()
	if diff := cmp.Diff([]string{"lo"}, links(t, here)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	listener.Close()
	entries, err := filepath.Glob("/run/*")
	must(t, err)
	if diff := cmp.Diff([]string{machineProc}, entries); diff != "" {
		t.Errorf("/run (-want +got):\n%s", diff)
	}
}
