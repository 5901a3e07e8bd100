package builtin

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/builtin/wireguard"
	"github.com/overlayd/overlayd/hooks"
)

// The device has the new key, and has tried its peers under it, before they are told.
func TestTheDeviceHasANewKeyBeforeThePeersAreTold(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	seen := &opsOf{Kernel: h.kernel}
	h.kernel = seen
	h.must(h.start("wireguard", `, "PersistentKeepaliveInterval": 25`))
	h.must(h.add(peerOf("wireguard", 7, 1)))
	peers := func() string { return wireguardPeers(t, h.kernel) }
	before := peers()
	public := h.anotherKey()
	seen.lines = nil
	call := h.call
	call.Reason = hooks.Repair
	data, err := h.backend.PreStartup(t.Context(), call)
	h.must(err)
	var told struct{ PublicKey string }
	if err := json.Unmarshal(data.V4, &told); err != nil || told.PublicKey != public.String() {
		t.Errorf("told is %s, %v, want the key %s", data.V4, err, public)
	}
	list, err := h.kernel.List(t.Context(), kernel.Device{Name: "flannel-wg"})
	if err != nil || len(list) != 1 || list[0].(kernel.Device).PublicKey != public {
		t.Errorf("the device has %v, %v, want the key %s", list, err, public)
	}
	key := (kernel.PublicKey{1, 7}).String()
	same(t, "it did", "wg set flannel-wg private-key (hidden)\n"+
		"wg set flannel-wg peer "+key+" endpoint 127.0.0.1:51820 persistent-keepalive 0\n"+
		"wg set flannel-wg peer "+key+" endpoint 127.0.0.1:51820 persistent-keepalive 25\n"+
		"wg set flannel-wg peer "+key+" endpoint 192.0.2.7:51820", strings.Join(seen.lines, "\n"))
	same(t, "peers", before, peers())

	seen.lines = nil
	if _, err := h.backend.PreStartup(t.Context(), call); err != nil || len(seen.lines) > 0 {
		t.Errorf("with the same key it did %v, %v", seen.lines, err)
	}
}

// A device that has tried a peer in vain is quiet, and the peer has heard nothing of it.
func TestAPeerThatIsHushedHearsNothing(t *testing.T) {
	k := inProcess(t).set.kernel
	do := func(ops ...kernel.Op) {
		t.Helper()
		if err := errors.Join(k.Batch(t.Context(), slices.Values(ops))...); err != nil {
			t.Fatal(err)
		}
	}
	private, port := kernel.Secret(newKey(t).Bytes()), 51820
	do(kernel.Op{Verb: kernel.Add, Object: kernel.Link{Name: "wg", Kind: "wireguard", State: kernel.Up}},
		kernel.Op{Verb: kernel.Set, Object: kernel.Device{Name: "wg", PrivateKey: &private, ListenPort: &port}})
	list, err := k.List(t.Context(), kernel.Device{Name: "wg"})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if !list[0].(kernel.Device).Userspace {
		t.Skip("this kernel has WireGuard, which sends later than it is told to")
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		socket, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		if err := socket.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		end := socket.LocalAddr().(*net.UDPAddr).AddrPort()
		// heard is how many bytes each packet has that came so far.
		heard := func() (sizes []int) {
			t.Helper()
			if _, err := socket.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(end)); err != nil {
				t.Fatal(err)
			}
			for b := make([]byte, 1500); ; {
				n, _, err := socket.ReadFrom(b)
				if err != nil {
					t.Fatal(err)
				}
				if n == 1 {
					return sizes
				}
				sizes = append(sizes, n)
			}
		}
		quiet := kernel.Peer{Dev: "wg", PublicKey: kernel.PublicKey(newKey(t).PublicKey().Bytes()), Endpoint: end}
		loud := kernel.Peer{Dev: "wg", PublicKey: kernel.PublicKey(newKey(t).PublicKey().Bytes()), Endpoint: end}
		do(kernel.Op{Verb: kernel.Set, Object: quiet}, kernel.Op{Verb: kernel.Set, Object: loud})
		do(hush(quiet, port)...)
		do(nudge(quiet)...)
		if sizes := heard(); len(sizes) > 0 {
			t.Errorf("%s: the peer heard %v", end, sizes)
		}
		if text := wireguardPeers(t, k); strings.Count(text, end.String()) != 2 {
			t.Errorf("the peers are not at %s:\n%s", end, text)
		}
		do(nudge(loud)...)
		if sizes := heard(); !slices.Equal(sizes, []int{148}) { // a handshake's initiation
			t.Errorf("%s: a peer that is not hushed heard %v", end, sizes)
		}
	}
}

func newKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// anotherKey puts another key in the place of the node's.
func (h *host) anotherKey() kernel.PublicKey {
	h.t.Helper()
	path := filepath.Join(h.dir, wireguard.KeyName)
	public, err := wireguard.Rotate(path)
	h.must(err)
	h.must(wireguard.TakeUp(path))
	return public
}

func wireguardPeers(t *testing.T, k kernel.Kernel) string {
	t.Helper()
	list, err := k.List(t.Context(), kernel.Peer{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, o := range list {
		lines = append(lines, kernel.Op{Verb: kernel.Set, Object: o}.String())
	}
	return strings.Join(lines, "\n")
}

func TestAPeerWithThisNodesKeyIsRefused(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("wireguard", ""))
	clone := peerOf("wireguard", 7, 1)
	clone.V4.Data = h.data.V4
	if err := h.add(clone); err == nil || !strings.Contains(err.Error(), "its public key is this node's own") {
		t.Errorf("error %v", err)
	}
}

// The key is another one than the peers were told when somebody replaces it in the middle of a start.
func TestAKeyThatIsReplacedDuringAStartIsNoticed(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("wireguard", ""))
	b := h.backend.(*planned)
	h.anotherKey()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var told []string
	_ = b.followKey(ctx, func(scopes []string) { told = scopes; cancel() })
	if !slices.Equal(told, []string{hooks.NodeNews}) {
		t.Errorf("told of %q", told)
	}
}

// The new key has the prefixes before the old one goes, and is there, without them, before it has them.
func TestAPeersNewKeyTakesThePlaceOfTheOld(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	fake := h.kernel.(*kernel.Fake)
	seen := &opsOf{Kernel: fake}
	h.kernel = seen
	h.must(h.start("wireguard", ""))
	h.must(h.add(peerOf("wireguard", 7, 2)))
	want := fake.String()
	h.must(h.remove(peerOf("wireguard", 7, 2)))

	h.must(h.add(peerOf("wireguard", 7, 1)))
	old := (kernel.PublicKey{1, 7}).String()
	seen.lines = nil
	change := h.call
	change.Reason = hooks.Change
	h.must(h.backend.SubnetAdd(t.Context(), change, peerOf("wireguard", 7, 2)))
	same(t, "in the end", want, fake.String())
	if len(seen.lines) < 4 || strings.Contains(seen.lines[0], "allowed-ips") || strings.Contains(seen.lines[0], old) {
		t.Errorf("the new key is not there first:\n%s", strings.Join(seen.lines, "\n"))
	}
	if n := strings.Count(strings.Join(seen.lines, "\n"), "allowed-ips"); n != 1 {
		t.Errorf("prefixes are given %d times:\n%s", n, strings.Join(seen.lines, "\n"))
	}
	for i, line := range seen.lines {
		if strings.Contains(line, old) && strings.Contains(line, "remove") != (i == len(seen.lines)-1) {
			t.Errorf("the old one does not go last:\n%s", strings.Join(seen.lines, "\n"))
		}
	}
}
