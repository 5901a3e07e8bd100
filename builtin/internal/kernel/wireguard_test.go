package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// openHere opens the kernel in the test process's own namespace, where userspace WireGuard has its sockets.
func openHere(t *testing.T) Kernel {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun for userspace WireGuard")
	}
	none := goleak.IgnoreCurrent()
	k, err := Open(quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The kernel's devices stay when this process is through with them.
		if err := k.Do(context.Background(), Op{Del, Link{Name: "wg"}}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, none)
		if _, err := os.Stat(socketPath("wg")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket after Close: %v, want none", err)
		}
	})
	return k
}

func await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 5 s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func userspace(t *testing.T, k Kernel) {
	t.Helper()
	if !list(t, k, Device{Name: "wg"})[0].(Device).Userspace {
		t.Skip("this kernel has WireGuard, so none runs in userspace")
	}
}

func TestWireGuardOnFakeAndLinux(t *testing.T) {
	steps := []step{
		{Op{Add, Link{Name: "wg", Kind: "wireguard"}}, ""},
		{Op{Add, Link{Name: "wg", Kind: "wireguard"}}, "file exists"},
		{Op{Set, Device{Name: "nope", ListenPort: &port}}, "no such device"},
		{Op{Set, Device{Name: "lo", ListenPort: &port}}, "no such device"},
		{Op{Set, Peer{Dev: "nope", PublicKey: PublicKey{7}}}, "no such device"},
		{Op{Set, Device{Name: "wg", ListenPort: &port, PrivateKey: &private}}, ""},
		{Op{Add, Addr{Dev: "wg", Prefix: own.Prefix}}, ""},
		{Op{Set, Link{Name: "wg", State: Up, MTU: 1400}}, ""},
		{Op{Add, Route{Dst: prefix("10.50.0.0/16"), Hops: []Hop{{Dev: "wg"}}}}, ""},
		{Op{Set, wgPeer}, ""},
		{Op{Set, Peer{Dev: "wg", PublicKey: PublicKey{8}, Preshared: &Secret{9}, AllowedIPs: prefixes("fd00:8::/64", "10.50.8.0/24"), Endpoint: netipPort("[2001:db8::8]:51820")}}, ""},
		{Op{Set, Peer{Dev: "wg", PublicKey: PublicKey{9}, AllowedIPs: prefixes("10.50.8.0/24")}}, ""},
		{Op{Change, Peer{Dev: "wg", PublicKey: PublicKey{10}}}, ""},
		{Op{Del, Peer{Dev: "wg", PublicKey: PublicKey{11}}}, ""},
		{Op{Del, Peer{Dev: "wg", PublicKey: PublicKey{7}}}, ""},
	}
	states := map[string]string{}
	run := func(name string, k Kernel) {
		for _, s := range steps {
			if got := reason(k.Do(t.Context(), s.op)); got != s.want {
				t.Errorf("%s: %s\n got %q\nwant %q", name, s.op, got, s.want)
			}
		}
		states[name] = state(t, k)
	}
	run("fake", NewFake())
	run("linux", openHere(t))
	if diff := cmp.Diff(states["linux"], states["fake"]); diff != "" {
		t.Errorf("state (-linux +fake):\n%s", diff)
	}
}

func TestWireGuardUndo(t *testing.T) {
	for _, tt := range sequences {
		if !strings.HasPrefix(tt.name, "wireguard") {
			continue
		}
		for n := range len(tt.ops) + 1 {
			t.Run(fmt.Sprintf("%s, %d operations", tt.name, n), func(t *testing.T) {
				k := openHere(t)
				do(t, k, tt.before...)
				scopes := scopesOn(t, k, "")
				before := state(t, k)
				run := scopes.Begin("s")
				do(t, run, tt.ops[:n]...)
				if err := run.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, state(t, k)); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
			})
		}
	}
}

func TestUserspaceWireGuardIsVisibleToOthers(t *testing.T) {
	k := openHere(t)
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	userspace(t, k)
	client, err := wgctrl.New()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	key := wgtypes.Key(private)
	if err := client.ConfigureDevice("wg", wgtypes.Config{PrivateKey: &key, ListenPort: &port}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, k, Device{})[0].(Device).PublicKey; got != PublicKey(key.PublicKey()) {
		t.Error("a key set through the socket is not the device's")
	}
	info, err := os.Stat(socketPath("wg"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("socket: %v, %v, want it to be root's alone", info.Mode(), err)
	}
	wg, err := exec.LookPath("wg")
	if err != nil {
		t.Skip("wg is not installed")
	}
	out, err := exec.Command(wg, "show", "wg", "listen-port").CombinedOutput()
	if err != nil || string(out) != "51820\n" {
		t.Errorf("wg show: %q, %v", out, err)
	}
}

func TestADeviceWhoseLinkSomebodyDeletesCanBeMadeAgain(t *testing.T) {
	k := openHere(t)
	for range 5 {
		do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard", State: Up}})
		userspace(t, k)
		// A kernel that knows nothing of this process's devices deletes the link as another program would.
		other, err := Open(quiet)
		if err != nil {
			t.Fatal(err)
		}
		do(t, other, Op{Del, Link{Name: "wg"}})
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if err := k.Do(t.Context(), Op{Del, Link{Name: "wg"}}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
	}
	await(t, "the device's end", func() bool { return k.(*system).tunnels.get("wg") == nil })
	for range 5 {
		do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard", State: Up}}, Op{Del, Link{Name: "wg"}})
	}
}

func TestADeviceWhosePortIsInUseKeepsTheOneItHad(t *testing.T) {
	k := openHere(t)
	take := func(port int) *net.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	refused := func(op Op, kept int) {
		t.Helper()
		if err := k.Do(t.Context(), op); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: got %v, want EADDRINUSE", op, err)
		}
		if got := *list(t, k, Device{Name: "wg"})[0].(Device).ListenPort; got != kept {
			t.Errorf("%s: got port %d, want %d kept", op, got, kept)
		}
	}
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	userspace(t, k)
	do(t, k, Op{Set, Device{Name: "wg", ListenPort: &port}}, Op{Set, Link{Name: "wg", State: Up}})
	busy := take(0).LocalAddr().(*net.UDPAddr).Port
	refused(Op{Set, Device{Name: "wg", ListenPort: &busy}}, port)
	do(t, k, Op{Set, Link{Name: "wg", State: Down}})
	foreign := take(port)
	refused(Op{Set, Link{Name: "wg", State: Up}}, port)
	if got := list(t, k, Link{Name: "wg"})[0].(Link).State; got != Down {
		t.Error("the link is up without a port")
	}
	foreign.Close()
	do(t, k, Op{Set, Link{Name: "wg", State: Up}})
}

func TestASocketThatIsThereAlready(t *testing.T) {
	k := openHere(t)
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	userspace(t, k)
	do(t, k, Op{Del, Link{Name: "wg"}})
	if err := os.MkdirAll("/var/run/wireguard", 0o755); err != nil {
		t.Fatal(err)
	}
	foreign, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketPath("wg")})
	if err != nil {
		t.Fatal(err)
	}
	foreign.SetUnlinkOnClose(false)
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}}, Op{Set, Device{Name: "wg", ListenPort: &port}})
	if got := *list(t, k, Device{Name: "wg"})[0].(Device).ListenPort; got != port {
		t.Errorf("beside another's socket: got port %d, want the device to work", got)
	}
	do(t, k, Op{Del, Link{Name: "wg"}})
	foreign.Close() // its file stays, as after a kill
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	if c, err := net.Dial("unix", socketPath("wg")); err != nil {
		t.Errorf("in place of a stale socket: %v", err)
	} else {
		c.Close()
	}
}

func TestOtherProgramsChangesOfUserspaceWireGuardAreTold(t *testing.T) {
	if _, err := exec.LookPath("wg"); err != nil {
		t.Skip("wg is not installed: ", err)
	}
	k := openHere(t)
	scopes := scopesOn(t, k, "")
	node := scopes.Begin("node")
	do(t, node, Op{Add, Link{Name: "wg", Kind: "wireguard"}}, Op{Set, Device{Name: "wg", ListenPort: &port, PrivateKey: &private}}, Op{Set, wgPeer})
	node.Keep()
	userspace(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	notices, ended := make(chan Notice, 1000), make(chan error)
	go func() { ended <- k.Watch(ctx, func(n Notice) { notices <- n }) }()
	wg := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("wg", args...).CombinedOutput(); err != nil {
			t.Fatalf("wg %q: %v: %s", args, err, out)
		}
	}
	<-notices // that anything may have changed
	wg("show", "wg")
	do(t, k, Op{Set, Peer{Dev: "wg", PublicKey: PublicKey{8}}})
	wg("set", "wg", "peer", PublicKey{9}.String())
	for n := range notices {
		if d, ok := n.Object.(Device); ok {
			if d.Name != "wg" || len(list(t, k, Peer{Dev: "wg"})) != 3 {
				t.Errorf("told of %q, or too soon", d.Name)
			}
			break
		}
	}
	select {
	case n := <-notices:
		t.Errorf("told once more, of %v", n)
	default:
	}
	cancel()
	<-ended

	before := state(t, k)
	ctx, cancel = context.WithCancel(t.Context())
	told, done := make(chan []string, 10), make(chan error)
	go func() { done <- scopes.Watch(ctx, time.Hour, func(names []string) { told <- names }) }()
	defer func() { cancel(); <-done }()
	if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
		t.Fatalf("damaged before anything happened: %v, %v", names, err)
	}
	wg("set", "wg", "peer", wgPeer.PublicKey.String(), "remove")
	wg("set", "wg", "listen-port", "51999")
	<-told
	await(t, "all is as before", func() bool { return state(t, k) == before })
}
