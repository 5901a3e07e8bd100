package wireguard

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
)

const (
	// ownKey belongs to the private key of 32 bytes 0x40, peerKey to nobody.
	ownKey   = "17XoHTNuV4sTuNcG6C0GHjA4yWvOZs3PUNVmuW3buhA="
	peerKey  = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
	otherKey = "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
	data4    = `{"PublicKey":"` + peerKey + `","Port":4444}`
	data6    = `{"PublicKey":"` + peerKey + `","Port":6666}`
)

func plan(t *testing.T, config string) Plan {
	t.Helper()
	c, err := Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return Plan{Config: c, Key: func() (Key, error) { return keyOf(kernel.Secret(bytes.Repeat([]byte{0x40}, 32))) }}
}

func TestANodeIsALinkForEachFamilyOrOneForBoth(t *testing.T) {
	const (
		link4 = "ip link add flannel-wg mtu 1420 up type wireguard\n" +
			"wg set flannel-wg listen-port 51820 private-key (hidden)\n"
		half4 = "ip address add 10.50.1.0/32 dev flannel-wg\n" +
			"ip route add 10.50.0.0/16 dev flannel-wg\n"
		link6 = "ip link add flannel-wg-v6 mtu 1420 up type wireguard\n" +
			"wg set flannel-wg-v6 listen-port 51821 private-key (hidden)\n"
		half6 = "ip address add fd50:0:0:1::/128 dev flannel-wg-v6 nodad\n" +
			"ip route add fd50::/48 dev flannel-wg-v6\n"
	)
	on4 := strings.NewReplacer("flannel-wg-v6", "flannel-wg")
	for _, tt := range []struct {
		config   string
		families nativetest.Families
		want     string
	}{
		{`{}`, nativetest.OnlyV4, link4 + half4},
		{`{}`, nativetest.OnlyV6, link6 + half6},
		{`{}`, nativetest.Dual, link4 + link6 + half4 + half6},
		{`{"Mode": "auto"}`, nativetest.OnlyV6, link4 + on4.Replace(half6)},
		{`{"Mode": "auto"}`, nativetest.Dual, link4 + half4 + on4.Replace(half6)},
		{
			`{"Name": "wg9", "ListenPort": 1, "MTU": 1300}`, nativetest.OnlyV4,
			"ip link add wg9 mtu 1220 up type wireguard\nwg set wg9 listen-port 1 private-key (hidden)\n" +
				"ip address add 10.50.1.0/32 dev wg9\nip route add 10.50.0.0/16 dev wg9\n",
		},
	} {
		t.Run(tt.families.String()+" "+tt.config, func(t *testing.T) {
			objects, err := plan(t, tt.config).Node(tt.families.Node("wireguard", 1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, nativetest.Text(objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPeerHasItsSubnets(t *testing.T) {
	const (
		peer4 = "wg set flannel-wg peer " + peerKey + " preshared-key (hidden) endpoint 192.0.2.7:4444 persistent-keepalive 0 allowed-ips 10.50.7.0/24\n"
		peer6 = "wg set flannel-wg-v6 peer " + peerKey + " preshared-key (hidden) endpoint [2001:db8::7]:6666 persistent-keepalive 0 allowed-ips fd50:0:0:7::/64\n"
		both  = "wg set flannel-wg peer " + peerKey + " preshared-key (hidden) endpoint [2001:db8::7]:4444 persistent-keepalive 25 allowed-ips 10.50.7.0/24,fd50:0:0:7::/64\n"
	)
	for _, tt := range []struct {
		config     string
		node, peer nativetest.Families
		want       string
	}{
		{`{}`, nativetest.OnlyV4, nativetest.OnlyV4, peer4},
		{`{}`, nativetest.OnlyV6, nativetest.OnlyV6, peer6},
		{`{}`, nativetest.Dual, nativetest.Dual, peer4 + peer6},
		{`{}`, nativetest.OnlyV4, nativetest.Dual, peer4},
		{`{"Mode": "auto"}`, nativetest.OnlyV4, nativetest.OnlyV4, peer4},
		{`{"Mode": "IPv6", "PersistentKeepaliveInterval": 25}`, nativetest.Dual, nativetest.Dual, both},
		{`{"Mode": "ipv6"}`, nativetest.OnlyV6, nativetest.OnlyV6, strings.Replace(peer6, "flannel-wg-v6", "flannel-wg", 1)},
	} {
		t.Run(tt.config+" "+tt.node.String()+" to "+tt.peer.String(), func(t *testing.T) {
			objects, err := plan(t, tt.config).Peer(tt.node.Node("wireguard", 1), new(tt.peer.Lease("wireguard", 7, data4, data6)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, nativetest.Text(objects)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPSKIsSetAndCleared(t *testing.T) {
	const psk = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for config, want := range map[string]byte{`{"PSK": "` + psk + `"}`: 31, `{}`: 0} {
		objects, err := plan(t, config).Peer(nativetest.OnlyV4.Node("wireguard", 1), new(nativetest.OnlyV4.Lease("wireguard", 7, data4, "")))
		if err != nil {
			t.Fatal(err)
		}
		if got := objects[0].(kernel.Peer).Preshared; got == nil || got[31] != want {
			t.Errorf("%s: the preshared key's last byte is not %d", config, want)
		}
	}
}

func TestAutoTakesTheFamilyThatMostLikelyWorks(t *testing.T) {
	const public4, private4, public6, private6 = "192.0.2.7", "10.0.0.7", "2001:db8::7", "fd00::7"
	for _, tt := range []struct{ name, own4, own6, v4, v6, want string }{
		{"all public", public4, public6, public4, public6, public4},
		{"the peer's IPv4 address is private", public4, public6, private4, public6, public6},
		{"and so is this node's IPv6 address", public4, private6, private4, public6, private4},
		{"both of the peer's are private", public4, public6, private4, private6, private4},
		{"this node has IPv6 alone", "", public6, public4, public6, public6},
		{"the peer has IPv4 alone", public4, public6, private4, "", private4},
		{"the peer has IPv6 alone", public4, public6, "", private6, private6},
	} {
		addr := func(s string) netip.Addr { a, _ := netip.ParseAddr(s); return a }
		own, peer := nativetest.Dual.Node("wireguard", 1), nativetest.Dual.Lease("", 7, "", "")
		own.Lease.V4.PublicIP, own.Lease.V6.PublicIP, peer.V4.PublicIP, peer.V6.PublicIP = addr(tt.own4), addr(tt.own6), addr(tt.v4), addr(tt.v6)
		if got, err := plan(t, `{"Mode": "auto"}`).endpoint(own, &peer); got != addr(tt.want) || err != nil {
			t.Errorf("%s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestDataIsFlannelsWithThePortThatListens(t *testing.T) {
	for _, tt := range []struct{ config, v4, v6 string }{
		{`{}`, `{"PublicKey":"` + ownKey + `","Port":51820}`, `{"PublicKey":"` + ownKey + `","Port":51821}`},
		{`{"Mode": "auto"}`, `{"PublicKey":"` + ownKey + `","Port":51820}`, `{"PublicKey":"` + ownKey + `","Port":51820}`},
	} {
		data, err := plan(t, tt.config).Data(nativetest.Dual.Node("wireguard", 1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{tt.v4, tt.v6}, []string{string(data.V4), string(data.V6)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.config, diff)
		}
	}
}

// The keys that flannel reads stay what they are. Others it passes over.
func TestANextKeyIsToldBesideTheKey(t *testing.T) {
	const next = `,"Next":{"PublicKey":"` + peerKey + `","Port":`
	for _, tt := range []struct{ config, v4, v6 string }{
		{`{}`, `51820` + next + `51822}}`, `51821` + next + `51823}}`},
		{`{"Mode": "auto", "ListenPort": 7}`, `7` + next + `51822}}`, `7` + next + `51822}}`},
		{`{"ListenPort": 65535}`, `65535` + next + `51819}}`, `51821` + next + `51820}}`},
	} {
		p := plan(t, tt.config)
		key, _ := parseKey(peerKey)
		p.Next = key
		n := nativetest.Dual.Node("wireguard", 1)
		data, err := p.Data(n)
		if err != nil {
			t.Fatal(err)
		}
		begin := `{"PublicKey":"` + ownKey + `","Port":`
		if diff := cmp.Diff([]string{begin + tt.v4, begin + tt.v6}, []string{string(data.V4), string(data.V6)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.config, diff)
		}
		if got := p.NextOf(nativetest.Dual.Lease("wireguard", 7, string(data.V4), string(data.V6))); got != (Next{key, false}) {
			t.Errorf("%s: it is read as %v", tt.config, got)
		}
		objects, err := p.Detour(n, kernel.Secret{1})
		if text := nativetest.Text(objects); err != nil || !strings.Contains(text, "listen-port "+strings.Trim(tt.v4[strings.LastIndex(tt.v4, ":")+1:], "}")) {
			t.Errorf("%s: the links do not listen there: %v\n%s", tt.config, err, text)
		}
	}
}

func TestWhatCannotBeANextKeyIsNone(t *testing.T) {
	for _, next := range []string{``, `,"Next":null`, `,"Next":7`, `,"Next":{}`, `,"Next":{"PublicKey":"YWFh","Port":1}`, `,"Next":{"PublicKey":"` + peerKey + `"}`} {
		data := `{"PublicKey":"` + peerKey + `","Port":1` + next + `}`
		if got := plan(t, `{}`).NextOf(nativetest.Dual.Lease("wireguard", 7, data, data)); got != (Next{}) {
			t.Errorf("%s is read as %v", next, got)
		}
	}
	data := `{"PublicKey":"` + peerKey + `","Port":1,"Next":{"PublicKey":"` + peerKey + `","Port":2}}`
	if got := plan(t, `{}`).NextOf(nativetest.OnlyV6.Lease("wireguard", 7, "", data)); !got.Taken {
		t.Errorf("%s is read as %v", data, got)
	}
}

func TestAPeerIsOnTheDetourUnderTheKeyThatItHasThere(t *testing.T) {
	const told = `{"PublicKey":"` + ownKey + `","Port":1,"Next":{"PublicKey":"` + peerKey + `","Port":2}}`
	for _, tt := range []struct {
		config, v4, v6, want string
	}{
		{`{}`, data4, data6, "wg set flannel-wg-x peer " + peerKey + " preshared-key (hidden) persistent-keepalive 0 allowed-ips 10.50.7.0/24\n" +
			"wg set flannel-wg-x6 peer " + peerKey + " preshared-key (hidden) persistent-keepalive 0 allowed-ips fd50:0:0:7::/64\n" +
			"ip route add 10.50.7.0/24 dev flannel-wg-x src 10.50.1.0 metric 12808 proto 111\nip route add fd50:0:0:7::/64 dev flannel-wg-x6 src fd50:0:0:1:: proto 111\n"},
		{`{"Mode": "ipv6"}`, strings.Replace(told, ownKey, otherKey, 1), data6, "wg set flannel-wg-x peer " + peerKey +
			" preshared-key (hidden) endpoint [2001:db8::7]:2 persistent-keepalive 0 allowed-ips 10.50.7.0/24,fd50:0:0:7::/64\n" +
			"ip route add 10.50.7.0/24 dev flannel-wg-x src 10.50.1.0 metric 12808 proto 111\nip route add fd50:0:0:7::/64 dev flannel-wg-x src fd50:0:0:1:: proto 111\n"},
	} {
		peers, routes, err := plan(t, tt.config).Detoured(nativetest.Dual.Node("wireguard", 1), new(nativetest.Dual.Lease("wireguard", 7, tt.v4, tt.v6)))
		if err != nil {
			t.Fatal(err)
		}
		var objects []kernel.Object
		for _, p := range peers {
			objects = append(objects, p)
		}
		if diff := cmp.Diff(tt.want, nativetest.Text(append(objects, routes...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.config, diff)
		}
	}
}

func TestAPeerWithoutAPortHasThisNodes(t *testing.T) {
	objects, err := plan(t, `{"ListenPort": 99}`).Peer(nativetest.OnlyV4.Node("wireguard", 1),
		new(nativetest.OnlyV4.Lease("wireguard", 7, `{"PublicKey":"`+peerKey+`"}`, "")))
	if err != nil {
		t.Fatal(err)
	}
	if got := objects[0].(kernel.Peer).Endpoint.Port(); got != 99 {
		t.Errorf("port %d, want 99", got)
	}
}

func TestPeersThatCannotBeAreRefused(t *testing.T) {
	for data, want := range map[string]string{
		``:                               "its lease does not say its public key",
		`"text"`:                         `its data "\"text\"" cannot be read: json: cannot unmarshal string into Go value of type wireguard.data`,
		`{}`:                             `its PublicKey "" is not 32 bytes in base64`,
		`{"PublicKey":"YWFh"}`:           `its PublicKey "YWFh" is not 32 bytes in base64`,
		`{"Port":70000}`:                 `its data "{\"Port\":70000}" cannot be read: json: cannot unmarshal number 70000 into Go struct field data.Port of type uint16`,
		`{"PublicKey":"` + ownKey + `"}`: "its public key is this node's own: one of the two was cloned, and needs its key file deleted",
	} {
		own := nativetest.OnlyV4.Node("wireguard", 1)
		if err := own.Key.UnmarshalText([]byte(ownKey)); err != nil {
			t.Fatal(err)
		}
		_, err := plan(t, `{}`).Peer(own, new(nativetest.OnlyV4.Lease("wireguard", 7, data, "")))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", data, err, want)
		}
	}
	nowhere := nativetest.OnlyV4.Lease("wireguard", 7, data4, "")
	nowhere.V4.PublicIP = netip.Addr{}
	for config, want := range map[string]string{
		`{}`:               "its lease has no public IPv4 address",
		`{"Mode": "auto"}`: "its lease has no public IPv4 address",
		`{"Mode": "ipv4"}`: "its lease has no public address for Mode ipv4",
	} {
		if _, err := plan(t, config).Peer(nativetest.OnlyV4.Node("wireguard", 1), &nowhere); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}

func TestConfigsThatCannotBeAreRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{"PSK": "c2hvcnQ="}`:                 "1:9: PSK: it is not 32 bytes in base64, as wg genpsk prints",
		`{"Mode": "ipv5"}`:                    `1:10: Mode: "ipv5" is not one of [separate auto ipv4 ipv6]`,
		`{"ListenPort": 0}`:                   "1:16: ListenPort: 0 is not within 1 and 65535",
		`{"ListenPortV6": 51820}`:             "1:18: ListenPortV6: 51820 is ListenPort too, and two links cannot share it",
		`{"PersistentKeepaliveInterval": -1}`: "1:33: PersistentKeepaliveInterval: -1 is not within 0 and 65535",
		`{"Keepalive": 25}`:                   `1:2: unknown key "Keepalive": known are Type, PSK, ListenPort, ListenPortV6, MTU, Mode, PersistentKeepaliveInterval, Name`,
		`{"Name": "sixteen-bytes-ab"}`:        `1:10: Name: link name "sixteen-bytes-ab" is longer than 15 bytes, the kernel's limit: choose a shorter one by the key Name`,
	} {
		if _, err := Parse([]byte(config)); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", config, err, want)
		}
	}
}

func TestAKeyIsMadeOnceAndForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wireguard-key")
	first, err := KeyFile(path)()
	if err != nil {
		t.Fatal(err)
	}
	second, err := KeyFile(path)()
	if err != nil || first != second || first.Private == (kernel.Secret{}) {
		t.Errorf("a second time the key is another one, or %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v, want the key alone", entries, err)
	}
}

func TestAKeyIsRotatedWhereThereIsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyName)
	if _, err := Rotate(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a key: %v", err)
	}
	read := KeyFile(path)
	first, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if err := TakeUp(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without another key: %v", err)
	}
	public, err := Rotate(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("with one that waits: %v", err)
	}
	if info, err := os.Stat(path + "-next"); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	waits, err := Pending(path)
	if still, err2 := read(); err != nil || err2 != nil || still != first || waits == first.Private {
		t.Errorf("before it is taken up it is not the old key, or the next is: %v, %v", err, err2)
	}
	if err := TakeUp(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Pending(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it waits still: %v", err)
	}
	second, err := read()
	if err != nil || second == first || second.Private != waits || public != second.Public {
		t.Errorf("it is the same key: %t; its public key is %s, want %s; %v", second == first, public, second.Public, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAKeyThatSomebodyWritesOverIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyName)
	read := KeyFile(path)
	first, err := read()
	if err != nil {
		t.Fatal(err)
	}
	other := kernel.Secret{7}
	if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(other[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || got.Private != other || got.Public == first.Public {
		t.Errorf("the key is not the new one, but is that the old one: %t, %v", got == first, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || got.Private == other || got.Private == first.Private {
		t.Errorf("without the file no other key was made, %v", err)
	}
}

func TestADamagedKeyIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wireguard-key")
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "read WireGuard key: " + path + ": not 32 bytes in base64 (delete the file to have a new key made)"
	if _, err := KeyFile(path)(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := KeyFile(filepath.Join(path, "below", "a", "file"))(); err == nil {
		t.Error("a key was made in a directory that is not there")
	}
}
