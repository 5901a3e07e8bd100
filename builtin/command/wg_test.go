package command

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

// realDevice makes a WireGuard link in a namespace with the programs of this machine.
func realDevice(t *testing.T, n *netns.Namespace, name string) {
	t.Helper()
	real := &reference{inside: n}
	if real.run(t, "ip link add "+name+" type wireguard").Status == 0 {
		return
	}
	requireTools(t, "wireguard-go")
	daemon := exec.Command("wireguard-go", "-f", name)
	if err := n.Start(daemon); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); real.run(t, "wg show "+name).Status != 0; {
		if time.Now().After(deadline) {
			t.Fatal("waited 10 s for wireguard-go")
		}
	}
}

// Not parallel: userspace WireGuard is in this process's own namespace.
func TestWireGuardIsAnsweredAsByTheRealWG(t *testing.T) {
	requireTools(t, "wg", "ip")
	theirs := newNamespace(t)
	realDevice(t, theirs, "wg0")
	k, err := kernel.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	for name, content := range map[string]string{"private": keyA + "\n", "bad": "abc\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := &shell{kernel: k, dir: dir}
	if r, _ := own.run(t, "ip link add wg0 type wireguard"); r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	compare(t, &reference{theirs, dir}, own, `
		wg genkey extra
		wg pubkey extra
		wg genpsk extra
		wg pubkey <private
		wg pubkey <bad
		wg pubkey </dev/null
		wg show wg0 dump | cut -f 1,2,4-
		wg set wg0 listen-port 51820 private-key private fwmark 0x10
		wg set wg0 private-key nosuchfile
		wg set wg0 private-key bad
		wg set wg0 fwmark x
		wg set wg0 peer xx
		wg set wg0 peer
		wg set wg0 peer `+keyB+` endpoint 192.0.2.7
		wg set wg0 peer `+keyB+` allowed-ips bogus
		wg set wg0 peer `+keyB+` allowed-ips 10.50.7.0/33
		wg set wg0 peer `+keyB+` persistent-keepalive 70000
		wg set wg0 peer `+keyB+` persistent-keepalive x
		wg show wg0
		wg set wg0 peer `+keyB+` endpoint 192.0.2.7:51820 allowed-ips 10.50.7.9/24,fd00:7::/64 preshared-key private
		wg show
		wg
		wg show wg0
		wg show wg0 dump
		wg show all dump
		wg show interfaces
		wg show wg0 public-key
		wg show all public-key
		wg show wg0 private-key
		wg show wg0 listen-port
		wg show wg0 fwmark
		wg show wg0 peers
		wg show wg0 preshared-keys
		wg show wg0 endpoints
		wg show wg0 allowed-ips
		wg show wg0 latest-handshakes
		wg show wg0 transfer
		wg show wg0 persistent-keepalive
		wg showconf wg0
		wg set wg0 peer `+keyB+` endpoint [fd00::7]:9 allowed-ips "" preshared-key /dev/null
		wg show wg0
		wg set wg0 peer `+keyB+` persistent-keepalive off allowed-ips 10.50.7.1
		wg show wg0 dump
		wg showconf wg0
		wg set wg0 peer `+keyA+` allowed-ips 10.50.7.1 peer `+keyB+` remove
		wg show wg0 dump
		wg set wg0 peer `+keyB+` remove
		wg set wg0 fwmark off private-key empty
		wg show wg0
		ip link del wg0
	`)
}

// Where the kernel has WireGuard, wg answers so; where it has none, the real wg says that the protocol is not supported.
func TestAMissingDeviceIsTold(t *testing.T) {
	s := fakeShell(t)
	for line, want := range map[string]string{
		"wg show nope":              "Unable to access interface: No such device\n",
		"wg showconf nope":          "Unable to access interface: No such device\n",
		"wg set nope listen-port 1": "Unable to modify interface: No such device\n",
		"wg set nope peer " + keyA:  "Unable to modify interface: No such device\n",
	} {
		r, _ := s.run(t, line)
		if diff := cmp.Diff(result{Stderr: want, Status: 1}, r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestDurationsAndSizesReadAsWGPrintsThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                         "Now",
		time.Second:               "1 second ago",
		63 * time.Second:          "1 minute, 3 seconds ago",
		2*time.Hour + time.Second: "2 hours, 1 second ago",
		400 * 24 * time.Hour:      "1 year, 35 days ago",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 3700: "3.61 KiB", 5 << 20: "5.00 MiB", 3 << 50: "3072.00 TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
